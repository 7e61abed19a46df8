//! Parts of a tenant's entries, and pages of them.

use crate::{Entry, EntryDetails, EntryId};

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

/// An entry that has a key, in any scope and version of its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// The entry.
    pub entry: Entry,
    /// Whether it is in quarantine.
    pub quarantined: bool,
}

/// Selects entries by who saved them, and when. Conditions that are `None` always hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedBy {
    /// The repository.
    pub repository: Option<String>,
    /// The scope.
    pub scope: Option<String>,
    /// A fact that the entry was reserved with: its name and value. An entry without facts never has
    /// it.
    pub fact: Option<(String, String)>,
    /// First time of creation, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Last time of creation, in milliseconds since 1970.
    pub to_ms: Option<u64>,
}

impl SavedBy {
    /// Whether it selects this entry.
    #[must_use]
    pub fn selects(&self, entry: &Entry, details: &EntryDetails) -> bool {
        let is = |asked: &Option<String>, text: &str| asked.as_deref().is_none_or(|asked| asked == text);
        let has = |(name, value): &(String, String)| {
            details.facts.as_ref().is_some_and(|facts| facts.get(name) == Some(value.as_str()))
        };
        is(&self.repository, &entry.slot.repository)
            && is(&self.scope, &entry.slot.scope)
            && self.fact.as_ref().is_none_or(has)
            && self.from_ms.is_none_or(|from_ms| entry.created_ms >= from_ms)
            && self.to_ms.is_none_or(|to_ms| entry.created_ms <= to_ms)
    }
}

/// A page of [`Index::find_saved`](crate::Index::find_saved).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedPage {
    /// What was found, in the order of the numbers. May be empty also if more follows.
    pub found: Vec<(Entry, EntryDetails)>,
    /// Where the next page starts. `None` if this is the last one.
    pub next: Option<EntryId>,
}

/// Returns the first `limit` of two lists in the order of last use, each of which has it.
pub(crate) fn merged(one: Vec<Entry>, other: Vec<Entry>, limit: usize) -> Vec<Entry> {
    if one.is_empty() || other.is_empty() {
        return if one.is_empty() { other } else { one };
    }
    let mut all = one;
    all.extend(other);
    all.sort_by_key(|entry| (entry.last_used_ms, entry.id));
    all.truncate(limit);
    all
}
