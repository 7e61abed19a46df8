//! What is stored beside entries and uploads about who saved them, and how often entries were used.

use std::collections::BTreeMap;

use larder_common::facts::Facts;
use larder_storage::Digest;

use crate::{EntryId, Trust};

/// The columns of details, but the id and the object, as the list of a `SELECT`.
macro_rules! detail_columns {
    () => {
        "uses, facts, trust, quarantined_ms, digest"
    };
}

pub(crate) use detail_columns;

/// What is stored of an entry beside [`Entry`](crate::Entry), and what no look-up needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryDetails {
    /// The entry.
    pub id: EntryId,
    /// The facts that it was reserved with. `None` for entries of releases that did not store them.
    pub facts: Option<Facts>,
    /// How often it was used. `None` for entries of releases that did not count.
    pub uses: Option<u64>,
    /// How far its saver is trusted. `None` for entries of releases that did not store it: see
    /// [`Trust::of`].
    pub trust: Option<Trust>,
    /// When it was put into quarantine, in milliseconds since 1970. `None` if it is not there.
    pub quarantined_ms: Option<u64>,
    /// What is known of the bytes of its object. `None` for entries of releases that did not record it, and
    /// where the server does not.
    pub digest: Option<Digest>,
}

/// Uses of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryUses {
    /// The entry.
    pub id: EntryId,
    /// When the last one was, in milliseconds since 1970.
    pub last_used_ms: u64,
    /// How many there were.
    pub count: u32,
}

impl EntryUses {
    /// One use.
    #[must_use]
    pub fn once(id: EntryId, last_used_ms: u64) -> Self {
        Self { id, last_used_ms, count: 1 }
    }
}

/// The name of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryName {
    /// As in [`Slot::repository`](crate::Slot::repository).
    pub repository: String,
    /// `owner/name`, as the platform writes it.
    pub name: String,
    /// When it had this name, in milliseconds since 1970.
    pub named_ms: u64,
}

/// Longest repository, and longest name of one, that is stored in [`RepositoryName`], in bytes.
pub const MAX_REPOSITORY_NAME_BYTES: usize = 255;

/// Most repositories that [`Index::find_repositories`](crate::Index::find_repositories) returns.
pub(crate) const MAX_NAMESAKES: usize = 100;

impl RepositoryName {
    fn fits(&self) -> bool {
        [&self.repository, &self.name].iter().all(|text| text.len() <= MAX_REPOSITORY_NAME_BYTES)
    }
}

/// Returns a repository's name in the form in which names are compared.
pub(crate) fn folded_name(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Returns the latest time of each id, sorted by id, so that concurrent batches lock rows in the
/// same order.
pub(crate) fn latest<I: Ord + Clone>(uses: &[(I, u64)]) -> BTreeMap<I, u64> {
    let mut latest = BTreeMap::new();
    for (id, at) in uses {
        latest.entry(id.clone()).and_modify(|known: &mut u64| *known = *at.max(known)).or_insert(*at);
    }
    latest
}

/// Returns the uses of each entry together, sorted by id, so that concurrent batches lock rows in
/// the same order.
pub(crate) fn summed(uses: &[EntryUses]) -> Vec<EntryUses> {
    let mut summed: BTreeMap<EntryId, EntryUses> = BTreeMap::new();
    for one in uses {
        let sum = summed.entry(one.id).or_insert(EntryUses { count: 0, ..*one });
        sum.last_used_ms = sum.last_used_ms.max(one.last_used_ms);
        sum.count = sum.count.saturating_add(one.count);
    }
    summed.into_values().collect()
}

/// Returns the latest name of each repository, sorted by repository, without those that are too
/// long.
pub(crate) fn latest_names(names: &[RepositoryName]) -> Vec<&RepositoryName> {
    let mut latest: BTreeMap<&str, &RepositoryName> = BTreeMap::new();
    for name in names.iter().filter(|name| name.fits()) {
        let known = latest.entry(&name.repository).or_insert(name);
        if name.named_ms >= known.named_ms {
            *known = name;
        }
    }
    latest.into_values().collect()
}
