//! What is read from a MySQL or MariaDB database and changed in it, but for the search in `find.rs`.
//!
//! Lists travel as JSON, so that one statement serves lists of any length.

use std::collections::HashSet;

use sqlx::{
    Connection as _, MySqlConnection,
    mysql::{MySqlArguments, MySqlRow},
    query::Query,
};

use super::{MySql, find};
use crate::{
    index::{
        AttachOutcome, Attachment, Entry, EntryId, Upload, UploadId, ahead_ms, latest,
        sql::{
            driver::{Claim, EntryBy, Idle, Search, Statements, UploadBy},
            fault::{Fault, Repeat},
            rows::{self, integer, limit},
        },
    },
    storage::{ObjectName, UploadName},
};

type Statement<'q> = Query<'q, sqlx::MySql, MySqlArguments>;

/// The columns that [`rows::entry`] reads, as the list of a `SELECT`.
macro_rules! entry_columns {
    () => {
        "id, repository, scope, version, `key`, object, size_bytes, created_ms, used_ms, owner"
    };
}

/// The columns that [`rows::upload`] reads, as the list of a `SELECT`.
macro_rules! upload_columns {
    () => {
        "id, repository, scope, version, `key`, name, owner, created_ms, active_ms, object, size_bytes"
    };
}

pub(super) const ENTRY_BY_ID: &str = concat!("SELECT ", entry_columns!(), " FROM entries WHERE id = ?");

pub(super) const ENTRY_BY_SLOT: &str = concat!("SELECT ", entry_columns!(), " FROM entries WHERE slot = ?");

pub(super) const ENTRY_BY_UPLOAD: &str =
    concat!("SELECT ", entry_columns!(), " FROM entries WHERE upload = ?");

pub(super) const UPLOAD_BY_ID: &str = concat!("SELECT ", upload_columns!(), " FROM uploads WHERE id = ?");

pub(super) const UPLOAD_BY_NAME: &str = concat!("SELECT ", upload_columns!(), " FROM uploads WHERE name = ?");

pub(super) const UPLOAD_BY_SLOT: &str = concat!("SELECT ", upload_columns!(), " FROM uploads WHERE slot = ?");

/// Waits for who makes or deletes an upload of this slot at this moment.
const INSERT_UPLOAD: &str = "INSERT INTO uploads \
     (slot, place, repository, scope, version, `key`, name, owner, created_ms, active_ms, folded) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Waits for who changes the row, and keeps others waiting.
const LOCK_UPLOAD: &str = concat!("SELECT ", upload_columns!(), " FROM uploads WHERE id = ? FOR UPDATE");

pub(super) const RENEW: &str = "UPDATE uploads SET created_ms = ?, active_ms = ? \
     WHERE id = ? AND created_ms = ? AND active_ms = ? AND object IS NULL";

const ATTACH: &str = concat!(
    "UPDATE uploads SET object = ?, size_bytes = ?, active_ms = IF(active_ms - ",
    ahead_ms!(),
    " > ?, ?, GREATEST(active_ms, ?)) WHERE id = ?"
);

/// Of an upload and its attachment.
const INSERT_ENTRY: &str = "INSERT INTO entries \
     (slot, place, repository, scope, version, `key`, folded, key_head, block, object, size_bytes, created_ms, used_ms, \
     boot, upload, owner) \
     SELECT slot, place, repository, scope, version, `key`, folded, LEFT(COALESCE(folded, `key`), 255), 0, object, \
     size_bytes, ?, ?, ?, id, owner FROM uploads WHERE id = ?";

/// A column that is made by the server cannot be made of the number.
const SET_BLOCK: &str = "UPDATE entries SET block = id >> 12 WHERE id = ?";

pub(super) const DELETE_UPLOAD: &str = "DELETE FROM uploads WHERE id = ?";

pub(super) const DELETE_IDLE_UPLOAD: &str =
    "DELETE FROM uploads WHERE id = ? AND (active_ms < ? OR active_ms > ?)";

