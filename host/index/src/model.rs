//! A model of the index in a few maps, without a database.
//!
//! For tests: the same random operations run on a driver and on the model, and the results are
//! compared. Numbers and names are chosen by the driver. The model checks them and takes them over.

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub(super) mod sums;

use std::collections::BTreeMap;

use larder_storage::{Digest, sha256};

use super::{
    AttachOutcome, Attachment, Departed, Departure, Detailed, Durability, Entry, EntryDetails, EntryId,
    Facts, KeyRule, MatchKind, Near, Probe, Reservation, Slot, Trust, Upload, UploadId, Within,
};

/// The whole index.
#[derive(Default)]
pub(super) struct Model {
    rule: KeyRule,
    pub(super) entries: BTreeMap<EntryId, Entry>,
    pub(super) uploads: BTreeMap<UploadId, Upload>,
    /// What uploads were reserved with, and entries made of.
    facts: BTreeMap<UploadId, Facts>,
    details: BTreeMap<EntryId, EntryDetails>,
    /// What is known of the attachments of uploads.
    digests: BTreeMap<UploadId, Digest>,
    /// In the order of departure.
    departed: Vec<Departed>,
    /// The boots of volatile entries.
    boots: BTreeMap<EntryId, String>,
    last_entry: Option<EntryId>,
    last_upload: Option<UploadId>,
}

impl Model {
    pub(super) fn new(rule: KeyRule) -> Self {
        Self { rule, ..Self::default() }
    }

    pub(super) fn find(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: &[EntryId],
    ) -> Option<&Entry> {
        probes.iter().find_map(|probe| {
            self.entries.values().rev().find(|entry| {
                let slot = &entry.slot;
                let (key, asked) = (self.compared(&slot.key), self.compared(&probe.key));
                let key_matches = match probe.kind {
                    MatchKind::Exact => key == asked,
                    MatchKind::Prefix => key.starts_with(&asked),
                };
                (&*slot.repository, &*slot.version, &slot.scope) == (repository, version, &probe.scope)
                    && key_matches
                    && !skip.contains(&entry.id)
                    && !self.is_quarantined(entry.id)
            })
        })
    }

    /// Returns the entry with this number, unless it is in quarantine.
    pub(super) fn get(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(&id).filter(|entry| !self.is_quarantined(entry.id))
    }

    fn is_quarantined(&self, id: EntryId) -> bool {
        self.details[&id].quarantined_ms.is_some()
    }

    /// Written independently of [`KeyRule`].
    fn compared(&self, key: &str) -> String {
        let fold =
            |letter: char| if letter.is_ascii() { letter.to_lowercase().next().unwrap() } else { letter };
        match self.rule {
            KeyRule::AnyCase => key.chars().map(fold).collect(),
            KeyRule::Bytes => key.to_owned(),
        }
    }

    /// Returns whether two slots are the same one.
    pub(super) fn is_same(&self, one: &Slot, other: &Slot) -> bool {
        let place = |slot: &Slot| (slot.repository.clone(), slot.scope.clone(), slot.version.clone());
        place(one) == place(other) && self.compared(&one.key) == self.compared(&other.key)
    }

    /// Checks the driver's result and applies it.
    pub(super) fn reserve(
        &mut self,
        slot: &Slot,
        owner: &str,
        now_ms: u64,
        idle_before_ms: u64,
        outcome: &Reservation,
    ) {
        if let Some(entry) = self.entries.values().find(|entry| self.is_same(&entry.slot, slot)) {
            assert_eq!(outcome, &Reservation::Entry(entry.clone()));
            return;
        }
        if let Some(upload) = self.uploads.values().find(|upload| self.is_same(&upload.slot, slot)) {
            if (idle_before_ms..=now_ms + 600_000).contains(&upload.last_activity_ms) {
                assert_eq!(outcome, &Reservation::Upload(upload.clone()));
                return;
            }
            let id = upload.id;
            self.uploads.remove(&id);
        }
        let Reservation::Reserved(upload) = outcome else {
            panic!("the slot is free, but the outcome is {outcome:?}");
        };
        assert!(self.last_upload < Some(upload.id), "numbers of uploads grow");
        self.last_upload = Some(upload.id);
        let expected = Upload {
            id: upload.id,
            name: upload.name.clone(),
            slot: slot.clone(),
            owner: owner.to_owned(),
            trust: trust_at(now_ms),
            created_ms: now_ms,
            last_activity_ms: now_ms,
            attachment: None,
        };
        assert_eq!(upload, &expected);
        self.facts.insert(upload.id, facts_at(now_ms));
        self.uploads.insert(upload.id, expected);
    }

