//! The statements of the PostgreSQL driver, except the search in `find.rs`.

use std::collections::HashSet;

use larder_storage::{ObjectName, UploadName};
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::{Postgres, find};
use crate::{
    AttachOutcome, Attachment, Entry, EntryId, Upload, UploadId, latest, max_clock_skew_ms,
    sql::{
        driver::Statements,
        fault::{Fault, RetrySafety},
        request::{EntryBy, IdleTimes, ReservationRequest, SearchRequest, UploadBy},
        rows::{self, integer, limit},
    },
};

type PgQuery<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// The columns that [`rows::entry`] reads, as the list of a `SELECT`.
macro_rules! entry_columns {
    () => {
        "id, repository, scope, version, key, object, size_bytes, created_ms, used_ms, owner"
    };
}

/// The columns that [`rows::upload`] reads, as the list of a `SELECT`.
macro_rules! upload_columns {
    () => {
        "id, repository, scope, version, key, name, owner, created_ms, active_ms, object, size_bytes"
    };
}

pub(super) use entry_columns;

pub(super) const ENTRY_BY_ID: &str = concat!("SELECT ", entry_columns!(), " FROM entries WHERE id = $1");

pub(super) const ENTRY_BY_SLOT: &str = concat!("SELECT ", entry_columns!(), " FROM entries WHERE slot = $1");

pub(super) const ENTRY_BY_UPLOAD: &str =
    concat!("SELECT ", entry_columns!(), " FROM entries WHERE upload = $1");

pub(super) const UPLOAD_BY_ID: &str = concat!("SELECT ", upload_columns!(), " FROM uploads WHERE id = $1");

pub(super) const UPLOAD_BY_NAME: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE name = $1");

pub(super) const UPLOAD_BY_SLOT: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE slot = $1");

/// Waits for transactions that insert or delete an upload of this slot.
const INSERT_UPLOAD: &str = "INSERT INTO uploads \
     (slot, place, repository, scope, version, key, name, owner, created_ms, active_ms, folded) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10) ON CONFLICT (slot) DO NOTHING RETURNING id";

pub(super) const RENEW: &str = "UPDATE uploads SET created_ms = $3, active_ms = $3 \
     WHERE id = $1 AND created_ms = $2 AND active_ms = $2 AND object IS NULL";

/// Waits for transactions that change the row, and then reads its latest version.
pub(super) const ATTACH: &str = concat!(
    "UPDATE uploads SET object = $2, size_bytes = $3, active_ms = CASE WHEN uploads.active_ms - ",
    max_clock_skew_ms!(),
    " > $4 THEN $4 ELSE greatest(uploads.active_ms, $4) END \
     FROM (SELECT id, object FROM uploads WHERE id = $1 FOR UPDATE) AS before \
     WHERE uploads.id = before.id RETURNING before.object"
);

pub(super) const FINALIZE: &str = concat!(
    "WITH upload AS (DELETE FROM uploads WHERE id = $1 AND object = $2 AND size_bytes = $3 RETURNING *) \
     INSERT INTO entries \
     (slot, place, repository, scope, version, key, object, size_bytes, created_ms, used_ms, boot, upload, owner, folded) \
     SELECT slot, place, repository, scope, version, key, object, size_bytes, $4, $4, $5, id, owner, folded FROM upload RETURNING ",
    entry_columns!()
);

pub(super) const DELETE_UPLOAD: &str =
    "DELETE FROM uploads WHERE id = $1 AND ($2::bigint IS NULL OR active_ms < $2 OR active_ms > $3::bigint)";

pub(super) const DELETE_ENTRY: &str =
    "DELETE FROM entries WHERE id = $1 AND ($2::bigint IS NULL OR used_ms <= $2)";

pub(super) const TOUCH_ENTRIES: &str = "UPDATE entries SET used_ms = used.at \
     FROM unnest($1::bigint[], $2::bigint[]) AS used (id, at) \
     WHERE entries.id = used.id AND entries.used_ms < used.at";

