#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{EXPORT_MS, choose, tiers};
use crate::DefaultPolicy;
use crate::buildkit::LAYER_MARGIN_MS;
use crate::fake::{FakeHost, Fault, NOW_MS, block_on};
use crate::ports::{
    Bound, Candidate, ContentState, EntryDetails, IndexError, RoomNeeded, Slot, Tier, Trust, Within,
};

const HOUR_MS: u64 = 60 * 60 * 1000;

fn slot(scope: &str) -> Slot {
    Slot { repository: "1".into(), scope: scope.into(), version: "v".into(), key: "new".into() }
}

fn needed(trust: Trust, bound: Bound) -> RoomNeeded {
    RoomNeeded { slot: Some(slot("pr")), trust, bound, bytes: 1 }
}

fn own_scope() -> Within {
    Within::Scope { repository: "1".into(), scope: "pr".into() }
}

fn tier(within: Within, trust: Option<Trust>) -> Tier {
    Tier { within, trust }
}

fn own_repository() -> Within {
    Within::Repository("1".into())
}

#[test]
fn a_saver_of_full_trust_takes_room_from_near_to_far_and_of_low_trust_first() {
    let low = Some(Trust::Low);
    assert_eq!(
        tiers(&needed(Trust::Full, Bound::Server)),
        [
            tier(own_scope(), None),
            tier(own_repository(), low),
            tier(own_repository(), None),
            tier(Within::Tenant, low),
            tier(Within::Tenant, None),
        ]
    );
    assert_eq!(
        tiers(&needed(Trust::Full, Bound::Repository("1".into()))),
        [tier(own_scope(), None), tier(own_repository(), low), tier(own_repository(), None)]
    );
    let own = Bound::Scope { repository: "1".into(), scope: "pr".into() };
    assert_eq!(tiers(&needed(Trust::Full, own)), [tier(own_scope(), None)]);
}

#[test]
fn room_ahead_of_need_comes_from_low_trust_first() {
    for (bound, within) in
        [(Bound::Tenant, Within::Tenant), (Bound::Repository("1".into()), own_repository())]
    {
        let ahead = RoomNeeded { slot: None, trust: Trust::Full, bound, bytes: 1 };
        assert_eq!(tiers(&ahead), [tier(within.clone(), Some(Trust::Low)), tier(within, None)]);
    }
}

#[test]
fn a_saver_of_low_trust_is_offered_nothing_else() {
    for bound in [
        Bound::Scope { repository: "1".into(), scope: "pr".into() },
        Bound::Repository("1".into()),
        Bound::Tenant,
        Bound::Server,
    ] {
        let tiers = tiers(&needed(Trust::Low, bound));
        assert!(!tiers.is_empty() && tiers.iter().all(|tier| tier.trust == Some(Trust::Low)));
    }
}

/// Entries in a host, with the rows that a tier of it would offer.
struct Store {
    host: FakeHost,
}

impl Store {
    fn new() -> Self {
        Self { host: FakeHost::new() }
    }

    fn add(&self, scope: &str, key: &str, created_ms: u64, last_used_ms: u64, trust: Trust) -> u64 {
        let id = self.host.add_entry(scope, "v", key, b"x");
        self.host.set_trust(id, trust);
        self.host
            .change_entry(id, |entry| (entry.created_ms, entry.last_used_ms) = (created_ms, last_used_ms));
        id
    }

    fn layer(&self, created_ms: u64, last_used_ms: u64) -> u64 {
        let count = self.host.entries().len();
        self.add("main", &format!("buildkit-blob-1-sha256:{count}"), created_ms, last_used_ms, Trust::Full)
    }

    fn index(&self, created_ms: u64, last_used_ms: u64) -> u64 {
        let count = self.host.entries().len();
        self.add("main", &format!("index-buildkit-1-{count}#1"), created_ms, last_used_ms, Trust::Full)
    }

    /// Least recently used first.
    fn candidates(&self) -> Vec<Candidate> {
        let mut entries = self.host.entries();
        entries.sort_by_key(|entry| (entry.last_used_ms, entry.id));
        let candidate = |entry: crate::ports::Entry| {
            let details = EntryDetails { facts: None, uses: None, trust: self.host.trust(entry.id) };
            Candidate { entry, details, content: ContentState::Unknown, newer: None, wish: None }
        };
        entries.into_iter().map(candidate).collect()
    }

    fn choose(&self, trust: Trust, candidates: Vec<Candidate>) -> Vec<u64> {
        block_on(choose(&DefaultPolicy, &self.host, NOW_MS, &needed(trust, Bound::Tenant), candidates))
    }
}

/// An old time, long before another.
fn before(days: u64) -> u64 {
    NOW_MS - days * 24 * HOUR_MS
}

#[test]
fn entries_go_in_the_order_that_they_come_in() {
    let store = Store::new();
    for key in ["a", "index-x", "c"] {
        store.add("main", key, before(9), before(3), Trust::Full);
    }
    assert_eq!(store.choose(Trust::Full, store.candidates()), [1, 2, 3]);
    assert!(store.host.take_calls().is_empty(), "nothing is asked without layers");
}

