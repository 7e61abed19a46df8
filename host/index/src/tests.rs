//! Runs random sequences of operations on a driver and compares it with the model. A driver's tests
//! call [`compare`].

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{cmp::Reverse, collections::BTreeSet};

use larder_storage::ObjectName;
use proptest::{collection::vec, prelude::*, sample::Index as Pick};

use super::{
    Attachment, Cause, Departure, Detailed, Durability, EntryId, EntryUses, Index, KeyRule, LeastRecent,
    MAX_CLOCK_SKEW_MS, MatchKind, Probe, Reservation, Slot, Trust, UnusedPage, UploadId, Within,
    conformance::unique,
    fresh_upload_name,
    model::{Model, digest_at, facts_at, trust_at},
};

/// An operation. A `Pick` selects one of all entries or uploads ever made, so that repeats and
/// deleted ones occur.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Find {
        version: bool,
        probes: Vec<(bool, String, bool)>,
        skip: Vec<Pick>,
    },
    Reserve {
        scope: bool,
        version: bool,
        key: String,
        now_ms: u64,
        idle_before_ms: u64,
    },
    /// Reserves, attaches and finalizes.
    Make {
        version: bool,
        key: String,
    },
    Renew {
        upload: Pick,
        created_ms: u64,
        now_ms: u64,
    },
    Attach {
        upload: Pick,
        object: u8,
        now_ms: u64,
    },
    Finalize {
        upload: Pick,
        object: Option<u8>,
        boot: Option<bool>,
        now_ms: u64,
    },
    Abandon {
        upload: Pick,
    },
    AbandonIdle {
        upload: Pick,
        idle_before_ms: u64,
    },
    Delete {
        entry: Pick,
        cause: usize,
    },
    DeleteUnused {
        entry: Pick,
        last_used_ms: u64,
        cause: usize,
    },
    SetQuarantined {
        entries: Vec<Pick>,
        at_ms: Option<u64>,
    },
    /// What of a key is in all places.
    Near {
        key: String,
        exact: bool,
        limit: usize,
    },
    LeastRecent {
        scope: Option<bool>,
        low: Option<bool>,
        after: Option<(Pick, u64)>,
        limit: usize,
    },
    TouchEntries(Vec<(Pick, u64)>),
    CapLastUsed {
        entries: Vec<Pick>,
        now_ms: u64,
    },
    TouchUploads(Vec<(Pick, u64)>),
    MarkDurable(Vec<Pick>),
    Volatile {
        boot: bool,
        this_boot: bool,
    },
}

/// Few different keys, so that they collide, with hard cases: prefixes of each other, case,
/// wildcards, NUL, the ends of UTF-8's ranges.
fn key() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("a"),
        Just("A"),
        Just("Ä"),
        Just("ä"),
        Just("%"),
        Just("_"),
        Just("\0"),
        Just("\u{7f}"),
        Just("\u{80}"),
        Just("\u{7ff}"),
        Just("\u{ffff}"),
        Just("\u{10ffff}"),
    ];
    prop_oneof![
        8 => vec(part, 0..4).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
    ]
}

/// Times that are close together, and times around the limit of the clock skew.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![9 => 0_u64..6, 1 => MAX_CLOCK_SKEW_MS - 2..MAX_CLOCK_SKEW_MS + 8]
}

