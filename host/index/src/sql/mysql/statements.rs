//! The statements of the MySQL and MariaDB driver, except the search in `find.rs`.

use std::collections::HashSet;

use larder_storage::{ObjectName, UploadName};
use sqlx::{
    Connection as _, MySqlConnection,
    mysql::{MySqlArguments, MySqlRow},
    query::Query,
};

use super::{
    MySql, find,
    texts::{
        ATTACH, CAP_LAST_USED, DELETE_ENTRY, DELETE_IDLE_UPLOAD, DELETE_UNUSED_ENTRY, DELETE_UPLOAD, ENTRIES,
        ENTRY_BY_ID, ENTRY_BY_SLOT, ENTRY_BY_UPLOAD, EXISTING, INSERT_ENTRY, INSERT_SECRET, INSERT_UPLOAD,
        LOCK_UPLOAD, MARK_DURABLE, REFERENCED, RENEW, SECRET, SET_BLOCK, TOUCH_ENTRIES, TOUCH_UPLOADS,
        UPLOAD_BY_ID, UPLOAD_BY_NAME, UPLOAD_BY_SLOT, UPLOADS, VOLATILE_ELSEWHERE, VOLATILE_HERE,
    },
};
use crate::{
    AttachOutcome, Attachment, Entry, EntryId, Upload, UploadId, latest,
    sql::{
        driver::Statements,
        fault::{Fault, RetrySafety},
        request::{EntryBy, IdleTimes, ReservationRequest, SearchRequest, UploadBy},
        rows::{self, integer, limit},
    },
};

type MySqlQuery<'q> = Query<'q, sqlx::MySql, MySqlArguments>;

