//! The statements of the PostgreSQL driver, except the search in `find.rs`.

use std::collections::HashSet;

use larder_common::TenantName;
use larder_storage::{Digest, ObjectName, UploadName};
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::{
    Postgres, find,
    ledger::{self, ATTACH, DELETE_UPLOAD, FINALIZE},
};
use crate::{
    AttachOutcome, Attachment, Entry, EntryId, Upload, UploadId, digest_text, latest, max_clock_skew_ms,
    sql::{
        fault::{Fault, RetrySafety},
        request::{EntryBy, IdleTimes, ReservationRequest, SearchRequest, UploadBy},
        rows::{self, integer, limit},
        statements::Statements,
        tenant::TenantConnection,
    },
};

pub(super) type PgQuery<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// The columns that [`rows::entry`] reads, as the list of a `SELECT`.
macro_rules! entry_columns {
    () => {
        "id, repository, scope, version, key, object, size_bytes, created_ms, used_ms, owner"
    };
}

/// The columns that [`rows::upload`] reads, as the list of a `SELECT`.
macro_rules! upload_columns {
    () => {
        "id, repository, scope, version, key, name, owner, created_ms, active_ms, object, size_bytes, trust"
    };
}

pub(super) use {entry_columns, upload_columns};

// `tenant || '' = $1` is `tenant = $1` that no index matches. Where a row is named more closely, it is
// to be found by that, also by a plan that was made while the tables were small.

/// Without what is in quarantine.
pub(super) const ENTRY_BY_ID: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries WHERE tenant || '' = $1 AND id = $2 AND quarantined_ms IS NULL"
);

pub(super) const ENTRY_BY_SLOT: &str =
    concat!("SELECT ", entry_columns!(), " FROM entries WHERE tenant || '' = $1 AND slot = $2");

pub(super) const ENTRY_BY_UPLOAD: &str =
    concat!("SELECT ", entry_columns!(), " FROM entries WHERE tenant || '' = $1 AND upload = $2");

pub(super) const UPLOAD_BY_ID: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant || '' = $1 AND id = $2");

pub(super) const UPLOAD_BY_NAME: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant || '' = $1 AND name = $2");

pub(super) const UPLOAD_BY_SLOT: &str =
    concat!("SELECT ", upload_columns!(), " FROM uploads WHERE tenant || '' = $1 AND slot = $2");

/// Waits for transactions that insert or delete an upload of this slot.
const INSERT_UPLOAD: &str = "INSERT INTO uploads \
     (tenant, slot, place, repository, scope, version, key, name, owner, created_ms, active_ms, folded, facts, trust) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12, $13) ON CONFLICT (slot) DO NOTHING RETURNING id";

pub(super) const RENEW: &str = "UPDATE uploads SET created_ms = $4, active_ms = $4 \
     WHERE tenant || '' = $1 AND id = $2 AND created_ms = $3 AND active_ms = $3 AND object IS NULL";

pub(super) const TOUCH_ENTRY: &str = "UPDATE entries \
     SET uses = CASE WHEN used_ms <> $3 THEN uses + 1 ELSE uses END, used_ms = GREATEST(used_ms, $3) \
     WHERE tenant || '' = $1 AND id = $2";

pub(super) const CAP_LAST_USED: &str =
    "UPDATE entries SET used_ms = $3 WHERE tenant || '' = $1 AND id = ANY ($2::bigint[]) AND used_ms > $3";

pub(super) const TOUCH_UPLOADS: &str = concat!(
    "UPDATE uploads SET active_ms = used.at \
     FROM unnest($2::bytea[], $3::bigint[]) AS used (name, at) \
     WHERE uploads.tenant || '' = $1 AND uploads.name = used.name AND (uploads.active_ms < used.at OR uploads.active_ms - ",
    max_clock_skew_ms!(),
    " > used.at)"
);

/// Not `boot IS NOT NULL`, for which the index of all volatile entries would be read.
pub(super) const MARK_DURABLE: &str = "UPDATE entries SET boot = NULL \
     WHERE tenant || '' = $1 AND id = ANY ($2::bigint[]) AND CASE WHEN boot IS NULL THEN false ELSE true END";

pub(super) const VOLATILE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries WHERE tenant = $1 AND boot IS NOT NULL AND (boot = $2) = $3 AND id > $4 ORDER BY id LIMIT $5"
);

/// A page of a tenant. It is read in the order of the index by tenant and number, which no other index
/// has: so it costs its own rows, and not those of others that are between them.
macro_rules! page {
    ($table:literal, $columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM (SELECT * FROM ",
            $table,
            " WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3) AS page \
             WHERE tenant = $1 ORDER BY tenant, id"
        )
    };
}

pub(super) const ENTRIES: &str = page!("entries", entry_columns!());

pub(super) const UPLOADS: &str = page!("uploads", upload_columns!());

