//! Only the newest of each kind; then those that were not used for longest.

use std::collections::{HashMap, VecDeque};

use super::{Item, Shelf, by_priority::ByPriority};

/// Repository, scope, version, and the key without what is after its last `-`.
type Group = (String, String, String, String);

/// A shelf with some of each kind.
pub(super) struct KeepNewest {
    kept: usize,
    groups: HashMap<Group, VecDeque<u64>>,
    of_entries: HashMap<u64, Group>,
    others: ByPriority,
}

impl KeepNewest {
    pub(super) fn new(kept: usize) -> Self {
        Self { kept, groups: HashMap::new(), of_entries: HashMap::new(), others: ByPriority::lru() }
    }
}

impl Shelf for KeepNewest {
    fn insert(&mut self, item: Item<'_>) -> Vec<u64> {
        let slot = item.slot;
        let prefix = slot.key.rsplit_once('-').map_or(slot.key.as_str(), |(prefix, _)| prefix).to_owned();
        let group = (slot.repository.clone(), slot.scope.clone(), slot.version.clone(), prefix);
        self.others.insert(item);
        self.of_entries.insert(item.id, group.clone());
        let members = self.groups.entry(group).or_default();
        members.push_back(item.id);
        let mut gone = Vec::new();
        while members.len() > self.kept {
            gone.extend(members.pop_front());
        }
        for id in &gone {
            self.others.remove(*id);
            self.of_entries.remove(id);
        }
        gone
    }

    fn hit(&mut self, id: u64) {
        self.others.hit(id);
    }

    fn evict(&mut self) -> Option<u64> {
        let id = self.others.evict()?;
        if let Some(group) = self.of_entries.remove(&id)
            && let Some(members) = self.groups.get_mut(&group)
        {
            members.retain(|member| *member != id);
            if members.is_empty() {
                self.groups.remove(&group);
            }
        }
        Some(id)
    }
}
