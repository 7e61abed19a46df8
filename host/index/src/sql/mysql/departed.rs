//! The statements about the deletion of entries and those that were deleted.

use sqlx::Connection as _;

use super::{
    MySql,
    statements::{Db, execute, fetch_all, fetch_optional},
};
use crate::{
    Departed, Departure, EntryId, MatchKind,
    departed::{MAX_PREFIX_DEPARTED, clipped},
    sql::{
        departed::{DepartedStatements, departed_columns},
        fault::Fault,
        rows::{self, Columns as _, integer, limit},
    },
};

/// Waits for transactions that change the row, and locks it.
pub(super) const LOCK_UNUSED_ENTRY: &str =
    "SELECT id FROM entries WHERE tenant = ? AND id = ? AND used_ms <= ? FOR UPDATE";

/// A text as [`clipped`] makes it.
macro_rules! clipped {
    ($text:literal) => {
        concat!(
            "IF(LENGTH(",
            $text,
            ") > 255, CONCAT(LEFT(",
            $text,
            ", 200), SHA2(",
            $text,
            ", 256)), ",
            $text,
            ")"
        )
    };
}

pub(super) const RECORD: &str = concat!(
    "INSERT INTO departed (tenant, entry, repository, scope, version, `key`, compared, object, size_bytes, created_ms, used_ms, \
     uses, trust, departed_ms, cause) SELECT tenant, id, ",
    clipped!("repository"),
    ", ",
    clipped!("scope"),
    ", ",
    clipped!("version"),
    ", ",
    clipped!("`key`"),
    ", ",
    clipped!("COALESCE(folded, `key`)"),
    ", object, size_bytes, created_ms, used_ms, uses, trust, ?, ? FROM entries WHERE tenant = ? AND id = ?"
);

/// Of any tenant, with the keys as they are compared from now on: a list of number and key in
/// hexadecimal digits.
pub(super) const RECORD_SUPERSEDED: &str = concat!(
    "INSERT INTO departed (tenant, entry, repository, scope, version, `key`, compared, object, size_bytes, created_ms, used_ms, \
     uses, trust, departed_ms, cause) SELECT tenant, entries.id, ",
    clipped!("repository"),
    ", ",
    clipped!("scope"),
    ", ",
    clipped!("version"),
    ", ",
    clipped!("`key`"),
    ", UNHEX(gone.compared), object, size_bytes, created_ms, used_ms, uses, trust, ?, ? FROM JSON_TABLE(?, '$[*]' COLUMNS \
     (id BIGINT PATH '$[0]', compared VARCHAR(600) CHARACTER SET ascii PATH '$[1]')) AS gone \
     STRAIGHT_JOIN entries ON entries.id = gone.id"
);

pub(super) const DELETE_ENTRY: &str = "DELETE FROM entries WHERE tenant = ? AND id = ?";

pub(super) const BY_KEY: &str = concat!(
    "SELECT ",
    departed_columns!("`key`"),
    " FROM departed FORCE INDEX (departed_by_key) \
     WHERE tenant = ? AND repository = ? AND compared = ? ORDER BY id DESC LIMIT ?"
);

/// The last parameters: how many are looked at, the prefix twice, and how many are returned.
pub(super) const BY_PREFIX: &str = concat!(
    "SELECT ",
    departed_columns!("`key`"),
    " FROM (SELECT * FROM departed FORCE INDEX (departed_by_repository) \
       WHERE tenant = ? AND repository = ? ORDER BY id DESC LIMIT ?) AS latest \
     WHERE LEFT(compared, LENGTH(?)) = ? ORDER BY id DESC LIMIT ?"
);

/// The last parameter is the number of those that stay, less one.
pub(super) const FIRST_TO_STAY: &str = "SELECT id FROM departed FORCE INDEX (departed_by_tenant) \
     WHERE tenant = ? ORDER BY id DESC LIMIT 1 OFFSET ?";

pub(super) const TRIM: &str = "DELETE departed FROM ( \
       SELECT id FROM departed FORCE INDEX (departed_by_tenant) \
       WHERE tenant = ? AND id < ? AND object IS NULL ORDER BY id LIMIT ?) AS gone \
     STRAIGHT_JOIN departed ON departed.id = gone.id";

impl DepartedStatements for MySql {
    async fn delete_entry(
        db: &mut Db<'_>,
        id: EntryId,
        last_used_ms: u64,
        departure: &Departure,
    ) -> Result<bool, Fault> {
        let tenant = db.tenancy();
        let mut transaction = db.connection.begin().await?;
        let lock = tenant.query(LOCK_UNUSED_ENTRY).bind(integer(id.0)).bind(integer(last_used_ms));
        if fetch_optional(&mut transaction, lock, |row| row.integer(0)).await?.is_none() {
            transaction.rollback().await?;
            return Ok(false);
        }
        let record = sqlx::query(RECORD)
            .bind(integer(departure.at_ms))
            .bind(departure.cause.to_string().into_bytes())
            .bind(tenant.tenant())
            .bind(integer(id.0));
        execute(&mut transaction, record).await?;
        execute(&mut transaction, tenant.query(DELETE_ENTRY).bind(integer(id.0))).await?;
        transaction.commit().await.map_err(Fault::Commit)?;
        Ok(true)
    }

    async fn find_departed(
        db: &mut Db<'_>,
        repository: &str,
        key: &str,
        kind: MatchKind,
        most: usize,
    ) -> Result<Vec<Departed>, Fault> {
        let (repository, key) = (clipped(repository.as_bytes()), key.as_bytes());
        let statement = match kind {
            MatchKind::Exact => {
                db.query(BY_KEY).bind(&*repository).bind(clipped(key).into_owned()).bind(limit(most))
            }
            MatchKind::Prefix => db
                .query(BY_PREFIX)
                .bind(&*repository)
                .bind(limit(MAX_PREFIX_DEPARTED))
                .bind(key)
                .bind(key)
                .bind(limit(most)),
        };
        fetch_all(db.connection, statement, rows::departed).await
    }

    async fn trim_departed(db: &mut Db<'_>, most: usize, some: usize) -> Result<usize, Fault> {
        let before = match most.checked_sub(1) {
            None => i64::MAX,
            Some(last) => {
                let first = db.query(FIRST_TO_STAY).bind(limit(last));
                let first = fetch_optional(db.connection, first, |row| row.integer(0)).await?.flatten();
                let Some(first) = first else { return Ok(0) };
                first
            }
        };
        let trim = db.query(TRIM).bind(before).bind(limit(some));
        Ok(usize::try_from(execute(db.connection, trim).await?).unwrap_or(usize::MAX))
    }
}