pub(super) async fn fetch_optional<T>(
    connection: &mut MySqlConnection,
    statement: MySqlQuery<'_>,
    read: fn(&MySqlRow) -> sqlx::Result<T>,
) -> Result<Option<T>, Fault> {
    let row = statement.fetch_optional(connection).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

pub(super) async fn fetch_all<T, C: FromIterator<T>>(
    connection: &mut MySqlConnection,
    statement: MySqlQuery<'_>,
    read: fn(&MySqlRow) -> sqlx::Result<T>,
) -> Result<C, Fault> {
    let rows = statement.fetch_all(connection).await?;
    Ok(rows.iter().map(read).collect::<sqlx::Result<C>>()?)
}

pub(super) async fn execute(
    connection: &mut MySqlConnection,
    statement: MySqlQuery<'_>,
) -> Result<u64, Fault> {
    Ok(statement.execute(connection).await?.rows_affected())
}

pub(super) fn json(list: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(list).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

impl Statements for MySql {
    const FINALIZE: RetrySafety = RetrySafety::BeforeCommit;

    async fn find(connection: &mut MySqlConnection, search: &SearchRequest) -> Result<Option<Entry>, Fault> {
        let found = find::find(connection, search).await?;
        found.map(|entry| search.verify(entry)).transpose()
    }

    async fn entry(connection: &mut MySqlConnection, by: EntryBy<'_>) -> Result<Option<Entry>, Fault> {
        let statement = match by {
            EntryBy::Id(id) => sqlx::query(ENTRY_BY_ID).bind(integer(id.0)),
            EntryBy::Slot(digest) => sqlx::query(ENTRY_BY_SLOT).bind(digest),
            EntryBy::Upload(id) => sqlx::query(ENTRY_BY_UPLOAD).bind(integer(id.0)),
        };
        fetch_optional(connection, statement, rows::entry).await
    }

    async fn upload(connection: &mut MySqlConnection, by: UploadBy<'_>) -> Result<Option<Upload>, Fault> {
        let statement = match by {
            UploadBy::Id(id) => sqlx::query(UPLOAD_BY_ID).bind(integer(id.0)),
            UploadBy::Name(name) => sqlx::query(UPLOAD_BY_NAME).bind(name.as_str().as_bytes()),
            UploadBy::Slot(digest) => sqlx::query(UPLOAD_BY_SLOT).bind(digest),
        };
        fetch_optional(connection, statement, rows::upload).await
    }

    async fn try_reserve(
        connection: &mut MySqlConnection,
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
        let made = match insert_upload(request).execute(&mut *transaction).await.map_err(Fault::from) {
            Ok(made) => made.last_insert_id(),
            Err(fault) if fault.is_duplicate() => {
                transaction.rollback().await?;
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        };
        // The upload that was in the slot before may have become an entry. While ours is in the
        // slot, no other can.
        if Self::entry(&mut transaction, EntryBy::Slot(&request.digest)).await?.is_some() {
            transaction.rollback().await?;
            return Ok(None);
        }
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(Some(request.upload(UploadId(made))))
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
        Ok(execute(connection, statement).await? > 0)
    }

    async fn attach(
        connection: &mut MySqlConnection,
        id: UploadId,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, Fault> {
        let mut transaction = connection.begin().await?;
        let lock = sqlx::query(LOCK_UPLOAD).bind(integer(id.0));
        let Some(upload) = fetch_optional(&mut transaction, lock, rows::upload).await? else {
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
        execute(&mut transaction, attach).await?;
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
        let upload = fetch_optional(&mut transaction, lock, rows::upload).await?;
        if upload.is_none_or(|upload| upload.attachment.as_ref() != Some(attachment)) {
            transaction.rollback().await?;
            return Ok(None);
        }
        let made = match insert_entry(id, boot, now_ms).execute(&mut *transaction).await {
            Ok(made) => made.last_insert_id(),
            // The slot has an entry.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                transaction.rollback().await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        execute(&mut transaction, sqlx::query(SET_BLOCK).bind(made)).await?;
        execute(&mut transaction, sqlx::query(DELETE_UPLOAD).bind(integer(id.0))).await?;
        let entry = Self::entry(&mut transaction, EntryBy::Id(EntryId(made))).await?;
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(entry)
    }

    async fn delete_upload(
        connection: &mut MySqlConnection,
        id: UploadId,
        idle: Option<IdleTimes>,
    ) -> Result<bool, Fault> {
        let statement = match idle {
            None => sqlx::query(DELETE_UPLOAD).bind(integer(id.0)),
            Some(idle) => sqlx::query(DELETE_IDLE_UPLOAD)
                .bind(integer(id.0))
                .bind(integer(idle.before_ms))
                .bind(integer(idle.after_ms)),
        };
        Ok(execute(connection, statement).await? > 0)
    }

    async fn delete_entry(
        connection: &mut MySqlConnection,
        id: EntryId,
        last_used_ms: Option<u64>,
    ) -> Result<bool, Fault> {
        let statement = match last_used_ms {
            None => sqlx::query(DELETE_ENTRY).bind(integer(id.0)),
            Some(used) => sqlx::query(DELETE_UNUSED_ENTRY).bind(integer(id.0)).bind(integer(used)),
        };
        Ok(execute(connection, statement).await? > 0)
    }

    async fn touch_entries(connection: &mut MySqlConnection, uses: &[(EntryId, u64)]) -> Result<(), Fault> {
        let uses: Vec<(i64, i64)> =
            latest(uses).into_iter().map(|(id, at)| (integer(id.0), integer(at))).collect();
        execute(connection, sqlx::query(TOUCH_ENTRIES).bind(json(&uses)?)).await?;
        Ok(())
    }

    async fn cap_last_used(
        connection: &mut MySqlConnection,
        ids: &[EntryId],
        now_ms: u64,
    ) -> Result<(), Fault> {
        let mut uses: Vec<(i64, i64)> = ids.iter().map(|id| (integer(id.0), integer(now_ms))).collect();
        uses.sort_unstable();
        execute(connection, sqlx::query(CAP_LAST_USED).bind(json(&uses)?)).await?;
        Ok(())
    }

    async fn touch_uploads(
        connection: &mut MySqlConnection,
        uses: &[(UploadName, u64)],
    ) -> Result<(), Fault> {
        let latest = latest(uses);
        let uses: Vec<(&str, i64)> = latest.iter().map(|(name, at)| (name.as_str(), integer(*at))).collect();
        execute(connection, sqlx::query(TOUCH_UPLOADS).bind(json(&uses)?)).await?;
        Ok(())
    }

    async fn mark_durable(connection: &mut MySqlConnection, ids: &[EntryId]) -> Result<(), Fault> {
        let mut ids: Vec<(i64, i64)> = ids.iter().map(|id| (integer(id.0), 0)).collect();
        ids.sort_unstable();
        execute(connection, sqlx::query(MARK_DURABLE).bind(json(&ids)?)).await?;
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
        fetch_all(connection, statement, rows::entry).await
    }

    async fn entries(
        connection: &mut MySqlConnection,
        after: EntryId,
        most: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let statement = sqlx::query(ENTRIES).bind(integer(after.0)).bind(limit(most));
        fetch_all(connection, statement, rows::entry).await
    }

    async fn uploads(
        connection: &mut MySqlConnection,
        after: UploadId,
        most: usize,
    ) -> Result<Vec<Upload>, Fault> {
        let statement = sqlx::query(UPLOADS).bind(integer(after.0)).bind(limit(most));
        fetch_all(connection, statement, rows::upload).await
    }

    async fn referenced(
        connection: &mut MySqlConnection,
        objects: &[ObjectName],
    ) -> Result<HashSet<ObjectName>, Fault> {
        let objects = json(&objects.iter().map(ObjectName::as_str).collect::<Vec<_>>())?;
        let statement = sqlx::query(REFERENCED).bind(&objects).bind(&objects);
        fetch_all(connection, statement, |row| rows::object(row, 0)).await
    }

    async fn existing(
        connection: &mut MySqlConnection,
        names: &[UploadName],
    ) -> Result<HashSet<UploadName>, Fault> {
        let names = json(&names.iter().map(UploadName::as_str).collect::<Vec<_>>())?;
        fetch_all(connection, sqlx::query(EXISTING).bind(names), |row| rows::name(row, 0)).await
    }

    async fn secret(connection: &mut MySqlConnection, name: &str, fresh: &[u8]) -> Result<Vec<u8>, Fault> {
        let read = || sqlx::query(SECRET).bind(name.as_bytes());
        if let Some(stored) = fetch_optional(connection, read(), |row| rows::value(row, 0)).await? {
            return Ok(stored);
        }
        let insert = sqlx::query(INSERT_SECRET).bind(name.as_bytes()).bind(fresh);
        match execute(connection, insert).await {
            // Another call was faster.
            Err(fault) if fault.is_duplicate() => {}
            inserted => drop(inserted?),
        }
        let stored = fetch_optional(connection, read(), |row| rows::value(row, 0)).await?;
        stored.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }
}

fn insert_upload(request: &ReservationRequest) -> MySqlQuery<'_> {
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
        .bind(integer(request.now_ms))
        .bind(request.folded.as_ref().map(String::as_bytes))
}

fn insert_entry(upload: UploadId, boot: Option<&str>, now_ms: u64) -> MySqlQuery<'_> {
    sqlx::query(INSERT_ENTRY)
        .bind(integer(now_ms))
        .bind(integer(now_ms))
        .bind(boot.map(str::as_bytes))
        .bind(integer(upload.0))
}
