//! Room: which entries are deleted so that others fit.
//!
//! Called by `bindings` for the export `retention`. Least recently used first, the saver's own scope
//! first, and nothing of full trust for a saver of low trust: so a pull request never pushes out the
//! default branch's entries.

use std::collections::{BTreeMap, BTreeSet};

use crate::Policy;
use crate::buildkit::{INDEX, is_ahead, is_index, is_layer, last_use_ms, named_between};
use crate::ports::{
    Bound, Candidate, Entry, Host, Level, MatchKind, Nearby, RoomNeeded, Tier, Trust, Within,
};

/// How long after its last use a layer of BuildKit is spared, in milliseconds: an hour. An export that
/// is under way will save an index that names it; it takes minutes, with all retries a quarter of an
/// hour.
pub(crate) const EXPORT_MS: u64 = 60 * 60 * 1000;
/// Most indexes of a repository: the limit of `index.list-near`.
const MAX_INDEXES: u32 = 10_000;

/// Returns where victims come from: the saver's own scope, then entries of low trust, from near to
/// far, and for a saver of full trust also all others at each distance. Nothing outside of what is
/// full.
#[must_use]
pub fn tiers(needed: &RoomNeeded) -> Vec<Tier> {
    let mut places = Vec::new();
    let own = needed.slot.as_ref();
    let own_scope =
        own.map(|slot| Within::Scope { repository: slot.repository.clone(), scope: slot.scope.clone() });
    match &needed.bound {
        Bound::Scope { repository, scope } => {
            places.push(Within::Scope { repository: repository.clone(), scope: scope.clone() });
        }
        Bound::Repository(repository) => places.push(Within::Repository(repository.clone())),
        Bound::Tenant | Bound::Server => {
            places.extend(own.map(|slot| Within::Repository(slot.repository.clone())));
            places.push(Within::Tenant);
        }
    }
    let is_full = needed.trust == Trust::Full;
    let mut tiers = Vec::new();
    // A saver's own scope is its own in any order.
    if let Some(within) = own_scope {
        tiers.push(Tier { within, trust: (!is_full).then_some(Trust::Low) });
    }
    for within in places {
        if tiers.iter().any(|tier| tier.within == within) {
            continue;
        }
        tiers.push(Tier { within: within.clone(), trust: Some(Trust::Low) });
        if is_full {
            tiers.push(Tier { within, trust: None });
        }
    }
    tiers
}

/// Keeps the candidates that may be deleted for this saver.
pub(crate) fn keep_those_of_less_trust(needed: &RoomNeeded, candidates: &mut Vec<Candidate>) {
    let may_go = |candidate: &Candidate| needed.trust == Trust::Full || candidate.details.trust == Trust::Low;
    candidates.retain(may_go);
}

/// Returns the candidates that may be deleted, in this order: as they come, but a layer of BuildKit
/// after all indexes that may name it. A layer is spared while such an index is left, or may be saved
/// soon.
pub async fn choose<H: Host>(
    policy: &dyn Policy,
    host: &H,
    now_ms: u64,
    needed: &RoomNeeded,
    mut candidates: Vec<Candidate>,
) -> Vec<u64> {
    policy.give_way(needed, &mut candidates);
    let entries: Vec<Entry> = candidates.into_iter().map(|candidate| candidate.entry).collect();
    let mut chosen = Chosen { now_ms, indexes: BTreeMap::new(), ids: Vec::new(), spared: Vec::new() };
    for entry in entries.iter().filter(|entry| is_layer(&entry.slot)) {
        let repository = &entry.slot.repository;
        if !chosen.indexes.contains_key(repository) {
            chosen.indexes.insert(repository.clone(), Indexes::of(host, now_ms, repository).await);
        }
    }
    for entry in &entries {
        chosen.offer(entry);
    }
    chosen.ids
}

/// The choice among a page of candidates.
struct Chosen<'a> {
    now_ms: u64,
    /// The indexes that are left, of each repository with layers in the page.
    indexes: BTreeMap<String, Indexes>,
    ids: Vec<u64>,
    /// Layers that an index may name.
    spared: Vec<&'a Entry>,
}

impl<'a> Chosen<'a> {
    fn offer(&mut self, entry: &'a Entry) {
        if !is_layer(&entry.slot) {
            self.ids.push(entry.id);
            if is_index(&entry.slot) {
                self.release(entry);
            }
        } else if self.is_needed(entry) {
            self.spared.push(entry);
        } else {
            self.ids.push(entry.id);
        }
    }

    /// Chooses the layers that only this index has kept.
    fn release(&mut self, index: &Entry) {
        let Some(indexes) = self.indexes.get_mut(&index.slot.repository) else { return };
        indexes.remove(index);
        let (spared, free) = std::mem::take(&mut self.spared).into_iter().partition(|l| self.is_needed(l));
        self.spared = spared;
        self.ids.extend(free.iter().map(|layer: &&Entry| layer.id));
    }

    fn is_needed(&self, layer: &Entry) -> bool {
        let is_in_use = self.now_ms.saturating_sub(last_use_ms(self.now_ms, layer)) < EXPORT_MS;
        let indexes = self.indexes.get(&layer.slot.repository);
        is_in_use || indexes.is_none_or(|indexes| indexes.may_name(self.now_ms, layer))
    }
}

/// The indexes of a repository.
struct Indexes {
    /// When they were created, and their ids.
    created: BTreeSet<(u64, u64)>,
    /// Those that may have been created at any time.
    of_any_time: BTreeSet<u64>,
    complete: bool,
}

impl Indexes {
    async fn of<H: Host>(host: &H, now_ms: u64, repository: &str) -> Self {
        let listed =
            host.list_near(repository.to_owned(), INDEX.to_owned(), MatchKind::Prefix, MAX_INDEXES).await;
        let Ok(Nearby { entries, .. }) = listed else {
            // The host has logged why.
            host.log(Level::Warn, "layers are spared: the indexes cannot be listed", &[]);
            return Self { created: BTreeSet::new(), of_any_time: BTreeSet::new(), complete: false };
        };
        let complete = entries.len() < MAX_INDEXES as usize;
        let (ahead, known): (Vec<_>, Vec<_>) = entries
            .iter()
            .map(|near| (near.entry.created_ms, near.entry.id))
            .partition(|(created_ms, _)| is_ahead(now_ms, *created_ms));
        let of_any_time = ahead.into_iter().map(|(_, id)| id).collect();
        Self { created: known.into_iter().collect(), of_any_time, complete }
    }

    fn remove(&mut self, index: &Entry) {
        self.created.remove(&(index.created_ms, index.id));
        self.of_any_time.remove(&index.id);
    }

    fn may_name(&self, now_ms: u64, layer: &Entry) -> bool {
        let (first_ms, last_ms) = named_between(now_ms, layer).into_inner();
        !self.complete
            || !self.of_any_time.is_empty()
            || self.created.range((first_ms, 0)..=(last_ms, u64::MAX)).next().is_some()
    }
}

#[cfg(test)]
mod tests;
