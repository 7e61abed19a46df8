//! What operators ask: lists in any order, counts, and access keys.

use larder_storage::{Digest, ObjectName};

use super::{
    MySql,
    statements::{Db, execute, fetch_all, fetch_optional},
    texts::entry_columns,
};
use crate::{
    AccessKey, Entry, EntryId, EntryOrder, MAX_ACCESS_KEYS, Within, digest_text,
    sql::{
        catalogue::{AnyPlaceKey, CatalogueStatements, Scan, access_key, tenant_column},
        digest::HeadRange,
        fault::Fault,
        rows::{self, integer, limit},
        within::head,
    },
};

/// A page of entries with a condition, in an order.
macro_rules! page {
    ($index:literal, $condition:literal, $order:literal) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM entries FORCE INDEX (",
            $index,
            ") WHERE tenant = ? AND ",
            $condition,
            " ORDER BY ",
            $order,
            " LIMIT ?"
        )
    };
}

pub(super) const BY_NUMBER: [&str; 2] =
    [page!("entries_by_tenant", "id > ?", "id"), page!("entries_by_tenant", "id < ?", "id DESC")];

pub(super) const BY_SIZE: [&str; 2] = [
    page!("entries_by_size", "((size_bytes = ? AND id > ?) OR size_bytes > ?)", "size_bytes, id"),
    page!("entries_by_size", "((size_bytes = ? AND id < ?) OR size_bytes < ?)", "size_bytes DESC, id DESC"),
];

pub(super) const BY_USE: [&str; 2] = [
    page!("entries_by_use", "trusted = ? AND ((used_ms = ? AND id > ?) OR used_ms > ?)", "used_ms, id"),
    page!(
        "entries_by_use",
        "trusted = ? AND ((used_ms = ? AND id < ?) OR used_ms < ?)",
        "used_ms DESC, id DESC"
    ),
];

pub(super) const WITH_KEY: &str = page!("entries_by_any_key", "key_head = ?", "id DESC");

pub(super) const WITH_KEY_RANGE: &str =
    page!("entries_by_any_key", "key_head >= ? AND key_head < ?", "key_head, id");

pub(super) const COUNT_TENANT: &str =
    "SELECT COUNT(*) FROM entries FORCE INDEX (entries_by_tenant) WHERE tenant = ?";

pub(super) const COUNT_REPOSITORY: &str = "SELECT COUNT(*) FROM entries FORCE INDEX (entries_near) \
     WHERE tenant = ? AND repository_head = ?";

pub(super) const COUNT_SCOPE: &str = "SELECT COUNT(*) FROM entries FORCE INDEX (entries_by_use_in_scope) \
     WHERE tenant = ? AND repository_head = ? AND scope_head = ?";

/// Counts the row also if it does not change: the connection asks for rows found.
const RECORD_DIGEST: &str = "UPDATE entries SET digest = ? WHERE tenant = ? AND id = ? AND object = ?";

const ADD_KEY: &str =
    "INSERT IGNORE INTO access_keys (name, role, tenant, digest, created_ms) VALUES (?, ?, ?, ?, ?)";

const REMOVE_KEY: &str = "DELETE FROM access_keys WHERE name = ?";

const KEYS: &str = "SELECT name, role, tenant, digest, created_ms FROM access_keys ORDER BY name LIMIT ?";

impl CatalogueStatements for MySql {
    async fn scan(db: &mut Db<'_>, scan: Scan) -> Result<Vec<Entry>, Fault> {
        let Scan { order, descending, trust, value, id, limit } = scan;
        let direction = usize::from(descending);
        let statement = match order {
            EntryOrder::Created => db.query(BY_NUMBER[direction]).bind(id),
            EntryOrder::Size => db.query(BY_SIZE[direction]).bind(value).bind(id).bind(value),
            EntryOrder::LastUsed => {
                db.query(BY_USE[direction]).bind(trust.number()).bind(value).bind(id).bind(value)
            }
        };
        fetch_all(db.connection, statement.bind(limit), rows::entry).await
    }

    async fn with_key(db: &mut Db<'_>, key: &AnyPlaceKey, most: usize) -> Result<Vec<Entry>, Fault> {
        let statement = match key.prefix() {
            None => db.query(WITH_KEY).bind(key.key()),
            Some(HeadRange { low, high }) => db.query(WITH_KEY_RANGE).bind(low).bind(high),
        };
        fetch_all(db.connection, statement.bind(limit(most)), rows::entry).await
    }

    async fn count(db: &mut Db<'_>, within: &Within) -> Result<u64, Fault> {
        let statement = match within {
            Within::Tenant => db.query(COUNT_TENANT),
            Within::Repository(repository) => db.query(COUNT_REPOSITORY).bind(head(repository)),
            Within::Scope { repository, scope } => {
                db.query(COUNT_SCOPE).bind(head(repository)).bind(head(scope))
            }
        };
        let counted = fetch_optional(db.connection, statement, |row| rows::number(row, 0)).await?;
        Ok(counted.unwrap_or_default())
    }

    async fn record_digest(
        db: &mut Db<'_>,
        id: EntryId,
        object: &ObjectName,
        digest: &Digest,
    ) -> Result<bool, Fault> {
        let record = sqlx::query(RECORD_DIGEST)
            .bind(digest_text::column(object, digest).into_bytes())
            .bind(db.tenant())
            .bind(integer(id.0))
            .bind(object.as_str().as_bytes());
        Ok(execute(db.connection, record).await? > 0)
    }

    async fn add_access_key(db: &mut Db<'_>, key: &AccessKey) -> Result<bool, Fault> {
        let statement = sqlx::query(ADD_KEY)
            .bind(key.name.as_bytes())
            .bind(key.role.name().as_bytes())
            .bind(tenant_column(key))
            .bind(&key.digest[..])
            .bind(integer(key.created_ms));
        Ok(execute(db.connection, statement).await? > 0)
    }

    async fn remove_access_key(db: &mut Db<'_>, name: &str) -> Result<bool, Fault> {
        Ok(execute(db.connection, sqlx::query(REMOVE_KEY).bind(name.as_bytes())).await? > 0)
    }

    async fn access_keys(db: &mut Db<'_>) -> Result<Vec<AccessKey>, Fault> {
        let statement = sqlx::query(KEYS).bind(limit(MAX_ACCESS_KEYS));
        fetch_all(db.connection, statement, access_key).await
    }
}
