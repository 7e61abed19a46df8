//! Parts of a tenant's entries, and pages of them.

use std::collections::HashMap;

use crate::{Entry, EntryDetails, EntryId, EntryOrder, Facts, Index, IndexError, Slot, Trust};

/// Of the entries with a long key, those are found that are among so many newest that begin alike.
#[cfg(feature = "sql")]
pub(crate) const MAX_LONG_KEYS: usize = 1_000;

/// A part of a tenant's entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Within {
    /// One scope of a repository.
    Scope {
        /// As in [`Slot::repository`](crate::Slot::repository).
        repository: String,
        /// As in [`Slot::scope`](crate::Slot::scope).
        scope: String,
    },
    /// One repository.
    Repository(String),
    /// All of the tenant.
    Tenant,
}

/// A page in the order of last use. See [`Index::least_recent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeastRecent {
    /// Where the entries are.
    pub within: Within,
    /// How far their savers are trusted. `None`: all.
    pub trust: Option<Trust>,
    /// Last use and number of the entry after which the page starts. `None`: at the beginning.
    pub after: Option<(u64, EntryId)>,
    /// Most entries of the page.
    pub limit: usize,
}

/// A page of entries that may make room, in the order of last use. See [`Index::list_unused`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnusedPage {
    /// With what is stored beside them.
    pub entries: Vec<Detailed>,
    /// Where the next page starts; `None` after the last one.
    pub next: Option<(u64, EntryId)>,
}

impl UnusedPage {
    /// Leaves out of a page of all entries what was used after `used_after_ms`.
    pub(crate) fn of(listed: Vec<Detailed>, page: &LeastRecent, used_after_ms: u64) -> Self {
        let last = listed.last().filter(|_| listed.len() >= page.limit);
        let next = last.map(|(last, _)| EntryOrder::LastUsed.place(last));
        let may_go =
            |(entry, details): &Detailed| !is_in_use(details.uses, entry.last_used_ms, used_after_ms);
        Self { entries: listed.into_iter().filter(may_go).collect(), next }
    }
}

/// Whether an entry was used after this time. A save is no use.
pub(crate) fn is_in_use(uses: Option<u64>, last_used_ms: u64, used_after_ms: u64) -> bool {
    uses != Some(0) && last_used_ms > used_after_ms
}

/// An entry with what is stored beside it.
pub type Detailed = (Entry, EntryDetails);

/// What is read of an entry for a page.
pub(crate) trait Listed: Sized {
    fn entry(&self) -> &Entry;
}

impl Listed for Entry {
    fn entry(&self) -> &Entry {
        self
    }
}

impl Listed for Detailed {
    fn entry(&self) -> &Entry {
        &self.0
    }
}

/// An entry that has a key, in any scope and version of its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// The entry.
    pub entry: Entry,
    /// Whether it is in quarantine.
    pub quarantined: bool,
}

/// Selects entries by who saved them, and when. Conditions that are not given always hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedBy {
    /// The repositories; none: all.
    pub repositories: Vec<String>,
    /// The scope.
    pub scope: Option<String>,
    /// The git ref of the job: the fact `ref`, and the scope of what has no such fact.
    pub git_ref: Option<String>,
    /// Facts that it was reserved with, by name and value. Without one of these facts nobody knows. The
    /// name of an actor is compared in any case, as platforms do.
    pub facts: Vec<(String, String)>,
    /// First time of creation, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Last time of creation, in milliseconds since 1970.
    pub to_ms: Option<u64>,
}

impl SavedBy {
    /// Returns whether it selects what was made in this slot, with these facts, at this time. `None`: if
    /// the facts that are asked for are missing.
    #[must_use]
    pub fn selects(&self, slot: &Slot, facts: Option<&Facts>, created_ms: u64) -> Option<bool> {
        let fact = |name: &str| facts.and_then(|facts| facts.get(name));
        let is_here = (self.repositories.is_empty() || self.repositories.contains(&slot.repository))
            && self.scope.as_ref().is_none_or(|scope| *scope == slot.scope)
            && self.from_ms.is_none_or(|from_ms| created_ms >= from_ms)
            && self.to_ms.is_none_or(|to_ms| created_ms <= to_ms)
            && self.git_ref.as_ref().is_none_or(|asked| fact("ref").unwrap_or(&slot.scope) == asked);
        let mut known = true;
        for (name, asked) in self.facts.iter().filter(|_| is_here) {
            let is_it = |value: &str| {
                if name == "actor" { value.eq_ignore_ascii_case(asked) } else { value == asked }
            };
            match fact(name) {
                Some(value) if !is_it(value) => return Some(false),
                Some(_) => {}
                None => known = false,
            }
        }
        known.then_some(is_here)
    }
}

/// A page of [`Index::find_saved`](crate::Index::find_saved).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedPage {
    /// What was found, in the order of the numbers. May be empty also if more follows.
    pub found: Vec<Detailed>,
    /// How many may be meant as well: they lack the facts that are asked for.
    pub unknown: usize,
    /// Where the next page starts. `None` if this is the last one.
    pub next: Option<EntryId>,
}

/// Sorts entries in this order, or against it.
pub(crate) fn sort(order: EntryOrder, descending: bool, entries: &mut [impl Listed]) {
    entries.sort_by_key(|one| order.place(one.entry()));
    if descending {
        entries.reverse();
    }
}

/// Returns entries with their details, in their order. Those that were deleted since they were listed are left
/// out.
///
/// # Errors
/// When the index fails.
pub async fn with_details(
    index: &(impl Index + ?Sized),
    entries: Vec<Entry>,
) -> Result<Vec<Detailed>, IndexError> {
    let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
    let details = index.entry_details(&ids).await?;
    let mut details: HashMap<EntryId, EntryDetails> =
        details.into_iter().map(|details| (details.id, details)).collect();
    let detailed = |entry: Entry| {
        let details = details.remove(&entry.id)?;
        Some((entry, details))
    };
    Ok(entries.into_iter().filter_map(detailed).collect())
}

/// Makes a page of [`Index::list_unused`] from the lists of an index.
pub(crate) async fn list_unused(
    index: &(impl Index + ?Sized),
    page: &LeastRecent,
    used_after_ms: u64,
) -> Result<UnusedPage, IndexError> {
    let entries = index.least_recent(&page.within, page.trust, page.after, page.limit).await?;
    let last = entries.last().filter(|_| entries.len() >= page.limit);
    let next = last.map(|last| EntryOrder::LastUsed.place(last));
    let listed = with_details(index, entries).await?;
    Ok(UnusedPage { next, ..UnusedPage::of(listed, page, used_after_ms) })
}

/// Makes a page of [`Index::find_saved`] from the lists of an index.
pub(crate) async fn find_saved(
    index: &(impl Index + ?Sized),
    by: &SavedBy,
    after: EntryId,
    limit: usize,
) -> Result<SavedPage, IndexError> {
    let entries = index.list_entries(after, limit).await?;
    let next = entries.last().map(|last| last.id);
    let mut page = SavedPage { next, ..SavedPage::default() };
    for (entry, details) in with_details(index, entries).await? {
        match by.selects(&entry.slot, details.facts.as_ref(), entry.created_ms) {
            Some(true) => page.found.push((entry, details)),
            Some(false) => {}
            None => page.unknown += 1,
        }
    }
    Ok(page)
}
