//! Pages of entries with any filter, in any order, at a bounded cost.
//!
//! What a filter selects is gathered and sorted, if it is little. If it is much, the entries are read in
//! the order that is asked for, and what does not match is left out: then matches are frequent, or the
//! page ends after a bounded number of entries, with a place to go on from.

use crate::{Entry, EntryId, EntryOrder, Index, IndexError, KeyRule, MatchKind, Within, within::sort};

/// Most entries that are gathered and sorted.
const GATHERED: usize = if cfg!(test) { 4 } else { 5_000 };

/// Most entries that are looked at for one page, in the order that is asked for.
const LOOKED_AT: usize = if cfg!(test) { 100 } else { 10_000 };

/// Entries that are read at once.
const PAGE: usize = if cfg!(test) { 60 } else { 1_000 };

/// Selects entries. What is not given always matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// The repository, as in [`Slot::repository`](crate::Slot::repository).
    pub repository: Option<String>,
    /// The scope.
    pub scope: Option<String>,
    /// The version.
    pub version: Option<String>,
    /// The key, by the rule of the database.
    pub key: Option<String>,
    /// How the key begins, likewise.
    pub key_prefix: Option<String>,
    /// Whether it was never used since it was made; false: either way.
    pub never_used: bool,
}

/// A page of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Browsed {
    /// In the order that was asked for. May be empty also if more follows.
    pub entries: Vec<Entry>,
    /// Where the next page starts. `None` if this is the last one.
    pub next: Option<(u64, EntryId)>,
}

impl EntryFilter {
    /// Returns whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn matches(&self, entry: &Entry, rule: KeyRule) -> bool {
        let slot = &entry.slot;
        let is = |asked: &Option<String>, text: &str| asked.as_deref().is_none_or(|asked| asked == text);
        let key = rule.compared(&slot.key);
        is(&self.repository, &slot.repository)
            && is(&self.scope, &slot.scope)
            && is(&self.version, &slot.version)
            && (!self.never_used || entry.last_used_ms <= entry.created_ms)
            && self.key.as_deref().is_none_or(|asked| rule.compared(asked) == key)
            && self.key_prefix.as_deref().is_none_or(|asked| key.starts_with(&*rule.compared(asked)))
    }

    fn search(&self) -> Option<(&str, MatchKind)> {
        let exact = self.key.as_deref().map(|key| (key, MatchKind::Exact));
        exact.or(self.key_prefix.as_deref().filter(|key| !key.is_empty()).map(|key| (key, MatchKind::Prefix)))
    }

    /// The part of the entries that an index has together; `None` if that is not all that it asks.
    fn within(&self) -> Option<Within> {
        match (&self.repository, &self.scope) {
            (None, None) => Some(Within::Tenant),
            (Some(repository), None) => Some(Within::Repository(repository.clone())),
            (Some(repository), Some(scope)) => {
                Some(Within::Scope { repository: repository.clone(), scope: scope.clone() })
            }
            (None, Some(_)) => None,
        }
    }
}

/// Returns up to `limit` entries that `filter` selects in this order, or against it, starting behind the
/// place `after`. Looks at some thousand entries at most.
///
/// # Errors
/// Those of the index.
pub async fn browse(
    index: &(impl Index + ?Sized),
    filter: &EntryFilter,
    (order, descending): (EntryOrder, bool),
    after: Option<(u64, EntryId)>,
    limit: usize,
) -> Result<Browsed, IndexError> {
    if limit == 0 {
        return Ok(Browsed { entries: Vec::new(), next: after });
    }
    let Some(mut found) = gather(index, filter).await? else {
        return scan(index, filter, (order, descending), after, limit).await;
    };
    sort(order, descending, &mut found);
    if let Some(after) = after {
        let is_behind = |place: (u64, EntryId)| if descending { place < after } else { place > after };
        found.retain(|entry| is_behind(order.place(entry)));
    }
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).map(|last| order.place(last));
    Ok(Browsed { entries: found, next })
}

/// Returns how many entries `filter` selects. Where it selects many of them by key or version, it reads
/// all entries.
///
/// # Errors
/// Those of the index.
pub async fn count(index: &(impl Index + ?Sized), filter: &EntryFilter) -> Result<u64, IndexError> {
    let is_place = filter.search().is_none() && filter.version.is_none() && !filter.never_used;
    if let Some(within) = filter.within().filter(|_| is_place) {
        return index.count_entries(&within).await;
    }
    if let Some(found) = gather(index, filter).await? {
        return Ok(found.len() as u64);
    }
    let (mut counted, mut after) = (0, None);
    loop {
        let page = scan(index, filter, (EntryOrder::Created, false), after, usize::MAX).await?;
        counted += page.entries.len() as u64;
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(counted),
        }
    }
}

/// Returns all that the filter selects; `None` if that may be much.
async fn gather(
    index: &(impl Index + ?Sized),
    filter: &EntryFilter,
) -> Result<Option<Vec<Entry>>, IndexError> {
    let most = GATHERED + 1;
    let found = match (&filter.repository, filter.search()) {
        (Some(repository), Some((key, kind))) => {
            let near = index.list_near(repository, key, kind, most).await?;
            near.into_iter().map(|near| near.entry).collect()
        }
        (None, Some((key, kind))) => index.entries_with_key(key, kind, most).await?,
        (Some(_), None) => match filter.within() {
            Some(within) => index.least_recent(&within, None, None, most).await?,
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    if found.len() == most {
        return Ok(None);
    }
    let rule = index.key_rule();
    Ok(Some(found.into_iter().filter(|entry| filter.matches(entry, rule)).collect()))
}

async fn scan(
    index: &(impl Index + ?Sized),
    filter: &EntryFilter,
    (order, descending): (EntryOrder, bool),
    mut after: Option<(u64, EntryId)>,
    limit: usize,
) -> Result<Browsed, IndexError> {
    let (rule, mut found, mut looked_at) = (index.key_rule(), Vec::new(), 0);
    while looked_at < LOOKED_AT {
        // What is asked for is often all there is.
        let asked = if filter.is_empty() { PAGE.min(limit.saturating_add(1)) } else { PAGE };
        let page = index.scan_entries(order, descending, after, asked).await?;
        let is_last = page.len() < asked;
        for entry in page {
            if found.len() == limit {
                return Ok(Browsed { entries: found, next: after });
            }
            after = Some(order.place(&entry));
            looked_at += 1;
            if filter.matches(&entry, rule) {
                found.push(entry);
            }
        }
        if is_last {
            return Ok(Browsed { entries: found, next: None });
        }
    }
    Ok(Browsed { entries: found, next: after })
}