/// Random operations, many of which make entries.
pub(super) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let pick = any::<Pick>;
    let op = prop_oneof![
        6 => (any::<bool>(), vec((any::<bool>(), key(), any::<bool>()), 0..4), vec(pick(), 0..3))
            .prop_map(|(version, probes, skip)| Op::Find { version, probes, skip }),
        6 => (any::<bool>(), any::<bool>(), key(), time(), time()).prop_map(
            |(scope, version, key, now_ms, idle_before_ms)| Op::Reserve { scope, version, key, now_ms, idle_before_ms }
        ),
        8 => (any::<bool>(), key()).prop_map(|(version, key)| Op::Make { version, key }),
        2 => (pick(), time(), time())
            .prop_map(|(upload, created_ms, now_ms)| Op::Renew { upload, created_ms, now_ms }),
        4 => (pick(), 0_u8..3, time()).prop_map(|(upload, object, now_ms)| Op::Attach { upload, object, now_ms }),
        5 => (pick(), proptest::option::weighted(0.2, 0_u8..3), any::<Option<bool>>(), time())
            .prop_map(|(upload, object, boot, now_ms)| Op::Finalize { upload, object, boot, now_ms }),
        1 => pick().prop_map(|upload| Op::Abandon { upload }),
        1 => (pick(), time()).prop_map(|(upload, idle_before_ms)| Op::AbandonIdle { upload, idle_before_ms }),
        1 => (pick(), 0..CAUSES.len()).prop_map(|(entry, cause)| Op::Delete { entry, cause }),
        1 => (pick(), time(), 0..CAUSES.len())
            .prop_map(|(entry, last_used_ms, cause)| Op::DeleteUnused { entry, last_used_ms, cause }),
        2 => (vec(pick(), 0..4), proptest::option::of(time()))
            .prop_map(|(entries, at_ms)| Op::SetQuarantined { entries, at_ms }),
        2 => (key(), any::<bool>(), 0_usize..4).prop_map(|(key, exact, limit)| Op::Near { key, exact, limit }),
        2 => (any::<Option<bool>>(), any::<Option<bool>>(), proptest::option::of((pick(), time())), 0_usize..6)
            .prop_map(|(scope, low, after, limit)| Op::LeastRecent { scope, low, after, limit }),
        1 => vec((pick(), time()), 0..4).prop_map(Op::TouchEntries),
        1 => (vec(pick(), 0..3), time()).prop_map(|(entries, now_ms)| Op::CapLastUsed { entries, now_ms }),
        1 => vec((pick(), time()), 0..4).prop_map(Op::TouchUploads),
        1 => vec(pick(), 0..3).prop_map(Op::MarkDurable),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(boot, this_boot)| Op::Volatile { boot, this_boot }),
    ];
    vec(op, 1..160)
}

/// Runs the operations on a driver and on the model, in a new repository. Panics if they differ.
pub(super) async fn compare(index: &dyn Index, rule: KeyRule, ops: Vec<Op>) {
    let mut run = Run {
        index,
        model: Model::new(rule),
        repository: unique("repository"),
        run: fresh_upload_name().unwrap().to_string(),
        entries: vec![EntryId(u64::MAX)],
        uploads: vec![UploadId(u64::MAX)],
    };
    for op in ops {
        run.step(op).await;
    }
    run.compare_everything().await;
}

struct Run<'a> {
    index: &'a dyn Index,
    model: Model,
    repository: String,
    run: String,
    /// All that were ever made, and one that was not.
    entries: Vec<EntryId>,
    uploads: Vec<UploadId>,
}