    pub(super) fn renew(&mut self, id: UploadId, created_ms: u64, now_ms: u64) -> bool {
        let untouched = |upload: &&mut Upload| {
            (upload.created_ms, upload.last_activity_ms) == (created_ms, created_ms)
                && upload.attachment.is_none()
        };
        let upload = self.uploads.get_mut(&id).filter(untouched);
        upload.map(|upload| (upload.created_ms, upload.last_activity_ms) = (now_ms, now_ms)).is_some()
    }

    pub(super) fn attach(&mut self, id: UploadId, attachment: &Attachment, now_ms: u64) -> AttachOutcome {
        let Some(upload) = self.uploads.get_mut(&id) else {
            return AttachOutcome::Gone;
        };
        upload.last_activity_ms = later(upload.last_activity_ms, now_ms);
        match digest_at(now_ms) {
            Some(digest) => drop(self.digests.insert(id, digest)),
            None => drop(self.digests.remove(&id)),
        }
        let before = upload.attachment.replace(attachment.clone());
        let other = before.map(|before| before.object);
        AttachOutcome::Attached(other.filter(|object| *object != attachment.object))
    }

    /// Checks the driver's result and applies it.
    pub(super) fn finalize(
        &mut self,
        id: UploadId,
        attachment: &Attachment,
        durability: &Durability,
        now_ms: u64,
        outcome: Option<&Entry>,
    ) {
        let ready = |upload: &&Upload| upload.attachment.as_ref() == Some(attachment);
        let Some(upload) = self.uploads.get(&id).filter(ready) else {
            assert_eq!(outcome, None);
            return;
        };
        let entry = outcome.expect("the upload has this attachment");
        assert!(self.last_entry < Some(entry.id), "numbers of entries grow");
        self.last_entry = Some(entry.id);
        let expected = Entry {
            id: entry.id,
            slot: upload.slot.clone(),
            object: attachment.object.clone(),
            size_bytes: attachment.size_bytes,
            created_ms: now_ms,
            last_used_ms: now_ms,
            owner: Some(upload.owner.clone()),
        };
        assert_eq!(entry, &expected);
        if let Durability::Until { boot } = durability {
            self.boots.insert(entry.id, boot.clone());
        }
        let facts = self.facts.get(&id).cloned();
        let (trust, quarantined_ms) = (Some(upload.trust), None);
        let digest = self.digests.get(&id).cloned();
        self.details.insert(
            entry.id,
            EntryDetails { id: entry.id, facts, uses: Some(0), trust, quarantined_ms, digest },
        );
        self.entries.insert(entry.id, expected);
        self.uploads.remove(&id);
    }

    pub(super) fn abandon(&mut self, id: UploadId, idle_before_ms: u64) -> bool {
        let idle = |upload: &Upload| upload.last_activity_ms < idle_before_ms;
        self.uploads.get(&id).is_some_and(idle) && self.uploads.remove(&id).is_some()
    }

    pub(super) fn delete(&mut self, id: EntryId, last_used_ms: u64, departure: &Departure) -> bool {
        let unused = |entry: &&Entry| entry.last_used_ms <= last_used_ms;
        let Some(entry) = self.entries.get(&id).filter(unused).cloned() else { return false };
        self.entries.remove(&id);
        let details = &self.details[&id];
        self.departed.push(Departed {
            entry: id,
            slot: entry.slot,
            object: Some(entry.object),
            size_bytes: entry.size_bytes,
            created_ms: entry.created_ms,
            last_used_ms: entry.last_used_ms,
            uses: details.uses,
            trust: details.trust,
            departure: departure.clone(),
        });
        true
    }

    fn matches(&self, slot: &Slot, key: &str, kind: MatchKind) -> bool {
        let (key, asked) = (self.compared(&slot.key), self.compared(key));
        match kind {
            MatchKind::Exact => key == asked,
            MatchKind::Prefix => key.starts_with(&asked),
        }
    }

    /// For keys of up to 255 bytes.
    pub(super) fn departed(&self, key: &str, kind: MatchKind, limit: usize) -> Vec<Departed> {
        let matches = |departed: &&Departed| self.matches(&departed.slot, key, kind);
        self.departed.iter().rev().filter(matches).take(limit).cloned().collect()
    }

    pub(super) fn near(&self, key: &str, kind: MatchKind) -> Vec<Near> {
        let near = |entry: &Entry| Near { entry: entry.clone(), quarantined: self.is_quarantined(entry.id) };
        let matches = |entry: &&Entry| self.matches(&entry.slot, key, kind);
        self.entries.values().rev().filter(matches).map(near).collect()
    }

