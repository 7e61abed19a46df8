//! What a sweep knows of all entries before it reviews any: the roots that the guest selected, and
//! how many newer entries are in each entry's groups: that of the guest, and that of the rules.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use larder_index::{Entry, EntryId};

use crate::retention::{Roots, Selection};

/// Most roots held in memory.
const MAX_ROOTS: usize = 50_000;
/// Most roots that the guest gets with one page.
const MAX_ROOTS_PER_PAGE: usize = 10_000;
/// Most entries whose place in a group is held in memory: 16 MiB. Of further ones nothing is known, so
/// they stay until earlier ones are gone.
const MAX_MEMBERS: usize = 1 << 20;

/// What is known of all entries.
#[derive(Default)]
pub(super) struct Survey {
    roots: HashMap<String, Vec<Entry>>,
    root_count: usize,
    roots_are_incomplete: bool,
    groups: Groups,
    rule_groups: Groups,
    shadow_groups: Groups,
    hasher: RandomState,
}

/// Entries with their groups.
#[derive(Default)]
struct Groups {
    /// In the order of the ids, each with a hash of its group. Groups that share a hash by chance, one
    /// in billions, would count as one.
    members: Vec<(EntryId, u64)>,
    are_incomplete: bool,
}

/// How many newer entries are in the group of each: in the order of the ids.
pub(super) struct Places(Vec<(EntryId, u32)>);

impl Survey {
    /// Adds what the guest selected of a page. Pages come in the order of the ids.
    pub(super) fn add(&mut self, page: &[Entry], selected: &Selection) {
        let roots: HashSet<EntryId> = selected.roots.iter().copied().collect();
        for entry in page.iter().filter(|entry| roots.contains(&entry.id)) {
            self.add_root(entry);
        }
        for (id, group) in &selected.groups {
            self.groups.add(*id, self.hasher.hash_one(group));
        }
    }

    /// Adds the groups of the rules, in the order of the ids. They count within a repository, scope and
    /// version.
    pub(super) fn add_rule_groups<'a>(&mut self, groups: impl Iterator<Item = (&'a Entry, &'a str)>) {
        for (entry, group) in groups {
            self.rule_groups.add(entry.id, self.hash(entry, group));
        }
    }

    /// The same of the rules in the shadow.
    pub(super) fn add_shadow_groups<'a>(&mut self, groups: impl Iterator<Item = (&'a Entry, &'a str)>) {
        for (entry, group) in groups {
            self.shadow_groups.add(entry.id, self.hash(entry, group));
        }
    }

    fn hash(&self, entry: &Entry, group: &str) -> u64 {
        let slot = &entry.slot;
        self.hasher.hash_one((&slot.repository, &slot.scope, &slot.version, group))
    }

    fn add_root(&mut self, entry: &Entry) {
        if self.root_count == MAX_ROOTS {
            self.roots_are_incomplete = true;
            return;
        }
        self.root_count += 1;
        self.roots.entry(entry.slot.repository.clone()).or_default().push(entry.clone());
    }

    /// Returns the roots that the guest gets with a page of entries.
    pub(super) fn roots_for(&self, page: &[Entry]) -> Roots {
        let repositories: HashSet<&str> = page.iter().map(|entry| entry.slot.repository.as_str()).collect();
        let selected = repositories.into_iter().filter_map(|repository| self.roots.get(repository));
        let mut entries: Vec<Entry> = selected.flatten().take(MAX_ROOTS_PER_PAGE + 1).cloned().collect();
        let complete = !self.roots_are_incomplete && entries.len() <= MAX_ROOTS_PER_PAGE;
        entries.truncate(MAX_ROOTS_PER_PAGE);
        Roots { entries, complete }
    }

    /// Counts the newer entries of each group of the guest, and forgets the groups.
    pub(super) fn take_places(&mut self) -> Places {
        std::mem::take(&mut self.groups).places()
    }

    /// The same of the groups of the rules.
    pub(super) fn take_rule_places(&mut self) -> Places {
        std::mem::take(&mut self.rule_groups).places()
    }

    /// The same of the groups of the rules in the shadow.
    pub(super) fn take_shadow_places(&mut self) -> Places {
        std::mem::take(&mut self.shadow_groups).places()
    }
}

impl Groups {
    fn add(&mut self, id: EntryId, group: u64) {
        if self.members.len() == MAX_MEMBERS {
            self.are_incomplete = true;
        } else {
            self.members.push((id, group));
        }
    }

    fn places(self) -> Places {
        if self.are_incomplete {
            tracing::warn!(
                entries = MAX_MEMBERS,
                "too many entries are in groups: this sweep counts the oldest"
            );
        }
        let mut newer: HashMap<u64, u32> = HashMap::new();
        let mut places = Vec::with_capacity(self.members.len());
        for (id, group) in self.members.into_iter().rev() {
            let count = newer.entry(group).or_default();
            places.push((id, *count));
            *count = count.saturating_add(1);
        }
        places.reverse();
        Places(places)
    }
}

impl Places {
    /// Returns how many newer entries are in the entry's group, if it is in one.
    pub(super) fn newer(&self, id: EntryId) -> Option<u32> {
        let at = self.0.binary_search_by_key(&id, |(member, _)| *member).ok()?;
        self.0.get(at).map(|(_, newer)| *newer)
    }
}

#[cfg(test)]
mod tests;
