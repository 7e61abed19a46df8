//! The statements about parts of a tenant's entries and uploads, which differ from server to server.
//!
//! The servers' indexes have the first [`HEAD_BYTES`] of long texts, so their statements return also
//! rows whose texts only begin alike. Here these are left out.

use super::{
    digest::{HEAD_BYTES, HeadRange, head_range},
    facts,
    fault::Fault,
    pool::Driver,
    rows::{self, Columns},
    tenant::TenantConnection,
};
use crate::{
    Detailed, Entry, EntryId, KeyRule, LeastRecent, MatchKind, Near, Slot, Trust, UnusedPage, Upload,
    UploadId, Within,
    within::{Listed, MAX_LONG_KEYS},
};

/// What is read of a row in the order of last use.
pub(super) trait ListedRow: Listed + Send {
    /// Whether the details are read, too.
    const DETAILED: bool;

    /// Reads it from the columns of [`rows::entry`], and from the details behind them.
    fn read(row: &impl Columns) -> sqlx::Result<Self>;
}

impl ListedRow for Entry {
    const DETAILED: bool = false;

    fn read(row: &impl Columns) -> sqlx::Result<Self> {
        rows::entry(row)
    }
}

impl ListedRow for Detailed {
    const DETAILED: bool = true;

    fn read(row: &impl Columns) -> sqlx::Result<Self> {
        Ok((rows::entry(row)?, facts::details_at(row, 5, 10)?))
    }
}

/// The statements of a driver, on one connection, for one tenant. Repository, scope and key select by
/// their heads.
pub(super) trait WithinStatements: Driver {
    /// Returns up to `limit` entries in the order of last use: of this trust, or all.
    async fn least_recent<L: ListedRow>(
        db: &mut TenantConnection<'_, Self::Connection>,
        within: &Within,
        trust: Option<Trust>,
        after: (i64, i64),
        limit: usize,
    ) -> Result<Vec<L>, Fault>;

    /// Returns up to `limit` entries with this key, the newest first, or with this prefix.
    async fn near(
        db: &mut TenantConnection<'_, Self::Connection>,
        place: &KeyPlace,
        limit: usize,
    ) -> Result<Vec<Near>, Fault>;

    /// Returns up to `limit` uploads with this key, the newest first, or with this prefix.
    async fn uploads_near(
        db: &mut TenantConnection<'_, Self::Connection>,
        place: &KeyPlace,
        limit: usize,
    ) -> Result<Vec<Upload>, Fault>;

    /// Returns up to `limit` uploads of a repository and scope by number.
    async fn uploads_in_scope(
        db: &mut TenantConnection<'_, Self::Connection>,
        place: [&str; 2],
        after: UploadId,
        limit: usize,
    ) -> Result<Vec<Upload>, Fault>;

    /// See [`set_quarantined`](crate::Index::set_quarantined).
    async fn set_quarantined(
        db: &mut TenantConnection<'_, Self::Connection>,
        ids: &[EntryId],
        at_ms: Option<u64>,
    ) -> Result<usize, Fault>;
}

/// The part of a text that is in the indexes.
pub(super) fn head(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(HEAD_BYTES)]
}

/// A key or prefix in a repository.
pub(super) struct KeyPlace {
    repository: String,
    /// As compared.
    key: String,
    kind: MatchKind,
    rule: KeyRule,
}

impl KeyPlace {
    pub(super) fn new(repository: &str, key: &str, kind: MatchKind, rule: KeyRule) -> Self {
        Self { repository: repository.to_owned(), key: rule.compared(key).into_owned(), kind, rule }
    }

    pub(super) fn repository(&self) -> &[u8] {
        head(&self.repository)
    }

    pub(super) fn key(&self) -> &[u8] {
        head(&self.key)
    }

    /// The heads of the keys with the prefix. `None` for a key.
    pub(super) fn prefix(&self) -> Option<HeadRange> {
        match self.kind {
            MatchKind::Exact => None,
            MatchKind::Prefix => Some(head_range(&self.key)),
        }
    }

    /// How many rows to read for so many matches.
    pub(super) fn rows(&self, limit: usize) -> usize {
        let is_whole = self.repository.len() < HEAD_BYTES && self.key.len() < HEAD_BYTES;
        if is_whole { limit } else { limit.max(MAX_LONG_KEYS) }
    }

    /// Leaves out what only begins alike.
    pub(super) fn matching<T>(&self, rows: Vec<T>, limit: usize, slot: fn(&T) -> &Slot) -> Vec<T> {
        let is_here = |row: &T| {
            let slot = slot(row);
            let key = self.rule.compared(&slot.key);
            slot.repository == self.repository
                && match self.kind {
                    MatchKind::Exact => key == self.key,
                    MatchKind::Prefix => key.starts_with(&self.key),
                }
        };
        rows.into_iter().filter(is_here).take(limit).collect()
    }
}

impl Within {
    fn contains(&self, slot: &Slot) -> bool {
        match self {
            Self::Scope { repository, scope } => slot.repository == *repository && slot.scope == *scope,
            Self::Repository(repository) => slot.repository == *repository,
            Self::Tenant => true,
        }
    }
}

/// See [`least_recent`](crate::Index::least_recent).
pub(super) async fn least_recent<D: WithinStatements, L: ListedRow>(
    db: &mut TenantConnection<'_, D::Connection>,
    LeastRecent { within, trust, after, limit }: &LeastRecent,
) -> Result<Vec<L>, Fault> {
    let integer = rows::integer;
    let mut after = after.map_or((-1, -1), |(used_ms, id)| (integer(used_ms), integer(id.0)));
    let mut found: Vec<L> = Vec::new();
    while found.len() < *limit {
        let asked = limit - found.len();
        let page: Vec<L> = D::least_recent(db, within, *trust, after, asked).await?;
        let is_last = page.len() < asked;
        let Some(last) = page.last().map(L::entry) else { break };
        after = (integer(last.last_used_ms), integer(last.id.0));
        found.extend(page.into_iter().filter(|one| within.contains(&one.entry().slot)));
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// See [`list_unused`](crate::Index::list_unused).
pub(super) async fn unused<D: WithinStatements>(
    db: &mut TenantConnection<'_, D::Connection>,
    page: &LeastRecent,
    used_after_ms: u64,
) -> Result<UnusedPage, Fault> {
    Ok(UnusedPage::of(least_recent::<D, Detailed>(db, page).await?, page, used_after_ms))
}

/// See [`uploads_in_scope`](crate::Index::uploads_in_scope).
pub(super) async fn uploads_in<D: WithinStatements>(
    db: &mut TenantConnection<'_, D::Connection>,
    [repository, scope]: &[String; 2],
    mut after: UploadId,
    limit: usize,
) -> Result<Vec<Upload>, Fault> {
    let mut found: Vec<Upload> = Vec::new();
    while found.len() < limit {
        let asked = limit - found.len();
        let page = D::uploads_in_scope(db, [repository, scope], after, asked).await?;
        let is_last = page.len() < asked;
        let Some(last) = page.last() else { break };
        after = last.id;
        let is_here = |upload: &Upload| upload.slot.repository == *repository && upload.slot.scope == *scope;
        found.extend(page.into_iter().filter(is_here));
        if is_last {
            break;
        }
    }
    Ok(found)
}
