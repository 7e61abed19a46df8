//! The statements of the MySQL and MariaDB driver, except the search in `find.rs`.

use std::collections::HashSet;

use larder_common::TenantName;
use larder_storage::{Digest, ObjectName, UploadName};
use sqlx::{
    AssertSqlSafe, Connection as _, MySqlConnection,
    mysql::{MySqlArguments, MySqlRow},
    query::Query,
};

use super::{
    MySql, find, ledger,
    texts::{
        ATTACH, CAP_LAST_USED, ENTRIES, ENTRY_BY_ID, ENTRY_BY_SLOT, ENTRY_BY_UPLOAD, EXISTING,
        FORGET_DEPARTED, FORGET_HISTORY, FORGET_NAMES, FORGET_REFUSALS, FORGET_SECRETS, FORGET_WRITERS,
        HAS_ROWS, INSERT_ENTRY, INSERT_SECRET, INSERT_UPLOAD, LOCK_UPLOAD, MARK_DURABLE, NEXT_TENANT,
        REFERENCED, RENEW, SECRET, SET_BLOCK, TOUCH_ENTRY, TOUCH_UPLOADS, UPLOAD_BY_ID, UPLOAD_BY_NAME,
        UPLOAD_BY_SLOT, UPLOADS, VOLATILE_ELSEWHERE, VOLATILE_HERE,
    },
};
use crate::{
    AttachOutcome, Attachment, Entry, EntryId, Upload, UploadId, digest_text, latest,
    sql::{
        execute::Value,
        fault::{Fault, RetrySafety},
        request::{EntryBy, IdleTimes, ReservationRequest, SearchRequest, UploadBy},
        rows::{self, Columns as _, integer, limit},
        statements::Statements,
        tenant::{Tenancy, TenantConnection},
    },
};

pub(super) type MySqlQuery<'q> = Query<'q, sqlx::MySql, MySqlArguments>;

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