    pub(super) fn uploads_near(&self, key: &str, kind: MatchKind) -> Vec<Upload> {
        let matches = |upload: &&Upload| self.matches(&upload.slot, key, kind);
        self.uploads.values().rev().filter(matches).cloned().collect()
    }

    pub(super) fn uploads_in_scope(&self, scope: &str) -> Vec<Upload> {
        self.uploads.values().filter(|upload| upload.slot.scope == scope).cloned().collect()
    }

    pub(super) fn least_recent(
        &self,
        within: &Within,
        trust: Option<Trust>,
        after: Option<(u64, EntryId)>,
        limit: usize,
    ) -> Vec<Entry> {
        let is_within = |entry: &&Entry| match within {
            Within::Scope { scope, .. } => entry.slot.scope == *scope,
            Within::Repository(_) | Within::Tenant => true,
        };
        let has_trust = |entry: &&Entry| trust.is_none() || self.details[&entry.id].trust == trust;
        let place = |entry: &Entry| (entry.last_used_ms, entry.id);
        let mut found: Vec<Entry> =
            self.entries.values().filter(is_within).filter(has_trust).cloned().collect();
        found.retain(|entry| after.is_none_or(|after| place(entry) > after));
        found.sort_by_key(place);
        found.truncate(limit);
        found
    }

    pub(super) fn with_details(&self, entries: Vec<Entry>) -> Vec<Detailed> {
        let with_details = |entry: Entry| {
            let details = self.details[&entry.id].clone();
            (entry, details)
        };
        entries.into_iter().map(with_details).collect()
    }

    pub(super) fn set_quarantined(&mut self, ids: &[EntryId], at_ms: Option<u64>) -> usize {
        let mut changed = 0;
        for id in ids {
            let Some(details) = self.details.get_mut(id).filter(|_| self.entries.contains_key(id)) else {
                continue;
            };
            if details.quarantined_ms.is_some() != at_ms.is_some() {
                details.quarantined_ms = at_ms;
                changed += 1;
            }
        }
        changed
    }

    /// Records all uses of an entry in a batch, of which the last was at `last_used_ms`.
    pub(super) fn touch_entry(&mut self, id: EntryId, last_used_ms: u64, count: u64) {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.last_used_ms != last_used_ms);
        let (Some(entry), Some(details)) = (entry, self.details.get_mut(&id)) else { return };
        details.uses = details.uses.map(|uses| uses + count);
        entry.last_used_ms = entry.last_used_ms.max(last_used_ms);
    }

    /// Returns the details of all entries.
    pub(super) fn details(&self) -> Vec<EntryDetails> {
        self.entries.keys().map(|id| self.details[id].clone()).collect()
    }

    pub(super) fn cap_last_used(&mut self, id: EntryId, now_ms: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.last_used_ms = entry.last_used_ms.min(now_ms);
        }
    }

    pub(super) fn touch_upload(&mut self, id: UploadId, last_activity_ms: u64) {
        if let Some(upload) = self.uploads.get_mut(&id) {
            upload.last_activity_ms = later(upload.last_activity_ms, last_activity_ms);
        }
    }

    pub(super) fn mark_durable(&mut self, id: EntryId) {
        self.boots.remove(&id);
    }

    pub(super) fn volatile(&self, boot: &str, this_boot: bool) -> Vec<Entry> {
        let of_boot = |entry: &&Entry| {
            let made_in = self.boots.get(&entry.id);
            made_in.is_some_and(|made_in| (made_in == boot) == this_boot)
        };
        self.entries.values().filter(of_boot).cloned().collect()
    }
}

/// What a reservation at this time is made with.
pub(super) fn facts_at(now_ms: u64) -> Facts {
    Facts::try_from(&[("run_id", now_ms.to_string())][..]).unwrap()
}

/// How far the saver of a reservation at this time is trusted.
pub(super) fn trust_at(now_ms: u64) -> Trust {
    if now_ms.is_multiple_of(2) { Trust::Full } else { Trust::Low }
}

/// What is known of an attachment that is made at this time.
pub(super) fn digest_at(now_ms: u64) -> Option<Digest> {
    (!now_ms.is_multiple_of(3)).then(|| Digest::Whole(sha256(&now_ms.to_le_bytes())))
}

/// A stored time never decreases, unless it is more than ten minutes ahead.
fn later(stored_ms: u64, now_ms: u64) -> u64 {
    if stored_ms > now_ms + 600_000 { now_ms } else { stored_ms.max(now_ms) }
}
