//! What operators ask, which differs from server to server in its statements.

use async_trait::async_trait;
use larder_common::TenantName;
use larder_storage::{Digest, ObjectName};

use super::{
    digest::{HEAD_BYTES, HeadRange, head_range},
    fault::{
        Fault,
        RetrySafety::{Always, Never},
    },
    history,
    index::SqlIndex,
    pool::Driver,
    rows::{self, Columns},
    statements::Statements,
    tenant::TenantConnection,
    within,
};
use crate::{
    AccessKey, AccessRole, Catalogue, Entry, EntryId, EntryOrder, IndexError, KeyRule, MatchKind,
    NOT_OF_DEFAULT, Trust, Within,
    catalogue::{HistoryBatch, HistoryQuery, HistorySum},
    within::{MAX_LONG_KEYS, merged_by},
};

/// A page of entries to be read.
#[derive(Clone, Copy)]
pub(super) struct Scan {
    pub(super) order: EntryOrder,
    pub(super) descending: bool,
    /// The part of [`EntryOrder::LastUsed`].
    pub(super) trust: Trust,
    pub(super) value: i64,
    pub(super) id: i64,
    pub(super) limit: i64,
}

/// The statements of a driver, on one connection, for one tenant.
pub(super) trait CatalogueStatements: Driver {
    async fn scan(db: &mut TenantConnection<'_, Self::Connection>, scan: Scan) -> Result<Vec<Entry>, Fault>;

    /// Selects by the head of the key.
    async fn with_key(
        db: &mut TenantConnection<'_, Self::Connection>,
        key: &AnyPlaceKey,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault>;

    /// Selects by the heads of repository and scope.
    async fn count(db: &mut TenantConnection<'_, Self::Connection>, within: &Within) -> Result<u64, Fault>;

    async fn record_digest(
        db: &mut TenantConnection<'_, Self::Connection>,
        id: EntryId,
        object: &ObjectName,
        digest: &Digest,
    ) -> Result<bool, Fault>;

    async fn add_access_key(
        db: &mut TenantConnection<'_, Self::Connection>,
        key: &AccessKey,
    ) -> Result<bool, Fault>;

    async fn remove_access_key(
        db: &mut TenantConnection<'_, Self::Connection>,
        name: &str,
    ) -> Result<bool, Fault>;

    async fn access_keys(db: &mut TenantConnection<'_, Self::Connection>) -> Result<Vec<AccessKey>, Fault>;
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

async fn scan<D: CatalogueStatements>(
    db: &mut TenantConnection<'_, D::Connection>,
    scan: Scan,
    limit: usize,
) -> Result<Vec<Entry>, Fault> {
    let low = D::scan(db, scan).await?;
    if scan.order != EntryOrder::LastUsed {
        return Ok(low);
    }
    // The trust of an entry never changes, so no entry is in both.
    let full = D::scan(db, Scan { trust: Trust::Full, ..scan }).await?;
    Ok(merged_by(scan.order, scan.descending, low, full, limit))
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
        return D::count(db, within).await;
    }
    let (mut counted, mut after) = (0, None);
    loop {
        let page = within::least_recent::<D>(db, within, None, after, PAGE).await?;
        counted += page.len() as u64;
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some((last.last_used_ms, last.id)),
            _ => return Ok(counted),
        }
    }
}

/// Reads an access key from the first columns: name, role, tenant, digest, created_ms.
pub(super) fn access_key(row: &impl Columns) -> sqlx::Result<AccessKey> {
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

/// The name of the tenant of an access key, as stored.
pub(super) fn tenant_column(key: &AccessKey) -> Option<&[u8]> {
    key.tenant.as_ref().map(|name| TenantName::as_str(name).as_bytes())
}

#[async_trait]
impl<D: Statements> Catalogue for SqlIndex<D>
where
    D::Connection: 'static,
{
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
        let asked = Scan { order, descending, trust: Trust::Low, value, id, limit: rows::limit(limit) };
        let list =
            async move |db: &mut TenantConnection<'_, D::Connection>| scan::<D>(db, asked, limit).await;
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
        let (object, digest) = (object.clone(), digest.clone());
        let record = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::record_digest(db, id, &object, &digest).await
        };
        self.call("recording a digest", Always, record).await
    }

    async fn add_access_key(&self, key: &AccessKey) -> Result<bool, IndexError> {
        self.check_default()?;
        let key = key.clone();
        // A retry would find its own key, and say that there was one.
        let add = async move |db: &mut TenantConnection<'_, D::Connection>| D::add_access_key(db, &key).await;
        self.call("adding an access key", Never, add).await
    }

    async fn remove_access_key(&self, name: &str) -> Result<bool, IndexError> {
        self.check_default()?;
        let name = name.to_owned();
        let remove =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::remove_access_key(db, &name).await;
        self.call("removing an access key", Never, remove).await
    }

    async fn list_access_keys(&self) -> Result<Vec<AccessKey>, IndexError> {
        self.check_default()?;
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| D::access_keys(db).await;
        self.call("listing access keys", Always, list).await
    }

    async fn add_history(&self, batch: &HistoryBatch) -> Result<(), IndexError> {
        let batch = history::sorted(batch);
        // The number of the batch makes a retry harmless.
        let add = async move |db: &mut TenantConnection<'_, D::Connection>| D::add_history(db, &batch).await;
        self.call("adding to the history", Always, add).await
    }

    async fn sum_history(&self, query: &HistoryQuery) -> Result<Vec<HistorySum>, IndexError> {
        let query = query.clone();
        let sum = async move |db: &mut TenantConnection<'_, D::Connection>| D::sum_history(db, &query).await;
        self.call("reading the history", Always, sum).await
    }

    async fn trim_history(&self, before_hour: u64, most: usize, limit: usize) -> Result<usize, IndexError> {
        let trim = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::trim_history(db, before_hour, most, limit).await
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
