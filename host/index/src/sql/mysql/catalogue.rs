//! What operators ask: lists in any order, counts, and access keys.

use sqlx::MySqlConnection;

use super::{
    MySql, by_use,
    statements::{Db, fetch_all, number_of_index},
    texts::entry_columns,
};
use crate::{
    Entry, EntryOrder, Within,
    sql::{
        catalogue::{AnyPlaceKey, CatalogueStatements, Scan},
        digest::HeadRange,
        execute::Value,
        fault::Fault,
        rows::{self, limit},
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

pub(super) const WITH_KEY: &str = page!("entries_by_any_key", "key_head = ?", "id DESC");

pub(super) const WITH_KEY_RANGE: &str =
    page!("entries_by_any_key", "key_head >= ? AND key_head < ?", "key_head, id");

impl CatalogueStatements for MySql {
    const COUNT_TENANT: &'static str =
        "SELECT COUNT(*) FROM entries FORCE INDEX (entries_by_tenant) WHERE tenant = ?";

    const COUNT_REPOSITORY: &'static str = "SELECT COUNT(*) FROM entries FORCE INDEX (entries_near) \
         WHERE tenant = ? AND repository_head = ?";

    const COUNT_SCOPE: &'static str = "SELECT COUNT(*) FROM entries FORCE INDEX (entries_by_use_in_scope) \
         WHERE tenant = ? AND repository_head = ? AND scope_head = ?";

    const RECORD_DIGEST: &'static str =
        "UPDATE entries SET digest = ? WHERE tenant = ? AND id = ? AND object = ?";

    const ADD_KEY: &'static str =
        "INSERT IGNORE INTO access_keys (name, role, tenant, digest, created_ms) VALUES (?, ?, ?, ?, ?)";

    const REMOVE_KEY: &'static str = "DELETE FROM access_keys WHERE name = ?";

    const KEYS: &'static str =
        "SELECT name, role, tenant, digest, created_ms FROM access_keys ORDER BY name LIMIT ?";

    async fn scan(db: &mut Db<'_>, scan: Scan) -> Result<Vec<Entry>, Fault> {
        let Scan { order, descending, value, id, limit } = scan;
        let direction = usize::from(descending);
        let statement = match order {
            EntryOrder::Created => db.query(BY_NUMBER[direction]).bind(id),
            EntryOrder::Size => db.query(BY_SIZE[direction]).bind(value).bind(id).bind(value),
            EntryOrder::LastUsed => {
                return by_use::fetch(db, (&Within::Tenant, descending), None, (value, id), limit).await;
            }
        };
        fetch_all(db.connection, statement.bind(limit), rows::entry).await
    }

    async fn count(
        connection: &mut MySqlConnection,
        text: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, Fault> {
        let counted = number_of_index(connection, text, values).await?;
        Ok(counted.and_then(|counted| u64::try_from(counted).ok()).unwrap_or_default())
    }

    async fn with_key(db: &mut Db<'_>, key: &AnyPlaceKey, most: usize) -> Result<Vec<Entry>, Fault> {
        let statement = match key.prefix() {
            None => db.query(WITH_KEY).bind(key.key()),
            Some(HeadRange { low, high }) => db.query(WITH_KEY_RANGE).bind(low).bind(high),
        };
        fetch_all(db.connection, statement.bind(limit(most)), rows::entry).await
    }
}