pub(super) const CAP_LAST_USED: &str =
    "UPDATE entries SET used_ms = $2 WHERE id = ANY ($1::bigint[]) AND used_ms > $2";

pub(super) const TOUCH_UPLOADS: &str = concat!(
    "UPDATE uploads SET active_ms = used.at \
     FROM unnest($1::bytea[], $2::bigint[]) AS used (name, at) \
     WHERE uploads.name = used.name AND (uploads.active_ms < used.at OR uploads.active_ms - ",
    max_clock_skew_ms!(),
    " > used.at)"
);

pub(super) const MARK_DURABLE: &str =
    "UPDATE entries SET boot = NULL WHERE id = ANY ($1::bigint[]) AND boot IS NOT NULL";

pub(super) const VOLATILE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries WHERE boot IS NOT NULL AND (boot = $1) = $2 AND id > $3 ORDER BY id LIMIT $4"
);

pub(super) const ENTRIES: &str =
    concat!("SELECT ", entry_columns!(), " FROM entries WHERE id > $1 ORDER BY id LIMIT $2");

pub(super) const UPLOADS: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE id > $1 ORDER BY id LIMIT $2");

/// One statement for both tables, because a finalize moves the reference from one to the other.
pub(super) const REFERENCED: &str = "SELECT object FROM entries WHERE object = ANY ($1::bytea[]) \
     UNION ALL SELECT object FROM uploads WHERE object = ANY ($1::bytea[])";

pub(super) const EXISTING: &str = "SELECT name FROM uploads WHERE name = ANY ($1::bytea[])";

const INSERT_SECRET: &str = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

const SECRET: &str = "SELECT value FROM secrets WHERE name = $1";

