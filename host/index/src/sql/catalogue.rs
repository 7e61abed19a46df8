//! What operators ask, which differs from server to server in its statements.

use async_trait::async_trait;
use larder_storage::{Digest, ObjectName};

use super::{
    digest::{HEAD_BYTES, HeadRange, head_range},
    execute::{Execute, Value},
    fault::{
        Fault,
        RetrySafety::{Always, Never},
    },
    history,
    index::SqlIndex,
    pool::Driver,
    rows::{self, Columns, integer},
    statements::Statements,
    tenant::TenantConnection,
    within,
};
use crate::{
    AccessKey, AccessRole, Catalogue, Entry, EntryId, EntryOrder, IndexError, KeyRule, LeastRecent,
    MAX_ACCESS_KEYS, MatchKind, NOT_OF_DEFAULT, Within,
    catalogue::{Connections, HistoryBatch, HistoryQuery, HistorySum},
    digest_text,
    within::MAX_LONG_KEYS,
};

/// A page of entries to be read.
#[derive(Clone, Copy)]
pub(super) struct Scan {
    pub(super) order: EntryOrder,
    pub(super) descending: bool,
    pub(super) value: i64,
    pub(super) id: i64,
    pub(super) limit: i64,
}

/// The statements of a driver, on one connection, for one tenant; and texts with the parameters that are named.
pub(super) trait CatalogueStatements: Execute {
    async fn scan(db: &mut TenantConnection<'_, Self::Connection>, scan: Scan) -> Result<Vec<Entry>, Fault>;

    /// Returns what a text counts in an index.
    async fn count(
        connection: &mut Self::Connection,
        text: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, Fault> {
        let counted = Self::fetch(connection, text, values, |row| rows::number(row, 0)).await?;
        Ok(counted.first().copied().unwrap_or_default())
    }

    /// Selects by the head of the key.
    async fn with_key(
        db: &mut TenantConnection<'_, Self::Connection>,
        key: &AnyPlaceKey,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault>;

    /// Counts entries: tenant.
    const COUNT_TENANT: &'static str;
    /// Counts entries: tenant, head of the repository.
    const COUNT_REPOSITORY: &'static str;
    /// Counts entries: tenant, heads of repository and scope.
    const COUNT_SCOPE: &'static str;
    /// Records a digest, and counts the row also if it does not change: digest, tenant, id, object.
    const RECORD_DIGEST: &'static str;
    /// Adds an access key, if there is none of the name: its columns.
    const ADD_KEY: &'static str;
    /// Deletes an access key: name.
    const REMOVE_KEY: &'static str;
    /// The access keys by name, as [`access_key`] reads them: limit.
    const KEYS: &'static str;
}

/// A key or prefix, wherever it is.
pub(super) struct AnyPlaceKey {
    /// As compared.
    key: String,
    kind: MatchKind,
    rule: KeyRule,
}

impl AnyPlaceKey {
    pub(super) fn key(&self) -> &[u8] {
        within::head(&self.key)
    }

    /// The heads of the keys with the prefix. `None` for a key.
    pub(super) fn prefix(&self) -> Option<HeadRange> {
        match self.kind {
            MatchKind::Exact => None,
            MatchKind::Prefix => Some(head_range(&self.key)),
        }
    }

    /// How many rows to read for so many matches.
    fn rows(&self, limit: usize) -> usize {
        if self.key.len() < HEAD_BYTES { limit } else { limit.max(MAX_LONG_KEYS) }
    }

    fn matches(&self, entry: &Entry) -> bool {
        let key = self.rule.compared(&entry.slot.key);
        match self.kind {
            MatchKind::Exact => key == self.key,
            MatchKind::Prefix => key.starts_with(&self.key),
        }
    }
}

/// Rows that are read at once where heads do not decide.
const PAGE: usize = 1_000;

async fn count<D: Statements>(
    db: &mut TenantConnection<'_, D::Connection>,
    within: &Within,
) -> Result<u64, Fault> {
    let is_long = match within {
        Within::Tenant => false,
        Within::Repository(repository) => repository.len() >= HEAD_BYTES,
        Within::Scope { repository, scope } => repository.len().max(scope.len()) >= HEAD_BYTES,
    };
    if !is_long {
        return count_by_heads::<D>(db, within).await;
    }
    let mut counted = 0;
    let mut asked = LeastRecent { within: within.clone(), trust: None, after: None, limit: PAGE };
    loop {
        let page: Vec<Entry> = within::least_recent::<D, _>(db, &asked).await?;
        counted += page.len() as u64;
        match page.last() {
            Some(last) if page.len() == PAGE => asked.after = Some((last.last_used_ms, last.id)),
            _ => return Ok(counted),
        }
    }
}

async fn count_by_heads<D: CatalogueStatements>(
    db: &mut TenantConnection<'_, D::Connection>,
    within: &Within,
) -> Result<u64, Fault> {
    let tenant = Value::from(db.tenant());
    let (text, values) = match within {
        Within::Tenant => (D::COUNT_TENANT, vec![tenant]),
        Within::Repository(repository) => {
            (D::COUNT_REPOSITORY, vec![tenant, within::head(repository).into()])
        }
        Within::Scope { repository, scope } => {
            let heads = [repository, scope].map(|text| Value::from(within::head(text)));
            (D::COUNT_SCOPE, [tenant].into_iter().chain(heads).collect())
        }
    };
    D::count(db.connection, text, &values).await
}

/// Reads an access key from the first columns: name, role, tenant, digest, created_ms.
fn access_key(row: &impl Columns) -> sqlx::Result<AccessKey> {
    let role = rows::text(row, 1)?;
    let digest = rows::value(row, 3)?;
    Ok(AccessKey {
        name: rows::text(row, 0)?,
        role: AccessRole::parse(&role)
            .ok_or_else(|| sqlx::Error::Decode(format!("no role is called {role}").into()))?,
        tenant: row.bytes(2)?.map(|_| rows::tenant(row, 2)).transpose()?,
        digest: digest
            .try_into()
            .map_err(|_| sqlx::Error::Decode("the digest of an access key has another length".into()))?,
        created_ms: rows::number(row, 4)?,
    })
}

/// Returns the columns of an access key, as they are stored.
fn access_key_columns(key: &AccessKey) -> [Value<'_>; 5] {
    [
        Value::from(&*key.name),
        Value::from(key.role.name()),
        Value::from(key.tenant.as_ref().map(|name| name.as_str().as_bytes())),
        Value::from(&key.digest[..]),
        Value::from(integer(key.created_ms)),
    ]
}

#[async_trait]
impl<D: Statements> Catalogue for SqlIndex<D>
where
    D::Connection: 'static,
{
    fn connections(&self) -> Option<Connections> {
        Some(self.client.connections())
    }

    fn key_rule(&self) -> KeyRule {
        self.rule
    }

    async fn scan_entries(
        &self,
        order: EntryOrder,
        descending: bool,
        after: Option<(u64, EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        let first = if descending { (i64::MAX, i64::MAX) } else { (-1, -1) };
        let (value, id) = after.map_or(first, |(value, id)| (rows::integer(value), rows::integer(id.0)));
        let asked = Scan { order, descending, value, id, limit: rows::limit(limit) };
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| D::scan(db, asked).await;
        self.call("listing entries in an order", Always, list).await
    }

    async fn entries_with_key(
        &self,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        let key = AnyPlaceKey { key: self.rule.compared(key).into_owned(), kind, rule: self.rule };
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| {
            let rows = D::with_key(db, &key, key.rows(limit)).await?;
            Ok(rows.into_iter().filter(|entry| key.matches(entry)).take(limit).collect())
        };
        self.call("finding entries of a key", Always, list).await
    }

    async fn count_entries(&self, within: &Within) -> Result<u64, IndexError> {
        let within = within.clone();
        let counted = async move |db: &mut TenantConnection<'_, D::Connection>| count::<D>(db, &within).await;
        self.call("counting entries", Always, counted).await
    }

    async fn record_digest(
        &self,
        id: EntryId,
        object: &ObjectName,
        digest: &Digest,
    ) -> Result<bool, IndexError> {
        let (object, text) = (object.clone(), digest_text::column(object, digest));
        let record = async move |db: &mut TenantConnection<'_, D::Connection>| {
            let values = [
                Value::from(&*text),
                Value::from(db.tenant()),
                Value::from(integer(id.0)),
                Value::from(object.as_str()),
            ];
            Ok(D::execute(db.connection, D::RECORD_DIGEST, &values).await? > 0)
        };
        self.call("recording a digest", Always, record).await
    }

    async fn add_access_key(&self, key: &AccessKey) -> Result<bool, IndexError> {
        self.check_default()?;
        let key = key.clone();
        // A retry would find its own key, and say that there was one.
        let add = async move |db: &mut TenantConnection<'_, D::Connection>| {
            Ok(D::execute(db.connection, D::ADD_KEY, &access_key_columns(&key)).await? > 0)
        };
        self.call("adding an access key", Never, add).await
    }

    async fn remove_access_key(&self, name: &str) -> Result<bool, IndexError> {
        self.check_default()?;
        let name = name.to_owned();
        let remove = async move |db: &mut TenantConnection<'_, D::Connection>| {
            Ok(D::execute(db.connection, D::REMOVE_KEY, &[Value::from(&*name)]).await? > 0)
        };
        self.call("removing an access key", Never, remove).await
    }

    async fn list_access_keys(&self) -> Result<Vec<AccessKey>, IndexError> {
        self.check_default()?;
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| {
            let limit = [Value::from(rows::limit(MAX_ACCESS_KEYS))];
            D::fetch(db.connection, D::KEYS, &limit, access_key).await
        };
        self.call("listing access keys", Always, list).await
    }

    async fn add_history(&self, batch: &HistoryBatch) -> Result<(), IndexError> {
        let batch = history::sorted(batch);
        // The number of the batch makes a retry harmless.
        let add =
            async move |db: &mut TenantConnection<'_, D::Connection>| history::add::<D>(db, &batch).await;
        self.call("adding to the history", Always, add).await
    }

    async fn sum_history(&self, query: &HistoryQuery) -> Result<Vec<HistorySum>, IndexError> {
        let query = query.clone();
        let sum =
            async move |db: &mut TenantConnection<'_, D::Connection>| history::sums::<D>(db, &query).await;
        self.call("reading the history", Always, sum).await
    }

    async fn trim_history(&self, before_hour: u64, most: usize, limit: usize) -> Result<usize, IndexError> {
        let trim = async move |db: &mut TenantConnection<'_, D::Connection>| {
            history::trim::<D>(db, before_hour, most, limit).await
        };
        self.call("trimming the history", Always, trim).await
    }
}

impl<D: Driver> SqlIndex<D> {
    /// Access keys are the server's, not a tenant's.
    fn check_default(&self) -> Result<(), IndexError> {
        if self.tenant.is_default() { Ok(()) } else { Err(NOT_OF_DEFAULT) }
    }
}
