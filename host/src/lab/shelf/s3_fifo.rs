//! S3-FIFO (Yang and others, SOSP 2023), by bytes: most entries are never used again, so they leave by a
//! short queue; what was used there moves to the main one, and what comes back after it left goes there at
//! once.

use std::collections::{HashMap, HashSet, VecDeque};

use larder_index::Slot;

use super::{Item, Shelf};

/// The short queue's share of the bytes: a tenth.
const SHORT: u64 = 10;
/// Most uses that count.
const MAX_USES: u8 = 3;

/// Two queues, and the slots of what has left the short one.
pub(super) struct S3Fifo {
    short_bytes: u64,
    entries: HashMap<u64, Known>,
    short: VecDeque<u64>,
    in_short: u64,
    main: VecDeque<u64>,
    ghosts: HashSet<Slot>,
    ghost_order: VecDeque<Slot>,
}

struct Known {
    slot: Slot,
    bytes: u64,
    uses: u8,
}

impl S3Fifo {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            short_bytes: bytes / SHORT,
            entries: HashMap::new(),
            short: VecDeque::new(),
            in_short: 0,
            main: VecDeque::new(),
            ghosts: HashSet::new(),
            ghost_order: VecDeque::new(),
        }
    }

    /// Remembers a slot; as many as there are entries in the main queue.
    fn remember(&mut self, slot: Slot) {
        if self.ghosts.insert(slot.clone()) {
            self.ghost_order.push_back(slot);
        }
        while self.ghost_order.len() > self.main.len().max(1) {
            if let Some(oldest) = self.ghost_order.pop_front() {
                self.ghosts.remove(&oldest);
            }
        }
    }

    fn evict_short(&mut self) -> Option<u64> {
        while let Some(id) = self.short.pop_front() {
            let Some(known) = self.entries.get_mut(&id) else { continue };
            self.in_short -= known.bytes;
            if known.uses > 0 {
                known.uses = 0;
                self.main.push_back(id);
            } else {
                let slot = known.slot.clone();
                self.entries.remove(&id);
                self.remember(slot);
                return Some(id);
            }
        }
        None
    }

    fn evict_main(&mut self) -> Option<u64> {
        while let Some(id) = self.main.pop_front() {
            let Some(known) = self.entries.get_mut(&id) else { continue };
            if known.uses == 0 {
                self.entries.remove(&id);
                return Some(id);
            }
            known.uses -= 1;
            self.main.push_back(id);
        }
        None
    }
}

impl Shelf for S3Fifo {
    fn insert(&mut self, item: Item<'_>) -> Vec<u64> {
        self.entries.insert(item.id, Known { slot: item.slot.clone(), bytes: item.bytes, uses: 0 });
        if self.ghosts.contains(item.slot) {
            self.main.push_back(item.id);
        } else {
            self.short.push_back(item.id);
            self.in_short += item.bytes;
        }
        Vec::new()
    }

    fn hit(&mut self, id: u64) {
        if let Some(known) = self.entries.get_mut(&id) {
            known.uses = (known.uses + 1).min(MAX_USES);
        }
    }

    fn evict(&mut self) -> Option<u64> {
        if self.in_short > self.short_bytes || self.main.is_empty() {
            self.evict_short().or_else(|| self.evict_main())
        } else {
            self.evict_main()
        }
    }
}