impl Run<'_> {
    async fn step(&mut self, op: Op) {
        match op {
            Op::Find { version, probes, skip } => self.find(version, probes, &skip).await,
            Op::Reserve { scope, version, key, now_ms, idle_before_ms } => {
                let slot = self.slot(scope, version, key);
                self.reserve(&slot, now_ms, idle_before_ms).await;
            }
            Op::Make { version, key } => self.make(version, key).await,
            Op::Renew { upload, created_ms, now_ms } => {
                let id = *upload.get(&self.uploads);
                let outcome = self.index.renew(id, created_ms, now_ms).await.unwrap();
                assert_eq!(outcome, self.model.renew(id, created_ms, now_ms));
            }
            Op::Attach { upload, object, now_ms } => {
                self.attach(*upload.get(&self.uploads), object, now_ms).await;
            }
            Op::Finalize { upload, object, boot, now_ms } => {
                let id = *upload.get(&self.uploads);
                self.finalize(id, object, boot, now_ms).await;
            }
            Op::Abandon { upload } => {
                let id = *upload.get(&self.uploads);
                let outcome = self.index.abandon(id).await.unwrap();
                assert_eq!(outcome, self.model.abandon(id, u64::MAX));
            }
            Op::AbandonIdle { upload, idle_before_ms } => {
                let id = *upload.get(&self.uploads);
                let outcome = self.index.abandon_idle(id, idle_before_ms).await.unwrap();
                assert_eq!(outcome, self.model.abandon(id, idle_before_ms));
            }
            Op::Delete { entry, cause } => {
                let (id, departure) = (*entry.get(&self.entries), departure(cause));
                let outcome = self.index.delete_entry(id, &departure).await.unwrap();
                assert_eq!(outcome, self.model.delete(id, u64::MAX, &departure));
            }
            Op::DeleteUnused { entry, last_used_ms, cause } => {
                let (id, departure) = (*entry.get(&self.entries), departure(cause));
                let outcome = self.index.delete_entry_unused(id, last_used_ms, &departure).await.unwrap();
                assert_eq!(outcome, self.model.delete(id, last_used_ms, &departure));
            }
            Op::SetQuarantined { entries, at_ms } => {
                let ids: Vec<_> = entries.iter().map(|entry| *entry.get(&self.entries)).collect();
                let outcome = self.index.set_quarantined(&ids, at_ms).await.unwrap();
                assert_eq!(outcome, self.model.set_quarantined(&ids, at_ms), "{ids:?} {at_ms:?}");
            }
            Op::Near { key, exact, limit } => self.compare_near(&key, exact, limit).await,
            Op::LeastRecent { scope, low, after, limit } => {
                let trust = low.map(|low| if low { Trust::Low } else { Trust::Full });
                let after = after.map(|(entry, used_ms)| (used_ms, *entry.get(&self.entries)));
                self.compare_least_recent(scope, trust, after, limit).await;
            }
            Op::TouchEntries(uses) => self.touch_entries(&uses).await,
            Op::TouchUploads(uses) => self.touch_uploads(&uses).await,
            Op::CapLastUsed { entries, now_ms } => self.cap_last_used(&entries, now_ms).await,
            Op::MarkDurable(entries) => self.mark_durable(&entries).await,
            Op::Volatile { boot, this_boot } => self.compare_volatile(boot, this_boot).await,
        }
    }

    async fn cap_last_used(&mut self, entries: &[Pick], now_ms: u64) {
        let ids: Vec<_> = entries.iter().map(|entry| *entry.get(&self.entries)).collect();
        self.index.cap_last_used(&ids, now_ms).await.unwrap();
        ids.iter().for_each(|id| self.model.cap_last_used(*id, now_ms));
    }

    async fn mark_durable(&mut self, entries: &[Pick]) {
        let ids: Vec<_> = entries.iter().map(|entry| *entry.get(&self.entries)).collect();
        self.index.mark_durable(&ids).await.unwrap();
        ids.iter().for_each(|id| self.model.mark_durable(*id));
    }

    fn slot(&self, scope: bool, version: bool, key: String) -> Slot {
        let (scope, version) = (name_of(scope), name_of(version));
        Slot { repository: self.repository.clone(), scope, version, key }
    }

    fn attachment(&self, number: u8) -> Attachment {
        let object = ObjectName::parse(format!("{}-{number}", self.run)).unwrap();
        Attachment { object, size_bytes: number.into() }
    }

    /// Unique to this run, so that the database may be shared.
    fn boot(&self, boot: bool) -> String {
        format!("{}-{boot}", self.run)
    }

    async fn find(&self, version: bool, probes: Vec<(bool, String, bool)>, skip: &[Pick]) {
        let skip: Vec<_> = skip.iter().map(|entry| *entry.get(&self.entries)).collect();
        let probes: Vec<_> = probes
            .into_iter()
            .map(|(scope, key, exact)| Probe {
                scope: name_of(scope),
                key,
                kind: if exact { MatchKind::Exact } else { MatchKind::Prefix },
            })
            .collect();
        let version = name_of(version);
        let outcome = self.index.find(&self.repository, &version, &probes, &skip).await.unwrap();
        let expected = self.model.find(&self.repository, &version, &probes, &skip);
        assert_eq!(outcome.as_ref(), expected, "{probes:?}");
    }

    async fn reserve(&mut self, slot: &Slot, now_ms: u64, idle_before_ms: u64) {
        let (facts, trust) = (facts_at(now_ms), trust_at(now_ms));
        let outcome = self.index.reserve(slot, "o", &facts, trust, now_ms, idle_before_ms).await.unwrap();
        self.model.reserve(slot, "o", now_ms, idle_before_ms, &outcome);
        if let Reservation::Reserved(upload) = outcome {
            self.uploads.push(upload.id);
        }
    }

    async fn attach(&mut self, id: UploadId, object: u8, now_ms: u64) {
        let attachment = self.attachment(object);
        let outcome = self.index.attach(id, &attachment, digest_at(now_ms).as_ref(), now_ms).await.unwrap();
        assert_eq!(outcome, self.model.attach(id, &attachment, now_ms));
    }

    async fn make(&mut self, version: bool, key: String) {
        let slot = self.slot(true, version, key);
        self.reserve(&slot, 0, 0).await;
        let uploads = &mut self.model.uploads.values();
        if let Some(id) =
            uploads.find(|upload| self.model.is_same(&upload.slot, &slot)).map(|upload| upload.id)
        {
            self.attach(id, 0, 0).await;
            self.finalize(id, None, None, 0).await;
        }
    }

    async fn finalize(&mut self, id: UploadId, object: Option<u8>, boot: Option<bool>, now_ms: u64) {
        let attached = self.model.uploads.get(&id).and_then(|upload| upload.attachment.clone());
        let attachment = match (object, attached) {
            (None, Some(attached)) => attached,
            (object, _) => self.attachment(object.unwrap_or(0)),
        };
        let durability = match boot {
            None => Durability::Durable,
            Some(boot) => Durability::Until { boot: self.boot(boot) },
        };
        let outcome = self.index.finalize(id, &attachment, &durability, now_ms).await.unwrap();
        self.model.finalize(id, &attachment, &durability, now_ms, outcome.as_ref());
        self.entries.extend(outcome.map(|entry| entry.id));
    }

    async fn touch_entries(&mut self, uses: &[(Pick, u64)]) {
        let uses: Vec<_> =
            uses.iter().map(|(entry, time)| EntryUses::once(*entry.get(&self.entries), *time)).collect();
        self.index.touch_entries(&uses).await.unwrap();
        let ids: BTreeSet<_> = uses.iter().map(|used| used.id).collect();
        for id in ids {
            let times = || uses.iter().filter(|used| used.id == id).map(|used| used.last_used_ms);
            self.model.touch_entry(id, times().max().unwrap(), times().count() as u64);
        }
    }

    async fn touch_uploads(&mut self, uses: &[(Pick, u64)]) {
        let (mut names, mut latest) = (Vec::new(), Vec::new());
        for (upload, time) in uses {
            let id = *upload.get(&self.uploads);
            let name = match self.model.uploads.get(&id) {
                Some(upload) => upload.name.clone(),
                None => fresh_upload_name().unwrap(),
            };
            latest.push((id, *time));
            names.push((name, *time));
        }
        let latest = super::latest(&latest);
        latest.into_iter().for_each(|(id, time)| self.model.touch_upload(id, time));
        self.index.touch_uploads(&names).await.unwrap();
    }

    async fn compare_volatile(&self, boot: bool, this_boot: bool) {
        let boot = self.boot(boot);
        let mut outcome = self.index.list_volatile(&boot, this_boot, EntryId(0), 10_000).await.unwrap();
        outcome.retain(|entry| entry.slot.repository == self.repository);
        assert_eq!(outcome, self.model.volatile(&boot, this_boot));
    }

    async fn compare_everything(&self) {
        for id in &self.entries {
            let entry = self.index.get_entry(*id).await.unwrap();
            assert_eq!(entry.as_ref(), self.model.get(*id));
        }
        assert_eq!(self.index.entry_details(&self.entries).await.unwrap(), self.model.details());
        for upload in self.model.uploads.values() {
            let by_name = self.index.get_upload(&upload.name).await.unwrap();
            assert_eq!(by_name.as_ref(), Some(upload));
            let by_id = self.index.get_upload_by_id(upload.id).await.unwrap();
            assert_eq!(by_id.as_ref(), Some(upload));
            let by_slot = self.index.find_upload(&upload.slot).await.unwrap();
            assert_eq!(by_slot.as_ref(), Some(upload));
            let slot = Slot { key: upload.slot.key.to_ascii_uppercase(), ..upload.slot.clone() };
            let same = self.model.uploads.values().find(|upload| self.model.is_same(&upload.slot, &slot));
            assert_eq!(self.index.find_upload(&slot).await.unwrap().as_ref(), same);
        }
        for boot in [false, true] {
            self.compare_volatile(boot, true).await;
            self.compare_volatile(boot, false).await;
        }
        self.compare_references().await;
        self.compare_near("", false, 10_000).await;
        for scope in [None, Some(false), Some(true)] {
            self.compare_least_recent(scope, None, None, 10_000).await;
        }
    }

    async fn compare_near(&self, key: &str, exact: bool, limit: usize) {
        let kind = if exact { MatchKind::Exact } else { MatchKind::Prefix };
        let departed = self.index.find_departed(&self.repository, key, kind, limit).await.unwrap();
        assert_eq!(departed, self.model.departed(key, kind, limit), "{key:?}");
        let mut near = self.index.list_near(&self.repository, key, kind, limit).await.unwrap();
        let mut uploads = self.index.uploads_near(&self.repository, key, kind, limit).await.unwrap();
        let (mut all, mut all_uploads) = (self.model.near(key, kind), self.model.uploads_near(key, kind));
        if !exact {
            // In any order: so that each is one of all.
            assert_eq!((near.len(), uploads.len()), (limit.min(all.len()), limit.min(all_uploads.len())));
            near.sort_by_key(|near| Reverse(near.entry.id));
            uploads.sort_by_key(|upload| Reverse(upload.id));
            all.retain(|one| near.contains(one));
            all_uploads.retain(|one| uploads.contains(one));
        }
        all.truncate(limit);
        all_uploads.truncate(limit);
        assert_eq!((near, uploads), (all, all_uploads), "{key:?}");
        for scope in [false, true].map(name_of) {
            let uploads = self.index.uploads_in_scope(&self.repository, &scope, UploadId(0), 10_000).await;
            assert_eq!(uploads.unwrap(), self.model.uploads_in_scope(&scope));
        }
    }

    async fn compare_least_recent(
        &self,
        scope: Option<bool>,
        trust: Option<Trust>,
        after: Option<(u64, EntryId)>,
        limit: usize,
    ) {
        let repository = self.repository.clone();
        let within = match scope.map(name_of) {
            None => Within::Repository(repository),
            Some(scope) => Within::Scope { repository, scope },
        };
        let expected = self.model.least_recent(&within, trust, after, limit);
        let outcome = self.index.least_recent(&within, trust, after, limit).await.unwrap();
        assert_eq!(outcome, expected, "{within:?} {trust:?}");
        let page = LeastRecent { within, trust, after, limit };
        let expected = self.model.with_details(expected);
        let last = expected.last().filter(|_| expected.len() >= limit);
        let next = last.map(|(last, _)| (last.last_used_ms, last.id));
        for used_after_ms in [0, 3, u64::MAX] {
            let may_go =
                |(entry, details): &&Detailed| details.uses == Some(0) || entry.last_used_ms <= used_after_ms;
            let entries = expected.iter().filter(may_go).cloned().collect();
            let outcome = self.index.list_unused(&page, used_after_ms).await.unwrap();
            assert_eq!(outcome, UnusedPage { entries, next }, "{page:?} {used_after_ms}");
        }
    }

    async fn compare_references(&self) {
        let objects = [0, 1, 2].map(|number| self.attachment(number).object);
        let outcome = self.index.referenced_objects(&objects).await.unwrap();
        for object in objects {
            let of_entry = self.model.entries.values().any(|entry| entry.object == object);
            let of_upload =
                self.model.uploads.values().any(|upload| {
                    upload.attachment.as_ref().is_some_and(|attached| attached.object == object)
                });
            assert_eq!(outcome.contains(&object), of_entry || of_upload, "{object}");
        }
    }
}

/// Some of the causes.
const CAUSES: [Cause; 4] = [Cause::Age, Cause::Quota, Cause::ClosedScope, Cause::Rule(String::new())];

fn departure(cause: usize) -> Departure {
    Departure { cause: CAUSES[cause].clone(), at_ms: cause as u64 }
}

/// Returns one of two names, for scopes and versions.
fn name_of(which: bool) -> String {
    which.to_string()
}