#[test]
fn nothing_of_full_trust_goes_for_a_saver_of_low_trust() {
    let store = Store::new();
    let trusts = [Trust::Full, Trust::Low, Trust::Full, Trust::Low];
    for (number, trust) in trusts.into_iter().enumerate() {
        store.add("main", &number.to_string(), before(9), before(3), trust);
    }
    assert_eq!(store.choose(Trust::Low, store.candidates()), [2, 4]);
}

#[test]
fn a_layer_goes_right_after_the_last_index_that_may_name_it() {
    let store = Store::new();
    let layer = store.layer(before(9), before(9));
    let index = store.index(before(9) + 1000, before(5));
    let other = store.add("main", "other", before(4), before(4), Trust::Full);
    assert_eq!(store.choose(Trust::Full, store.candidates()), [index, layer, other]);
}

#[test]
fn a_layer_is_spared_while_an_index_is_left_also_one_that_is_no_candidate() {
    let store = Store::new();
    let layer = store.layer(before(9), before(9));
    let index = store.index(before(9) + 1000, NOW_MS);
    let only_the_layer: Vec<_> =
        store.candidates().into_iter().filter(|candidate| candidate.entry.id == layer).collect();
    assert!(store.choose(Trust::Full, only_the_layer.clone()).is_empty());
    // A withheld index may be released.
    store.host.quarantine(index);
    assert!(store.choose(Trust::Full, only_the_layer.clone()).is_empty());
    store.host.depart(index, crate::ports::Cause::Quota, NOW_MS);
    assert_eq!(store.choose(Trust::Full, only_the_layer), [layer]);
}

#[test]
fn a_layer_of_an_export_under_way_is_spared() {
    let store = Store::new();
    let layer = store.layer(before(9), NOW_MS - EXPORT_MS + 1);
    assert!(store.choose(Trust::Full, store.candidates()).is_empty());
    store.host.change_entry(layer, |entry| entry.last_used_ms -= 1);
    assert_eq!(store.choose(Trust::Full, store.candidates()), [layer]);
}

#[test]
fn layers_are_spared_if_the_indexes_cannot_be_listed() {
    let store = Store::new();
    store.layer(before(9), before(9));
    let other = store.add("main", "other", before(4), before(4), Trust::Full);
    store.host.fail("index.list-near", Fault::Index(IndexError::Unavailable("x".into())));
    assert_eq!(store.choose(Trust::Full, store.candidates()), [other]);
}

proptest! {
    /// Exports, imports, and rounds of making room that take any number of what is chosen: an index
    /// that is there has all its layers, and full trust stays for savers of low trust. In the end
    /// everything can go.
    #[test]
    fn no_index_loses_a_layer_and_low_trust_pushes_out_no_full_trust(
        steps in proptest::collection::vec((0_u8..6, 0_usize..6, 0_u64..30 * HOUR_MS, any::<bool>()), 1..40),
    ) {
        let store = Store::new();
        let mut now_ms = NOW_MS;
        let mut named: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (step, which, pause_ms, is_full) in steps {
            now_ms += pause_ms;
            let trust = if is_full { Trust::Full } else { Trust::Low };
            match step {
                // An export: looks up some layers, saves a new one, and then the index.
                0 | 1 => {
                    let mut layers: Vec<u64> = store.host.entries().iter()
                        .filter(|entry| entry.slot.key.starts_with("buildkit-blob-"))
                        .map(|entry| entry.id).rev().take(which).collect();
                    for id in &layers {
                        store.host.change_entry(*id, |entry| entry.last_used_ms = now_ms);
                    }
                    let key = format!("buildkit-blob-1-{now_ms}-{}", store.host.entries().len());
                    layers.push(store.add("main", &key, now_ms, now_ms, trust));
                    now_ms += 20 * 60 * 1000;
                    let key = format!("index-buildkit-1-{now_ms}#{}", store.host.entries().len());
                    let index = store.add("pr", &key, now_ms, now_ms, trust);
                    named.insert(index, layers);
                }
                2 => {
                    if let Some(index) = named.keys().rev().nth(which).copied() {
                        store.host.change_entry(index, |entry| entry.last_used_ms = now_ms);
                    }
                }
                3 => { store.add("main", &format!("deps-{now_ms}"), now_ms, now_ms, trust); }
                _ => {
                    let needed = RoomNeeded { bytes: 1, ..needed(trust, Bound::Tenant) };
                    let before = store.candidates();
                    let chosen = block_on(choose(&DefaultPolicy, &store.host, now_ms, &needed, before.clone()));
                    for id in chosen.into_iter().take(which) {
                        let victim = before.iter().find(|candidate| candidate.entry.id == id).unwrap();
                        prop_assert!(is_full || victim.details.trust == Trust::Low);
                        store.host.depart(id, crate::ports::Cause::Size, now_ms);
                        named.remove(&id);
                        let there: Vec<u64> = store.host.entries().iter().map(|entry| entry.id).collect();
                        for (index, layers) in &named {
                            prop_assert!(layers.iter().all(|layer| there.contains(layer)), "{index} lost one");
                        }
                    }
                }
            }
        }
        now_ms += LAYER_MARGIN_MS;
        let ahead = RoomNeeded { slot: None, trust: Trust::Full, bound: Bound::Tenant, bytes: 1 };
        let chosen = block_on(choose(&DefaultPolicy, &store.host, now_ms, &ahead, store.candidates()));
        prop_assert_eq!(chosen.len(), store.host.entries().len());
    }
}