/// One statement for both tables, because a finalize moves the reference from one to the other.
pub(super) const REFERENCED: &str = "SELECT object FROM entries WHERE tenant || '' = $1 AND object = ANY ($2::bytea[]) \
     UNION ALL SELECT object FROM uploads WHERE tenant || '' = $1 AND object = ANY ($2::bytea[])";

pub(super) const EXISTING: &str =
    "SELECT name FROM uploads WHERE tenant || '' = $1 AND name = ANY ($2::bytea[])";

const INSERT_SECRET: &str = "INSERT INTO secrets (tenant, name, value) VALUES ($1, $2, $3) \
     ON CONFLICT (tenant, name) DO NOTHING";

const SECRET: &str = "SELECT value FROM secrets WHERE tenant = $1 AND name = $2";

/// Whether a tenant has rows.
pub(super) const HAS_ROWS: &str = "(SELECT 1 FROM entries WHERE tenant = $1 LIMIT 1) UNION ALL (SELECT 1 FROM uploads WHERE tenant = $1 LIMIT 1)";

/// Deletes what is left of a tenant without rows from a table.
macro_rules! forget {
    ($table:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE tenant = $1 \
             AND NOT EXISTS (SELECT FROM entries WHERE tenant = $1) \
             AND NOT EXISTS (SELECT FROM uploads WHERE tenant = $1)"
        )
    };
}

/// One step in an index of each table.
pub(super) const NEXT_TENANT: &str = "SELECT name FROM (
       (SELECT tenant AS name FROM entries WHERE tenant > $1 ORDER BY tenant LIMIT 1)
       UNION ALL (SELECT tenant FROM uploads WHERE tenant > $1 ORDER BY tenant LIMIT 1)
       UNION ALL (SELECT tenant FROM secrets WHERE tenant > $1 ORDER BY tenant LIMIT 1)
     ) AS next ORDER BY name LIMIT 1";

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

pub(super) type Db<'a> = TenantConnection<'a, PgConnection>;

impl<'a> Db<'a> {
    /// A statement whose first parameter is the tenant.
    pub(super) fn query(&self, text: &'static str) -> PgQuery<'a> {
        sqlx::query(text).bind(self.tenant())
    }
}

fn id(row: &PgRow) -> sqlx::Result<UploadId> {
    rows::number(row, 0).map(UploadId)
}

impl Statements for Postgres {
    const FINALIZE: RetrySafety = RetrySafety::Never;

    async fn find(db: &mut Db<'_>, search: &SearchRequest) -> Result<Option<Entry>, Fault> {
        let statement = find::SearchStatement::new(search);
        let found = fetch_optional(db.connection, statement.query(), rows::entry).await?;
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
            && !Self::delete_upload(&mut tenant.on(&mut transaction), id, Some(request.idle())).await?
        {
            transaction.rollback().await?;
            return Ok(None);
        }
        let made = fetch_optional(&mut transaction, insert(request), id).await?;
        // The upload that was in the slot before may have become an entry. While ours is in the
        // slot, no other can.
        let entry = Self::entry(&mut tenant.on(&mut transaction), EntryBy::Slot(&request.digest)).await?;
        let (Some(id), None) = (made, entry) else {
            transaction.rollback().await?;
            return Ok(None);
        };
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(Some(request.upload(id)))
    }

    async fn renew(db: &mut Db<'_>, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, Fault> {
        let statement = db.query(RENEW).bind(integer(id.0)).bind(integer(created_ms)).bind(integer(now_ms));
        Ok(execute(db.connection, statement).await? > 0)
    }

    async fn attach(
        db: &mut Db<'_>,
        id: UploadId,
        attachment: &Attachment,
        digest: Option<&Digest>,
        now_ms: u64,
    ) -> Result<AttachOutcome, Fault> {
        let statement = db
            .query(ATTACH)
            .bind(integer(id.0))
            .bind(attachment.object.as_str().as_bytes())
            .bind(integer(attachment.size_bytes))
            .bind(integer(now_ms))
            .bind(digest.map(|digest| digest_text::column(&attachment.object, digest).into_bytes()));
        let Some(row) = statement.fetch_optional(&mut *db.connection).await? else {
            return Ok(AttachOutcome::Gone);
        };
        let replaced = rows::optional_object(&row, 0)?;
        Ok(AttachOutcome::Attached(replaced.filter(|object| *object != attachment.object)))
    }

    async fn finalize(
        db: &mut Db<'_>,
        id: UploadId,
        attachment: &Attachment,
        boot: Option<&str>,
        now_ms: u64,
    ) -> Result<Option<Entry>, Fault> {
        let statement = db
            .query(FINALIZE)
            .bind(integer(id.0))
            .bind(attachment.object.as_str().as_bytes())
            .bind(integer(attachment.size_bytes))
            .bind(integer(now_ms))
            .bind(boot.map(str::as_bytes));
        match fetch_optional(db.connection, statement, rows::entry).await {
            // The slot has an entry: nothing was changed.
            Err(fault) if fault.is_duplicate() => Ok(None),
            outcome => outcome,
        }
    }