pub(super) async fn fetch_optional<T>(
    connection: &mut PgConnection,
    statement: PgQuery<'_>,
    read: fn(&PgRow) -> sqlx::Result<T>,
) -> Result<Option<T>, Fault> {
    let row = statement.fetch_optional(connection).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

pub(super) async fn fetch_all<T, C: FromIterator<T>>(
    connection: &mut PgConnection,
    statement: PgQuery<'_>,
    read: fn(&PgRow) -> sqlx::Result<T>,
) -> Result<C, Fault> {
    let rows = statement.fetch_all(connection).await?;
    Ok(rows.iter().map(read).collect::<sqlx::Result<C>>()?)
}

pub(super) async fn execute(connection: &mut PgConnection, statement: PgQuery<'_>) -> Result<u64, Fault> {
    Ok(statement.execute(connection).await?.rows_affected())
}

fn id(row: &PgRow) -> sqlx::Result<UploadId> {
    rows::number(row, 0).map(UploadId)
}

impl Statements for Postgres {
    const FINALIZE: RetrySafety = RetrySafety::Never;

    async fn find(connection: &mut PgConnection, search: &SearchRequest) -> Result<Option<Entry>, Fault> {
        let statement = find::SearchStatement::new(search);
        let found = fetch_optional(connection, statement.query(), rows::entry).await?;
        found.map(|entry| search.verify(entry)).transpose()
    }

    async fn entry(connection: &mut PgConnection, by: EntryBy<'_>) -> Result<Option<Entry>, Fault> {
        let statement = match by {
            EntryBy::Id(id) => sqlx::query(ENTRY_BY_ID).bind(integer(id.0)),
            EntryBy::Slot(digest) => sqlx::query(ENTRY_BY_SLOT).bind(digest),
            EntryBy::Upload(id) => sqlx::query(ENTRY_BY_UPLOAD).bind(integer(id.0)),
        };
        fetch_optional(connection, statement, rows::entry).await
    }

    async fn upload(connection: &mut PgConnection, by: UploadBy<'_>) -> Result<Option<Upload>, Fault> {
        let statement = match by {
            UploadBy::Id(id) => sqlx::query(UPLOAD_BY_ID).bind(integer(id.0)),
            UploadBy::Name(name) => sqlx::query(UPLOAD_BY_NAME).bind(name.as_str().as_bytes()),
            UploadBy::Slot(digest) => sqlx::query(UPLOAD_BY_SLOT).bind(digest),
        };
        fetch_optional(connection, statement, rows::upload).await
    }

    async fn try_reserve(
        connection: &mut PgConnection,
        request: &ReservationRequest,
        displaced: Option<UploadId>,
    ) -> Result<Option<Upload>, Fault> {
        let mut transaction = connection.begin().await?;
        if let Some(id) = displaced
            && !Self::delete_upload(&mut transaction, id, Some(request.idle())).await?
        {
            transaction.rollback().await?;
            return Ok(None);
        }
        let made = fetch_optional(&mut transaction, insert(request), id).await?;
        // The upload that was in the slot before may have become an entry. While ours is in the
        // slot, no other can.
        let entry = Self::entry(&mut transaction, EntryBy::Slot(&request.digest)).await?;
        let (Some(id), None) = (made, entry) else {
            transaction.rollback().await?;
            return Ok(None);
        };
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(Some(request.upload(id)))
    }

    async fn renew(
        connection: &mut PgConnection,
        id: UploadId,
        created_ms: u64,
        now_ms: u64,
    ) -> Result<bool, Fault> {
        let statement =
            sqlx::query(RENEW).bind(integer(id.0)).bind(integer(created_ms)).bind(integer(now_ms));
        Ok(execute(connection, statement).await? > 0)
    }

    async fn attach(
        connection: &mut PgConnection,
        id: UploadId,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, Fault> {
        let statement = sqlx::query(ATTACH)
            .bind(integer(id.0))
            .bind(attachment.object.as_str().as_bytes())
            .bind(integer(attachment.size_bytes))
            .bind(integer(now_ms));
        let Some(row) = statement.fetch_optional(connection).await? else {
            return Ok(AttachOutcome::Gone);
        };
        let replaced = rows::optional_object(&row, 0)?;
        Ok(AttachOutcome::Attached(replaced.filter(|object| *object != attachment.object)))
    }

    async fn finalize(
        connection: &mut PgConnection,
        id: UploadId,
        attachment: &Attachment,
        boot: Option<&str>,
        now_ms: u64,
    ) -> Result<Option<Entry>, Fault> {
        let statement = sqlx::query(FINALIZE)
            .bind(integer(id.0))
            .bind(attachment.object.as_str().as_bytes())
            .bind(integer(attachment.size_bytes))
            .bind(integer(now_ms))
            .bind(boot.map(str::as_bytes));
        match fetch_optional(connection, statement, rows::entry).await {
            // The slot has an entry: nothing was changed.
            Err(fault) if fault.is_duplicate() => Ok(None),
            outcome => outcome,
        }
    }

    async fn delete_upload(
        connection: &mut PgConnection,
        id: UploadId,
        idle: Option<IdleTimes>,
    ) -> Result<bool, Fault> {
        let statement = sqlx::query(DELETE_UPLOAD)
            .bind(integer(id.0))
            .bind(idle.map(|idle| integer(idle.before_ms)))
            .bind(idle.map(|idle| integer(idle.after_ms)));
        Ok(execute(connection, statement).await? > 0)
    }

    async fn delete_entry(
        connection: &mut PgConnection,
        id: EntryId,
        last_used_ms: Option<u64>,
    ) -> Result<bool, Fault> {
        let statement = sqlx::query(DELETE_ENTRY).bind(integer(id.0)).bind(last_used_ms.map(integer));
        Ok(execute(connection, statement).await? > 0)
    }

    async fn touch_entries(connection: &mut PgConnection, uses: &[(EntryId, u64)]) -> Result<(), Fault> {
        let (ids, times): (Vec<i64>, Vec<i64>) =
            latest(uses).into_iter().map(|(id, at)| (integer(id.0), integer(at))).unzip();
        execute(connection, sqlx::query(TOUCH_ENTRIES).bind(ids).bind(times)).await?;
        Ok(())
    }

    async fn cap_last_used(connection: &mut PgConnection, ids: &[EntryId], now_ms: u64) -> Result<(), Fault> {
        let statement = sqlx::query(CAP_LAST_USED).bind(sorted(ids)).bind(integer(now_ms));
        execute(connection, statement).await?;
        Ok(())
    }

    async fn touch_uploads(connection: &mut PgConnection, uses: &[(UploadName, u64)]) -> Result<(), Fault> {
        let latest = latest(uses);
        let (names, times): (Vec<&[u8]>, Vec<i64>) =
            latest.iter().map(|(name, at)| (name.as_str().as_bytes(), integer(*at))).unzip();
        execute(connection, sqlx::query(TOUCH_UPLOADS).bind(names).bind(times)).await?;
        Ok(())
    }

    async fn mark_durable(connection: &mut PgConnection, ids: &[EntryId]) -> Result<(), Fault> {
        execute(connection, sqlx::query(MARK_DURABLE).bind(sorted(ids))).await?;
        Ok(())
    }

    async fn volatile(
        connection: &mut PgConnection,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        most: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let statement = sqlx::query(VOLATILE)
            .bind(boot.as_bytes())
            .bind(this_boot)
            .bind(integer(after.0))
            .bind(limit(most));
        fetch_all(connection, statement, rows::entry).await
    }

    async fn entries(
        connection: &mut PgConnection,
        after: EntryId,
        most: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let statement = sqlx::query(ENTRIES).bind(integer(after.0)).bind(limit(most));
        fetch_all(connection, statement, rows::entry).await
    }

    async fn uploads(
        connection: &mut PgConnection,
        after: UploadId,
        most: usize,
    ) -> Result<Vec<Upload>, Fault> {
        let statement = sqlx::query(UPLOADS).bind(integer(after.0)).bind(limit(most));
        fetch_all(connection, statement, rows::upload).await
    }

    async fn referenced(
        connection: &mut PgConnection,
        objects: &[ObjectName],
    ) -> Result<HashSet<ObjectName>, Fault> {
        let objects: Vec<&[u8]> = objects.iter().map(|object| object.as_str().as_bytes()).collect();
        fetch_all(connection, sqlx::query(REFERENCED).bind(objects), |row| rows::object(row, 0)).await
    }

    async fn existing(
        connection: &mut PgConnection,
        names: &[UploadName],
    ) -> Result<HashSet<UploadName>, Fault> {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_str().as_bytes()).collect();
        fetch_all(connection, sqlx::query(EXISTING).bind(names), |row| rows::name(row, 0)).await
    }

    async fn secret(connection: &mut PgConnection, name: &str, fresh: &[u8]) -> Result<Vec<u8>, Fault> {
        let read = || sqlx::query(SECRET).bind(name.as_bytes());
        if let Some(stored) = fetch_optional(connection, read(), |row| rows::value(row, 0)).await? {
            return Ok(stored);
        }
        execute(connection, sqlx::query(INSERT_SECRET).bind(name.as_bytes()).bind(fresh)).await?;
        let stored = fetch_optional(connection, read(), |row| rows::value(row, 0)).await?;
        stored.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }
}

/// Sorted, so that concurrent batches lock rows in the same order.
fn sorted(ids: &[EntryId]) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.iter().map(|id| integer(id.0)).collect();
    ids.sort_unstable();
    ids
}

fn insert(request: &ReservationRequest) -> PgQuery<'_> {
    let slot = &request.slot;
    sqlx::query(INSERT_UPLOAD)
        .bind(&*request.digest)
        .bind(&*request.place)
        .bind(slot.repository.as_bytes())
        .bind(slot.scope.as_bytes())
        .bind(slot.version.as_bytes())
        .bind(slot.key.as_bytes())
        .bind(request.name.as_str().as_bytes())
        .bind(request.owner.as_bytes())
        .bind(integer(request.now_ms))
        .bind(request.folded.as_ref().map(String::as_bytes))
}