pub(super) const DELETE_ENTRY: &str = "DELETE FROM entries WHERE id = ?";

pub(super) const DELETE_UNUSED_ENTRY: &str = "DELETE FROM entries WHERE id = ? AND used_ms <= ?";

/// A list of numbers and times, or of names and times, as a table.
macro_rules! uses {
    ($id:literal) => {
        concat!("JSON_TABLE(?, '$[*]' COLUMNS (id ", $id, " PATH '$[0]', at BIGINT PATH '$[1]')) AS used")
    };
}

/// A list of names as a table.
macro_rules! names {
    () => {
        "JSON_TABLE(?, '$[*]' COLUMNS (name VARCHAR(128) CHARACTER SET utf8mb4 PATH '$')) AS names"
    };
}

pub(super) const TOUCH_ENTRIES: &str = concat!(
    "UPDATE ",
    uses!("BIGINT"),
    " STRAIGHT_JOIN entries ON entries.id = used.id \
     SET entries.used_ms = used.at \
     WHERE entries.used_ms < used.at"
);

pub(super) const BRING_ENTRIES_BACK: &str = concat!(
    "UPDATE ",
    uses!("BIGINT"),
    " STRAIGHT_JOIN entries ON entries.id = used.id \
     SET entries.used_ms = used.at WHERE entries.used_ms > used.at"
);

pub(super) const TOUCH_UPLOADS: &str = concat!(
    "UPDATE ",
    uses!("VARCHAR(32) CHARACTER SET utf8mb4"),
    " STRAIGHT_JOIN uploads ON uploads.name = CAST(used.id AS BINARY) \
     SET uploads.active_ms = used.at \
     WHERE uploads.active_ms < used.at OR uploads.active_ms - ",
    ahead_ms!(),
    " > used.at"
);

pub(super) const MARK_DURABLE: &str = concat!(
    "UPDATE ",
    uses!("BIGINT"),
    " STRAIGHT_JOIN entries ON entries.id = used.id SET entries.boot = NULL WHERE entries.boot IS NOT NULL"
);

pub(super) const VOLATILE_HERE: &str =
    concat!("SELECT ", entry_columns!(), " FROM entries WHERE boot = ? AND id > ? ORDER BY id LIMIT ?");

/// There are few that are volatile.
pub(super) const VOLATILE_ELSEWHERE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries FORCE INDEX (entries_volatile) \
     WHERE boot IS NOT NULL AND boot <> ? AND id > ? ORDER BY id LIMIT ?"
);

pub(super) const ENTRIES: &str =
    concat!("SELECT ", entry_columns!(), " FROM entries WHERE id > ? ORDER BY id LIMIT ?");

pub(super) const UPLOADS: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE id > ? ORDER BY id LIMIT ?");

/// Both tables in one statement: a finalize moves the reference from one to the other.
pub(super) const REFERENCED: &str = concat!(
    "SELECT entries.object FROM ",
    names!(),
    " STRAIGHT_JOIN entries ON entries.object = CAST(names.name AS BINARY) \
     UNION ALL SELECT uploads.object FROM ",
    names!(),
    " STRAIGHT_JOIN uploads ON uploads.object = CAST(names.name AS BINARY)"
);

pub(super) const EXISTING: &str = concat!(
    "SELECT uploads.name FROM ",
    names!(),
    " STRAIGHT_JOIN uploads ON uploads.name = CAST(names.name AS BINARY)"
);

const INSERT_SECRET: &str = "INSERT INTO secrets (name, value) VALUES (?, ?)";

const SECRET: &str = "SELECT value FROM secrets WHERE name = ?";