/// Returns the number in the first row, if there is one, by a statement that is not prepared.
///
/// For what an index alone answers. MariaDB (10.11) forgets that when a prepared statement is executed again
/// after the connection's table was read by whole rows: where the index has a virtual column, it then reads
/// the row of each entry that it steps over. A text is planned anew each time.
pub(super) async fn number_of_index(
    connection: &mut MySqlConnection,
    text: &str,
    values: &[Value<'_>],
) -> Result<Option<i64>, Fault> {
    // Numbers, and bytes in hexadecimal digits: nothing that ends the literal.
    let text = AssertSqlSafe(with_values(text, values));
    let rows = sqlx::raw_sql(text).fetch_all(connection).await?;
    Ok(rows.first().map(|row| row.integer(0)).transpose()?.flatten())
}

/// Puts values for the parameters of a text.
pub(super) fn with_values(text: &str, values: &[Value<'_>]) -> String {
    let mut parts = text.split('?');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for (value, part) in values.iter().zip(parts) {
        match *value {
            Value::Integer(number) => whole.push_str(&number.to_string()),
            Value::Bytes(bytes) | Value::Optional(Some(bytes)) => {
                whole.extend(["x'", &hex::encode(bytes), "'"]);
            }
            Value::Optional(None) => whole.push_str("NULL"),
        }
        whole.push_str(part);
    }
    whole
}

pub(super) fn json(list: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(list).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

pub(super) type Db<'a> = TenantConnection<'a, MySqlConnection>;

impl<'a> Tenancy<'a> {
    /// A statement whose first parameter is the tenant.
    pub(super) fn query(self, text: &'static str) -> MySqlQuery<'a> {
        sqlx::query(text).bind(self.tenant())
    }
}

impl<'a> Db<'a> {
    /// The same.
    pub(super) fn query(&self, text: &'static str) -> MySqlQuery<'a> {
        self.tenancy().query(text)
    }
}

impl Statements for MySql {
    const FINALIZE: RetrySafety = RetrySafety::BeforeCommit;

    async fn find(db: &mut Db<'_>, search: &SearchRequest) -> Result<Option<Entry>, Fault> {
        let found = find::find(db, search).await?;
        found.map(|entry| search.verify(entry)).transpose()
    }

    async fn entry(db: &mut Db<'_>, by: EntryBy<'_>) -> Result<Option<Entry>, Fault> {
        let statement = match by {
            EntryBy::Id(id) => db.query(ENTRY_BY_ID).bind(integer(id.0)),
            EntryBy::Slot(digest) => db.query(ENTRY_BY_SLOT).bind(digest),
            EntryBy::Upload(id) => db.query(ENTRY_BY_UPLOAD).bind(integer(id.0)),
        };
        fetch_optional(db.connection, statement, rows::entry).await
    }

    async fn upload(db: &mut Db<'_>, by: UploadBy<'_>) -> Result<Option<Upload>, Fault> {
        let statement = match by {
            UploadBy::Id(id) => db.query(UPLOAD_BY_ID).bind(integer(id.0)),
            UploadBy::Name(name) => db.query(UPLOAD_BY_NAME).bind(name.as_str().as_bytes()),
            UploadBy::Slot(digest) => db.query(UPLOAD_BY_SLOT).bind(digest),
        };
        fetch_optional(db.connection, statement, rows::upload).await
    }

    async fn try_reserve(
        db: &mut Db<'_>,
        request: &ReservationRequest,
        displaced: Option<UploadId>,
    ) -> Result<Option<Upload>, Fault> {
        let tenant = db.tenancy();
        let mut transaction = db.connection.begin().await?;
        if let Some(id) = displaced
            && !ledger::delete_upload(&mut transaction, tenant.tenant(), id, Some(request.idle())).await?
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
        if Self::entry(&mut tenant.on(&mut transaction), EntryBy::Slot(&request.digest)).await?.is_some() {
            transaction.rollback().await?;
            return Ok(None);
        }
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(Some(request.upload(UploadId(made))))
    }

    async fn renew(db: &mut Db<'_>, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, Fault> {
        let statement = sqlx::query(RENEW)
            .bind(integer(now_ms))
            .bind(integer(now_ms))
            .bind(db.tenant())
            .bind(integer(id.0))
            .bind(integer(created_ms))
            .bind(integer(created_ms));
        Ok(execute(db.connection, statement).await? > 0)
    }

    async fn attach(
        db: &mut Db<'_>,
        id: UploadId,
        attachment: &Attachment,
        digest: Option<&Digest>,
        now_ms: u64,
    ) -> Result<AttachOutcome, Fault> {
        let tenant = db.tenancy();
        let mut transaction = db.connection.begin().await?;
        let lock = tenant.query(LOCK_UPLOAD).bind(integer(id.0));
        let Some(upload) = fetch_optional(&mut transaction, lock, rows::upload).await? else {
            transaction.rollback().await?;
            return Ok(AttachOutcome::Gone);
        };
        let attach = sqlx::query(ATTACH)
            .bind(attachment.object.as_str().as_bytes())
            .bind(integer(attachment.size_bytes))
            .bind(digest.map(|digest| digest_text::column(&attachment.object, digest).into_bytes()))
            .bind(integer(now_ms))
            .bind(integer(now_ms))
            .bind(integer(now_ms))
            .bind(tenant.tenant())
            .bind(integer(id.0));
        execute(&mut transaction, attach).await?;
        let replaced = upload.attachment.filter(|before| before.object != attachment.object);
        if let Some(replaced) = &replaced {
            ledger::replace(&mut transaction, tenant.tenant(), id, replaced, &attachment.object).await?;
        }
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(AttachOutcome::Attached(replaced.map(|before| before.object)))
    }

    async fn finalize(
        db: &mut Db<'_>,
        id: UploadId,
        attachment: &Attachment,
        boot: Option<&str>,
        now_ms: u64,
    ) -> Result<Option<Entry>, Fault> {
        let tenant = db.tenancy();
        let mut transaction = db.connection.begin().await?;
        let lock = tenant.query(LOCK_UPLOAD).bind(integer(id.0));
        let upload = fetch_optional(&mut transaction, lock, rows::upload).await?;
        if upload.is_none_or(|upload| upload.attachment.as_ref() != Some(attachment)) {
            transaction.rollback().await?;
            return Ok(None);
        }
        let made = match insert_entry(tenant.tenant(), id, boot, now_ms).execute(&mut *transaction).await {
            Ok(made) => made.last_insert_id(),
            // The slot has an entry.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                transaction.rollback().await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        execute(&mut transaction, tenant.query(SET_BLOCK).bind(made)).await?;
        ledger::finalized(&mut transaction, tenant.tenant(), id, attachment).await?;
        let entry = Self::entry(&mut tenant.on(&mut transaction), EntryBy::Id(EntryId(made))).await?;
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(entry)
    }

    async fn delete_upload(db: &mut Db<'_>, id: UploadId, idle: Option<IdleTimes>) -> Result<bool, Fault> {
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let deleted = ledger::delete_upload(&mut transaction, tenant, id, idle).await?;
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(deleted)
    }

    async fn touch_entry(db: &mut Db<'_>, id: EntryId, used_ms: u64) -> Result<bool, Fault> {
        let used_ms = integer(used_ms);
        let touch =
            sqlx::query(TOUCH_ENTRY).bind(used_ms).bind(used_ms).bind(db.tenant()).bind(integer(id.0));
        Ok(execute(db.connection, touch).await? > 0)
    }

    async fn cap_last_used(db: &mut Db<'_>, ids: &[EntryId], now_ms: u64) -> Result<(), Fault> {
        let mut uses: Vec<(i64, i64)> = ids.iter().map(|id| (integer(id.0), integer(now_ms))).collect();
        uses.sort_unstable();
        execute(db.connection, sqlx::query(CAP_LAST_USED).bind(json(&uses)?).bind(db.tenant())).await?;
        Ok(())
    }

    async fn touch_uploads(db: &mut Db<'_>, uses: &[(UploadName, u64)]) -> Result<(), Fault> {
        let latest = latest(uses);
        let uses: Vec<(&str, i64)> = latest.iter().map(|(name, at)| (name.as_str(), integer(*at))).collect();
        execute(db.connection, sqlx::query(TOUCH_UPLOADS).bind(json(&uses)?).bind(db.tenant())).await?;
        Ok(())
    }

    async fn mark_durable(db: &mut Db<'_>, ids: &[EntryId]) -> Result<(), Fault> {
        let mut ids: Vec<(i64, i64)> = ids.iter().map(|id| (integer(id.0), 0)).collect();
        ids.sort_unstable();
        execute(db.connection, sqlx::query(MARK_DURABLE).bind(json(&ids)?).bind(db.tenant())).await?;
        Ok(())
    }

    async fn volatile(
        db: &mut Db<'_>,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        most: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let text = if this_boot { VOLATILE_HERE } else { VOLATILE_ELSEWHERE };
        let statement = db.query(text).bind(boot.as_bytes()).bind(integer(after.0)).bind(limit(most));
        fetch_all(db.connection, statement, rows::entry).await
    }

    async fn entries(db: &mut Db<'_>, after: EntryId, most: usize) -> Result<Vec<Entry>, Fault> {
        let statement = db.query(ENTRIES).bind(integer(after.0)).bind(limit(most));
        fetch_all(db.connection, statement, rows::entry).await
    }

    async fn uploads(db: &mut Db<'_>, after: UploadId, most: usize) -> Result<Vec<Upload>, Fault> {
        let statement = db.query(UPLOADS).bind(integer(after.0)).bind(limit(most));
        fetch_all(db.connection, statement, rows::upload).await
    }

    async fn referenced(db: &mut Db<'_>, objects: &[ObjectName]) -> Result<HashSet<ObjectName>, Fault> {
        let objects = json(&objects.iter().map(ObjectName::as_str).collect::<Vec<_>>())?;
        let statement =
            sqlx::query(REFERENCED).bind(&objects).bind(db.tenant()).bind(&objects).bind(db.tenant());
        fetch_all(db.connection, statement, |row| rows::object(row, 0)).await
    }

    async fn existing(db: &mut Db<'_>, names: &[UploadName]) -> Result<HashSet<UploadName>, Fault> {
        let names = json(&names.iter().map(UploadName::as_str).collect::<Vec<_>>())?;
        fetch_all(db.connection, sqlx::query(EXISTING).bind(names).bind(db.tenant()), |row| {
            rows::name(row, 0)
        })
        .await
    }

    async fn secret(db: &mut Db<'_>, name: &str, fresh: &[u8]) -> Result<Vec<u8>, Fault> {
        let tenant = db.tenancy();
        let read = || tenant.query(SECRET).bind(name.as_bytes());
        if let Some(stored) = fetch_optional(db.connection, read(), |row| rows::value(row, 0)).await? {
            return Ok(stored);
        }
        let insert = db.query(INSERT_SECRET).bind(name.as_bytes()).bind(fresh);
        match execute(db.connection, insert).await {
            // Another call was faster.
            Err(fault) if fault.is_duplicate() => {}
            inserted => drop(inserted?),
        }
        let stored = fetch_optional(db.connection, read(), |row| rows::value(row, 0)).await?;
        stored.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    async fn forget(db: &mut Db<'_>) -> Result<bool, Fault> {
        let has_rows = db.query(HAS_ROWS).bind(db.tenant());
        if has_rows.fetch_optional(&mut *db.connection).await?.is_some() {
            return Ok(false);
        }
        for forget in
            [FORGET_NAMES, FORGET_DEPARTED, FORGET_SECRETS, FORGET_REFUSALS, FORGET_HISTORY, FORGET_WRITERS]
        {
            execute(db.connection, db.query(forget).bind(db.tenant()).bind(db.tenant())).await?;
        }
        ledger::forget(db).await?;
        Ok(true)
    }

    async fn next_tenant(connection: &mut MySqlConnection, after: &str) -> Result<Option<TenantName>, Fault> {
        let after = after.as_bytes();
        let next = sqlx::query(NEXT_TENANT).bind(after).bind(after).bind(after);
        fetch_optional(connection, next, |row| rows::tenant(row, 0)).await
    }
}

fn insert_upload(request: &ReservationRequest) -> MySqlQuery<'_> {
    let slot = &request.slot;
    sqlx::query(INSERT_UPLOAD)
        .bind(request.tenant.as_str().as_bytes())
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
        .bind(&*request.facts)
        .bind(request.trust.number())
}

fn insert_entry<'q>(
    tenant: &'q [u8],
    upload: UploadId,
    boot: Option<&'q str>,
    now_ms: u64,
) -> MySqlQuery<'q> {
    sqlx::query(INSERT_ENTRY)
        .bind(integer(now_ms))
        .bind(integer(now_ms))
        .bind(boot.map(str::as_bytes))
        .bind(tenant)
        .bind(integer(upload.0))
}