    async fn delete_upload(db: &mut Db<'_>, id: UploadId, idle: Option<IdleTimes>) -> Result<bool, Fault> {
        let statement = db
            .query(DELETE_UPLOAD)
            .bind(integer(id.0))
            .bind(idle.map(|idle| integer(idle.before_ms)))
            .bind(idle.map(|idle| integer(idle.after_ms)));
        Ok(statement.fetch_optional(&mut *db.connection).await?.is_some())
    }

    async fn touch_entry(db: &mut Db<'_>, id: EntryId, used_ms: u64) -> Result<bool, Fault> {
        let touch = db.query(TOUCH_ENTRY).bind(integer(id.0)).bind(integer(used_ms));
        Ok(execute(db.connection, touch).await? > 0)
    }

    async fn cap_last_used(db: &mut Db<'_>, ids: &[EntryId], now_ms: u64) -> Result<(), Fault> {
        let statement = db.query(CAP_LAST_USED).bind(sorted(ids)).bind(integer(now_ms));
        execute(db.connection, statement).await?;
        Ok(())
    }

    async fn touch_uploads(db: &mut Db<'_>, uses: &[(UploadName, u64)]) -> Result<(), Fault> {
        let latest = latest(uses);
        let (names, times): (Vec<&[u8]>, Vec<i64>) =
            latest.iter().map(|(name, at)| (name.as_str().as_bytes(), integer(*at))).unzip();
        execute(db.connection, db.query(TOUCH_UPLOADS).bind(names).bind(times)).await?;
        Ok(())
    }

    async fn mark_durable(db: &mut Db<'_>, ids: &[EntryId]) -> Result<(), Fault> {
        execute(db.connection, db.query(MARK_DURABLE).bind(sorted(ids))).await?;
        Ok(())
    }

    async fn volatile(
        db: &mut Db<'_>,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        most: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let statement =
            db.query(VOLATILE).bind(boot.as_bytes()).bind(this_boot).bind(integer(after.0)).bind(limit(most));
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
        let objects: Vec<&[u8]> = objects.iter().map(|object| object.as_str().as_bytes()).collect();
        fetch_all(db.connection, db.query(REFERENCED).bind(objects), |row| rows::object(row, 0)).await
    }

    async fn existing(db: &mut Db<'_>, names: &[UploadName]) -> Result<HashSet<UploadName>, Fault> {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_str().as_bytes()).collect();
        fetch_all(db.connection, db.query(EXISTING).bind(names), |row| rows::name(row, 0)).await
    }

    async fn secret(db: &mut Db<'_>, name: &str, fresh: &[u8]) -> Result<Vec<u8>, Fault> {
        let tenant = db.tenant();
        let read = || sqlx::query(SECRET).bind(tenant).bind(name.as_bytes());
        if let Some(stored) = fetch_optional(db.connection, read(), |row| rows::value(row, 0)).await? {
            return Ok(stored);
        }
        execute(db.connection, db.query(INSERT_SECRET).bind(name.as_bytes()).bind(fresh)).await?;
        let stored = fetch_optional(db.connection, read(), |row| rows::value(row, 0)).await?;
        stored.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    async fn forget(db: &mut Db<'_>) -> Result<bool, Fault> {
        let has_rows = db.query(HAS_ROWS).fetch_optional(&mut *db.connection).await?.is_some();
        if !has_rows {
            execute(db.connection, db.query(forget!("repositories"))).await?;
            execute(db.connection, db.query(forget!("departed"))).await?;
            execute(db.connection, db.query(forget!("secrets"))).await?;
            execute(db.connection, db.query(forget!("refusals"))).await?;
            execute(db.connection, db.query(forget!("history"))).await?;
            execute(db.connection, db.query(forget!("history_writers"))).await?;
            ledger::forget(db).await?;
        }
        Ok(!has_rows)
    }

    async fn next_tenant(connection: &mut PgConnection, after: &str) -> Result<Option<TenantName>, Fault> {
        let next = sqlx::query(NEXT_TENANT).bind(after.as_bytes());
        fetch_optional(connection, next, |row| rows::tenant(row, 0)).await
    }
}

/// Sorted, so that concurrent batches lock rows in the same order.
pub(super) fn sorted(ids: &[EntryId]) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.iter().map(|id| integer(id.0)).collect();
    ids.sort_unstable();
    ids
}

fn insert(request: &ReservationRequest) -> PgQuery<'_> {
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
        .bind(request.folded.as_ref().map(String::as_bytes))
        .bind(&*request.facts)
        .bind(request.trust.number())
}