pub(super) async fn one<T>(
    connection: &mut MySqlConnection,
    statement: Statement<'_>,
    read: fn(&MySqlRow) -> sqlx::Result<T>,
) -> Result<Option<T>, Fault> {
    let row = statement.fetch_optional(connection).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

pub(super) async fn all<T, C: FromIterator<T>>(
    connection: &mut MySqlConnection,
    statement: Statement<'_>,
    read: fn(&MySqlRow) -> sqlx::Result<T>,
) -> Result<C, Fault> {
    let rows = statement.fetch_all(connection).await?;
    Ok(rows.iter().map(read).collect::<sqlx::Result<C>>()?)
}

pub(super) async fn count(connection: &mut MySqlConnection, statement: Statement<'_>) -> Result<u64, Fault> {
    Ok(statement.execute(connection).await?.rows_affected())
}

pub(super) fn json(list: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(list).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

impl Statements for MySql {
    const FINALIZE: Repeat = Repeat::BeforeCommit;

    async fn find(connection: &mut MySqlConnection, search: &Search) -> Result<Option<Entry>, Fault> {
        let found = find::find(connection, search).await?;
        found.map(|entry| search.checked(entry)).transpose()
    }

    async fn entry(connection: &mut MySqlConnection, by: EntryBy<'_>) -> Result<Option<Entry>, Fault> {
        let statement = match by {
            EntryBy::Id(id) => sqlx::query(ENTRY_BY_ID).bind(integer(id.0)),
            EntryBy::Slot(digest) => sqlx::query(ENTRY_BY_SLOT).bind(digest),
            EntryBy::Upload(id) => sqlx::query(ENTRY_BY_UPLOAD).bind(integer(id.0)),
        };
        one(connection, statement, rows::entry).await
    }

    async fn upload(connection: &mut MySqlConnection, by: UploadBy<'_>) -> Result<Option<Upload>, Fault> {
        let statement = match by {
            UploadBy::Id(id) => sqlx::query(UPLOAD_BY_ID).bind(integer(id.0)),
            UploadBy::Name(name) => sqlx::query(UPLOAD_BY_NAME).bind(name.as_str().as_bytes()),
            UploadBy::Slot(digest) => sqlx::query(UPLOAD_BY_SLOT).bind(digest),
        };
        one(connection, statement, rows::upload).await
    }

    async fn take(
        connection: &mut MySqlConnection,
        claim: &Claim,
        displaced: Option<UploadId>,
    ) -> Result<Option<Upload>, Fault> {
        let mut transaction = connection.begin().await?;
        if let Some(id) = displaced
            && !Self::delete_upload(&mut transaction, id, Some(claim.idle())).await?
        {
            transaction.rollback().await?;
            return Ok(None);
        }
        let made = match insert_upload(claim).execute(&mut *transaction).await.map_err(Fault::from) {
            Ok(made) => made.last_insert_id(),
            Err(fault) if fault.is_taken() => {
                transaction.rollback().await?;
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        };
        // Whose upload was in the slot until now may have made an entry of it. With ours in it nobody else can.
        if Self::entry(&mut transaction, EntryBy::Slot(&claim.digest)).await?.is_some() {
            transaction.rollback().await?;
            return Ok(None);
        }
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(Some(claim.upload(UploadId(made))))
    }

    async fn renew(
        connection: &mut MySqlConnection,
        id: UploadId,
        created_ms: u64,
        now_ms: u64,
    ) -> Result<bool, Fault> {
        let statement = sqlx::query(RENEW)
            .bind(integer(now_ms))
            .bind(integer(now_ms))
            .bind(integer(id.0))
            .bind(integer(created_ms))
            .bind(integer(created_ms));
        Ok(count(connection, statement).await? > 0)
    }

    async fn attach(
        connection: &mut MySqlConnection,
        id: UploadId,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, Fault> {
        let mut transaction = connection.begin().await?;
        let lock = sqlx::query(LOCK_UPLOAD).bind(integer(id.0));
        let Some(upload) = one(&mut transaction, lock, rows::upload).await? else {
            transaction.rollback().await?;
            return Ok(AttachOutcome::Gone);
        };
        let attach = sqlx::query(ATTACH)
            .bind(attachment.object.as_str().as_bytes())
            .bind(integer(attachment.size_bytes))
            .bind(integer(now_ms))
            .bind(integer(now_ms))
            .bind(integer(now_ms))
            .bind(integer(id.0));
        count(&mut transaction, attach).await?;
        transaction.commit().await.map_err(Fault::Commit)?;
        let replaced = upload.attachment.map(|before| before.object);
        Ok(AttachOutcome::Attached(replaced.filter(|object| *object != attachment.object)))
    }

    async fn finalize(
        connection: &mut MySqlConnection,
        id: UploadId,
        attachment: &Attachment,
        boot: Option<&str>,
        now_ms: u64,
    ) -> Result<Option<Entry>, Fault> {
        let mut transaction = connection.begin().await?;
        let lock = sqlx::query(LOCK_UPLOAD).bind(integer(id.0));
        let upload = one(&mut transaction, lock, rows::upload).await?;
        if upload.is_none_or(|upload| upload.attachment.as_ref() != Some(attachment)) {
            transaction.rollback().await?;
            return Ok(None);
        }
        let made = match insert_entry(id, boot, now_ms).execute(&mut *transaction).await {
            Ok(made) => made.last_insert_id(),
            // There is an entry in the slot.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                transaction.rollback().await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        count(&mut transaction, sqlx::query(SET_BLOCK).bind(made)).await?;
        count(&mut transaction, sqlx::query(DELETE_UPLOAD).bind(integer(id.0))).await?;
        let entry = Self::entry(&mut transaction, EntryBy::Id(EntryId(made))).await?;
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(entry)
    }

    async fn delete_upload(
        connection: &mut MySqlConnection,
        id: UploadId,
        idle: Option<Idle>,
    ) -> Result<bool, Fault> {
        let statement = match idle {
            None => sqlx::query(DELETE_UPLOAD).bind(integer(id.0)),
            Some(idle) => sqlx::query(DELETE_IDLE_UPLOAD)
                .bind(integer(id.0))
                .bind(integer(idle.before_ms))
                .bind(integer(idle.after_ms)),
        };
        Ok(count(connection, statement).await? > 0)
    }

    async fn delete_entry(
        connection: &mut MySqlConnection,
        id: EntryId,
        used_ms: Option<u64>,
    ) -> Result<bool, Fault> {
        let statement = match used_ms {
            None => sqlx::query(DELETE_ENTRY).bind(integer(id.0)),
            Some(used) => sqlx::query(DELETE_UNUSED_ENTRY).bind(integer(id.0)).bind(integer(used)),
        };
        Ok(count(connection, statement).await? > 0)
    }

    async fn touch_entries(connection: &mut MySqlConnection, uses: &[(EntryId, u64)]) -> Result<(), Fault> {
        let uses: Vec<(i64, i64)> =
            latest(uses).into_iter().map(|(id, at)| (integer(id.0), integer(at))).collect();
        count(connection, sqlx::query(TOUCH_ENTRIES).bind(json(&uses)?)).await?;
        Ok(())
    }

    async fn bring_entries_back(
        connection: &mut MySqlConnection,
        ids: &[EntryId],
        now_ms: u64,
    ) -> Result<(), Fault> {
        let mut uses: Vec<(i64, i64)> = ids.iter().map(|id| (integer(id.0), integer(now_ms))).collect();
        uses.sort_unstable();
        count(connection, sqlx::query(BRING_ENTRIES_BACK).bind(json(&uses)?)).await?;
        Ok(())
    }

    async fn touch_uploads(
        connection: &mut MySqlConnection,
        uses: &[(UploadName, u64)],
    ) -> Result<(), Fault> {
        let latest = latest(uses);
        let uses: Vec<(&str, i64)> = latest.iter().map(|(name, at)| (name.as_str(), integer(*at))).collect();
        count(connection, sqlx::query(TOUCH_UPLOADS).bind(json(&uses)?)).await?;
        Ok(())
    }

    async fn mark_durable(connection: &mut MySqlConnection, ids: &[EntryId]) -> Result<(), Fault> {
        let mut ids: Vec<(i64, i64)> = ids.iter().map(|id| (integer(id.0), 0)).collect();
        ids.sort_unstable();
        count(connection, sqlx::query(MARK_DURABLE).bind(json(&ids)?)).await?;
        Ok(())
    }

    async fn volatile(
        connection: &mut MySqlConnection,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        most: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let text = if this_boot { VOLATILE_HERE } else { VOLATILE_ELSEWHERE };
        let statement = sqlx::query(text).bind(boot.as_bytes()).bind(integer(after.0)).bind(limit(most));
        all(connection, statement, rows::entry).await
    }

    async fn entries(
        connection: &mut MySqlConnection,
        after: EntryId,
        most: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let statement = sqlx::query(ENTRIES).bind(integer(after.0)).bind(limit(most));
        all(connection, statement, rows::entry).await
    }

    async fn uploads(
        connection: &mut MySqlConnection,
        after: UploadId,
        most: usize,
    ) -> Result<Vec<Upload>, Fault> {
        let statement = sqlx::query(UPLOADS).bind(integer(after.0)).bind(limit(most));
        all(connection, statement, rows::upload).await
    }

    async fn referenced(
        connection: &mut MySqlConnection,
        objects: &[ObjectName],
    ) -> Result<HashSet<ObjectName>, Fault> {
        let objects = json(&objects.iter().map(ObjectName::as_str).collect::<Vec<_>>())?;
        let statement = sqlx::query(REFERENCED).bind(&objects).bind(&objects);
        all(connection, statement, |row| rows::object(row, 0)).await
    }

    async fn existing(
        connection: &mut MySqlConnection,
        names: &[UploadName],
    ) -> Result<HashSet<UploadName>, Fault> {
        let names = json(&names.iter().map(UploadName::as_str).collect::<Vec<_>>())?;
        all(connection, sqlx::query(EXISTING).bind(names), |row| rows::name(row, 0)).await
    }

    async fn secret(connection: &mut MySqlConnection, name: &str, fresh: &[u8]) -> Result<Vec<u8>, Fault> {
        let read = || sqlx::query(SECRET).bind(name.as_bytes());
        if let Some(stored) = one(connection, read(), |row| rows::value(row, 0)).await? {
            return Ok(stored);
        }
        let insert = sqlx::query(INSERT_SECRET).bind(name.as_bytes()).bind(fresh);
        match count(connection, insert).await {
            // Somebody else was faster.
            Err(fault) if fault.is_taken() => {}
            inserted => drop(inserted?),
        }
        let stored = one(connection, read(), |row| rows::value(row, 0)).await?;
        stored.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }
}

fn insert_upload(claim: &Claim) -> Statement<'_> {
    let slot = &claim.slot;
    sqlx::query(INSERT_UPLOAD)
        .bind(&*claim.digest)
        .bind(&*claim.place)
        .bind(slot.repository.as_bytes())
        .bind(slot.scope.as_bytes())
        .bind(slot.version.as_bytes())
        .bind(slot.key.as_bytes())
        .bind(claim.name.as_str().as_bytes())
        .bind(claim.owner.as_bytes())
        .bind(integer(claim.now_ms))
        .bind(integer(claim.now_ms))
        .bind(claim.folded.as_ref().map(String::as_bytes))
}

fn insert_entry(upload: UploadId, boot: Option<&str>, now_ms: u64) -> Statement<'_> {
    sqlx::query(INSERT_ENTRY)
        .bind(integer(now_ms))
        .bind(integer(now_ms))
        .bind(boot.map(str::as_bytes))
        .bind(integer(upload.0))
}
