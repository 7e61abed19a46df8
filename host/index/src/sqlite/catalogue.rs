//! What operators ask: lists in any order, counts, and access keys.

use async_trait::async_trait;
use larder_common::TenantName;
use larder_storage::{Digest, ObjectName};
use rusqlite::{Row, params, types::Type};

use super::{
    SqliteIndex, by_use, changes, history,
    rows::{self, compared_key, entry_columns, integer},
    tenant::TenantConnection,
};
use crate::{
    AccessKey, AccessRole, Catalogue, Entry, EntryId, EntryOrder, IndexError, KeyRule, MAX_ACCESS_KEYS,
    MatchKind, NOT_OF_DEFAULT, Within,
    catalogue::{HistoryBatch, HistoryQuery, HistorySum},
};

/// A page of entries with a condition, in an order. `?4` is the limit.
macro_rules! page {
    ($index:literal, $condition:expr, $order:literal) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM entries INDEXED BY ",
            $index,
            " WHERE tenant = ?1 AND ",
            $condition,
            " ORDER BY ",
            $order,
            " LIMIT ?4"
        )
    };
}

/// The rest of those with the same value, and those behind. One comparison of both columns would not be
/// searched by the index.
pub(super) const BY_NUMBER: [&str; 2] = [
    page!("entries_by_tenant", "id > ?3 AND ?2 = ?2", "id"),
    page!("entries_by_tenant", "id < ?3 AND ?2 = ?2", "id DESC"),
];

pub(super) const BY_SIZE: [[&str; 2]; 2] = [
    [
        page!("entries_by_size", "size_bytes = ?2 AND id > ?3", "size_bytes, id"),
        page!("entries_by_size", "size_bytes > ?2 AND ?3 = ?3", "size_bytes, id"),
    ],
    [
        page!("entries_by_size", "size_bytes = ?2 AND id < ?3", "size_bytes DESC, id DESC"),
        page!("entries_by_size", "size_bytes < ?2 AND ?3 = ?3", "size_bytes DESC, id DESC"),
    ],
];

pub(super) const WITH_KEY: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries INDEXED BY entries_by_any_key WHERE tenant = ?1 AND ",
    compared_key!(),
    " = ?2 ORDER BY id DESC LIMIT ?3"
);

/// From a key on, with the compared key in the last column: the caller stops at the first without the
/// prefix.
pub(super) const FROM_KEY: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", ",
    compared_key!(),
    " FROM entries INDEXED BY entries_by_any_key WHERE tenant = ?1 AND ",
    compared_key!(),
    " >= ?2 ORDER BY ",
    compared_key!(),
    " LIMIT ?3"
);

pub(super) const COUNT_TENANT: &str =
    "SELECT count(*) FROM entries INDEXED BY entries_by_tenant WHERE tenant = ?1";

pub(super) const COUNT_REPOSITORY: &str = "SELECT count(*) FROM entries INDEXED BY entries_by_use_in_repository \
     WHERE tenant = ?1 AND repository = ?2";

pub(super) const COUNT_SCOPE: &str = "SELECT count(*) FROM entries INDEXED BY entries_by_use_in_scope \
     WHERE tenant = ?1 AND repository = ?2 AND scope = ?3";

const ADD_KEY: &str = "INSERT INTO access_keys (name, role, tenant, digest, created_ms) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO NOTHING";

const REMOVE_KEY: &str = "DELETE FROM access_keys WHERE name = ?1";

const KEYS: &str = "SELECT name, role, tenant, digest, created_ms FROM access_keys ORDER BY name LIMIT ?1";

/// Where a page begins: before all.
fn first(descending: bool) -> (i64, i64) {
    if descending { (i64::MAX, i64::MAX) } else { (-1, -1) }
}

fn scan(
    conn: TenantConnection<'_>,
    order: EntryOrder,
    descending: bool,
    after: Option<(u64, EntryId)>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let start = after.map_or(first(descending), |(value, id)| (integer(value), integer(id.0)));
    let direction = usize::from(descending);
    match order {
        EntryOrder::Created => parts(conn, &[BY_NUMBER[direction]], start, limit),
        EntryOrder::Size => parts(conn, &BY_SIZE[direction], start, limit),
        EntryOrder::LastUsed => by_use::scan(conn, descending, after, limit),
    }
}

