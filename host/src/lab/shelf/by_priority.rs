//! Orders in which the entry with the least priority goes first.

use std::collections::{BTreeSet, HashMap};

use super::{Item, Shelf};

/// What a use of an entry of one KiB is worth.
const ONE: u64 = 1 << 32;

/// Entries by class and priority.
pub(super) struct ByPriority {
    order: BTreeSet<(u8, u64, u64)>,
    entries: HashMap<u64, Known>,
    kind: Kind,
    /// Grows with each use.
    clock: u64,
    /// What the last one that went was worth: what has not been used since becomes worth less than new ones.
    floor: u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Lru,
    DefaultBranchLast,
    Gdsf,
}

struct Known {
    class: u8,
    priority: u64,
    kib: u64,
    uses: u64,
}

impl ByPriority {
    pub(super) fn lru() -> Self {
        Self::of(Kind::Lru)
    }

    pub(super) fn default_branch_last() -> Self {
        Self::of(Kind::DefaultBranchLast)
    }

    /// Greedy-Dual-Size-Frequency: uses for each byte, above the worth of what has gone.
    pub(super) fn gdsf() -> Self {
        Self::of(Kind::Gdsf)
    }

    fn of(kind: Kind) -> Self {
        Self { order: BTreeSet::new(), entries: HashMap::new(), kind, clock: 0, floor: 0 }
    }

    pub(super) fn remove(&mut self, id: u64) {
        if let Some(known) = self.entries.remove(&id) {
            self.order.remove(&(known.class, known.priority, id));
        }
    }

    fn use_of(&mut self, id: u64) {
        self.clock += 1;
        let Some(known) = self.entries.get_mut(&id) else { return };
        self.order.remove(&(known.class, known.priority, id));
        known.uses += 1;
        known.priority = match self.kind {
            Kind::Lru | Kind::DefaultBranchLast => self.clock,
            Kind::Gdsf => self.floor.saturating_add(known.uses.saturating_mul(ONE / known.kib)),
        };
        self.order.insert((known.class, known.priority, id));
    }
}

impl Shelf for ByPriority {
    fn insert(&mut self, item: Item<'_>) -> Vec<u64> {
        let is_default = matches!(item.slot.scope.as_str(), "refs/heads/main" | "refs/heads/master");
        let class = u8::from(matches!(self.kind, Kind::DefaultBranchLast) && is_default);
        let kib = item.bytes.div_ceil(1024).clamp(1, ONE);
        self.entries.insert(item.id, Known { class, priority: 0, kib, uses: 0 });
        self.use_of(item.id);
        Vec::new()
    }

    fn hit(&mut self, id: u64) {
        self.use_of(id);
    }

    fn evict(&mut self) -> Option<u64> {
        let (_, priority, id) = self.order.pop_first()?;
        self.entries.remove(&id);
        self.floor = self.floor.max(priority);
        Some(id)
    }
}