fn parts(
    conn: TenantConnection<'_>,
    texts: &[&str],
    (value, id): (i64, i64),
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for text in texts {
        let rest = rows::limit(limit - found.len());
        let mut statement = conn.prepare(text)?;
        statement.raw_bind_parameter(1, conn.tenant())?;
        for (number, value) in [value, id, rest].into_iter().enumerate() {
            statement.raw_bind_parameter(number + 2, value)?;
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            found.push(rows::entry(row)?);
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

fn with_key(
    conn: TenantConnection<'_>,
    key: &str,
    kind: MatchKind,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = conn.prepare(match kind {
        MatchKind::Exact => WITH_KEY,
        MatchKind::Prefix => FROM_KEY,
    })?;
    let mut rows = statement.query(params![conn.tenant(), key.as_bytes(), rows::limit(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if kind == MatchKind::Prefix && !row.get_ref(10)?.as_blob()?.starts_with(key.as_bytes()) {
            break;
        }
        found.push(rows::entry(row)?);
    }
    Ok(found)
}

fn count(conn: TenantConnection<'_>, within: &Within) -> rusqlite::Result<u64> {
    let tenant = conn.tenant();
    let read = |row: &Row<'_>| rows::number(row, 0);
    match within {
        Within::Tenant => conn.prepare(COUNT_TENANT)?.query_one(params![tenant], read),
        Within::Repository(repository) => {
            conn.prepare(COUNT_REPOSITORY)?.query_one(params![tenant, repository.as_bytes()], read)
        }
        Within::Scope { repository, scope } => {
            let place = params![tenant, repository.as_bytes(), scope.as_bytes()];
            conn.prepare(COUNT_SCOPE)?.query_one(place, read)
        }
    }
}

fn keys(conn: TenantConnection<'_>) -> rusqlite::Result<Vec<AccessKey>> {
    conn.prepare(KEYS)?.query_map(params![rows::limit(MAX_ACCESS_KEYS)], access_key)?.collect()
}

fn access_key(row: &Row<'_>) -> rusqlite::Result<AccessKey> {
    let role: String = row.get(1)?;
    let tenant: Option<String> = row.get(2)?;
    Ok(AccessKey {
        name: row.get(0)?,
        role: AccessRole::parse(&role).ok_or_else(|| rows::invalid(1, Type::Text, std::fmt::Error))?,
        tenant: tenant
            .map(|name| TenantName::parse(&name))
            .transpose()
            .map_err(|error| rows::invalid(2, Type::Text, error))?,
        digest: row.get(3)?,
        created_ms: rows::number(row, 4)?,
    })
}

#[async_trait]
impl Catalogue for SqliteIndex {
    fn key_rule(&self) -> KeyRule {
        self.database.rule
    }

    async fn scan_entries(
        &self,
        order: EntryOrder,
        descending: bool,
        after: Option<(u64, EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        self.read("listing entries in an order", |conn| scan(conn, order, descending, after, limit))
    }

    async fn entries_with_key(
        &self,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        let key = self.database.rule.compared(key);
        self.read("finding entries of a key", |conn| with_key(conn, &key, kind, limit))
    }

    async fn count_entries(&self, within: &Within) -> Result<u64, IndexError> {
        self.read("counting entries", |conn| count(conn, within))
    }

    async fn record_digest(
        &self,
        id: EntryId,
        object: &ObjectName,
        digest: &Digest,
    ) -> Result<bool, IndexError> {
        let (object, digest) = (object.clone(), digest.clone());
        let record = move |conn: TenantConnection<'_>| changes::record_digest(conn, id, &object, &digest);
        self.write("recording a digest", record).await
    }

    async fn add_access_key(&self, key: &AccessKey) -> Result<bool, IndexError> {
        self.check_default()?;
        let key = key.clone();
        let add = move |conn: TenantConnection<'_>| {
            let AccessKey { name, role, tenant, digest, created_ms } = &key;
            let tenant = tenant.as_ref().map(TenantName::as_str);
            let values = params![name, role.name(), tenant, digest, integer(*created_ms)];
            Ok(conn.prepare(ADD_KEY)?.execute(values)? > 0)
        };
        self.write("adding an access key", add).await
    }

    async fn remove_access_key(&self, name: &str) -> Result<bool, IndexError> {
        self.check_default()?;
        let name = name.to_owned();
        let remove = move |conn: TenantConnection<'_>| Ok(conn.prepare(REMOVE_KEY)?.execute([&name])? > 0);
        self.write("removing an access key", remove).await
    }

    async fn list_access_keys(&self) -> Result<Vec<AccessKey>, IndexError> {
        self.check_default()?;
        self.read("listing access keys", keys)
    }

    async fn add_history(&self, batch: &HistoryBatch) -> Result<(), IndexError> {
        let batch = batch.clone();
        self.write("adding to the history", move |conn| history::add(conn, &batch)).await
    }

    async fn sum_history(&self, query: &HistoryQuery) -> Result<Vec<HistorySum>, IndexError> {
        self.read("reading the history", |conn| history::sum(conn, query))
    }

    async fn trim_history(&self, before_hour: u64, most: usize, limit: usize) -> Result<usize, IndexError> {
        let trim = move |conn: TenantConnection<'_>| history::trim(conn, before_hour, most, limit);
        self.write("trimming the history", trim).await
    }
}

impl SqliteIndex {
    /// Access keys are the server's, not a tenant's.
    fn check_default(&self) -> Result<(), IndexError> {
        if self.tenant.is_default() { Ok(()) } else { Err(NOT_OF_DEFAULT) }
    }
}
