//! The fake's index: two ordered maps with linear searches.

use std::collections::{BTreeMap, BTreeSet};

use crate::ports::{
    AttachOutcome, Attachment, Cause, Departed, Entry, Facts, MatchKind, NearEntry, Nearby, Probe,
    Reservation, Slot, Stored, Trust, Upload,
};

/// How far in the future a time may be.
const AHEAD_MS: u64 = 10 * 60 * 1000;

/// Compares slots; keys ignore ASCII case.
fn is_same(one: &Slot, other: &Slot) -> bool {
    let prefix = |slot: &Slot| (slot.repository.clone(), slot.scope.clone(), slot.version.clone());
    prefix(one) == prefix(other) && one.key.eq_ignore_ascii_case(&other.key)
}

/// Returns whether the slot has the key, in any scope and version.
fn has_key(slot: &Slot, repository: &str, key: &str, kind: MatchKind) -> bool {
    let (own, asked) = (slot.key.to_ascii_lowercase(), key.to_ascii_lowercase());
    let key = match kind {
        MatchKind::Exact => own == asked,
        MatchKind::Prefix => own.starts_with(&asked),
    };
    key && slot.repository == repository
}

#[derive(Default)]
pub(super) struct Tables {
    /// Marks of refusals.
    pub(super) refused: BTreeSet<String>,
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) uploads: BTreeMap<u64, Upload>,
    pub(super) touched: Vec<(u64, u64)>,
    /// What each upload was reserved with.
    pub(super) facts: BTreeMap<u64, Facts>,
    /// What each upload was reserved with, and each entry of it; else full.
    pub(super) trust: BTreeMap<u64, Trust>,
    pub(super) quarantined: Vec<u64>,
    /// In the order of departure.
    pub(super) departed: Vec<Departed>,
    /// Entries that are deleted right before they are touched.
    pub(super) delete_before_touch: Vec<u64>,
    /// The entries of finalized uploads.
    finalized: BTreeMap<u64, u64>,
    last_id: u64,
}

impl Tables {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn add_entry(
        &mut self,
        slot: Slot,
        Stored { object, size_bytes }: Stored,
        owner: Option<String>,
        now_ms: u64,
    ) -> Entry {
        let id = self.next_id();
        let entry = Entry { id, slot, object, size_bytes, created_ms: now_ms, last_used_ms: now_ms, owner };
        self.entries.insert(id, entry.clone());
        entry
    }

    pub(super) fn find(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: &[u64],
    ) -> Option<Entry> {
        let matches = |entry: &&Entry, probe: &Probe| {
            let slot = &entry.slot;
            has_key(slot, repository, &probe.key, probe.kind)
                && slot.scope == probe.scope
                && slot.version == version
                && !skip.contains(&entry.id)
                && !self.quarantined.contains(&entry.id)
        };
        probes
            .iter()
            .find_map(|probe| self.entries.values().rev().find(|entry| matches(entry, probe)))
            .cloned()
    }

    pub(super) fn list_near(&self, repository: &str, key: &str, kind: MatchKind, limit: usize) -> Nearby {
        let near = |entry: &Entry| NearEntry {
            entry: entry.clone(),
            quarantined: self.quarantined.contains(&entry.id),
        };
        let entries = self.entries.values().rev().filter(|entry| has_key(&entry.slot, repository, key, kind));
        let uploads =
            self.uploads.values().rev().filter(|upload| has_key(&upload.slot, repository, key, kind));
        Nearby {
            entries: entries.take(limit).map(near).collect(),
            uploads: uploads.take(limit).cloned().collect(),
        }
    }

    pub(super) fn list_departed(
        &self,
        repository: &str,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Vec<Departed> {
        let departed = self.departed.iter().rev().filter(|gone| has_key(&gone.slot, repository, key, kind));
        departed.take(limit).cloned().collect()
    }

    /// Deletes an entry, and returns whether it was there.
    pub(super) fn delete(&mut self, id: u64, cause: Cause, now_ms: u64) -> bool {
        let Some(Entry { slot, size_bytes, created_ms, last_used_ms, .. }) = self.entries.remove(&id) else {
            return false;
        };
        let uses = self.touched.iter().filter(|(touched, _)| *touched == id).count();
        self.departed.push(Departed {
            slot,
            size_bytes,
            created_ms,
            last_used_ms,
            uses: Some(uses as u64),
            trust: self.trust.get(&id).copied().unwrap_or(Trust::Full),
            cause,
            departed_ms: now_ms,
        });
        true
    }

    pub(super) fn reserve(
        &mut self,
        slot: Slot,
        owner: String,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Reservation {
        if let Some(entry) = self.entries.values().find(|entry| is_same(&entry.slot, &slot)) {
            return Reservation::Entry(entry.clone());
        }
        if let Some(upload) = self.find_upload(&slot) {
            if (idle_before_ms..=now_ms.saturating_add(AHEAD_MS)).contains(&upload.last_activity_ms) {
                return Reservation::Upload(upload);
            }
            self.uploads.remove(&upload.id);
        }
        let id = self.next_id();
        // Not random, but as long, and never a prefix of another.
        let name = format!("{:032x}", u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let upload =
            Upload { id, name, slot, owner, created_ms: now_ms, last_activity_ms: now_ms, attachment: None };
        self.uploads.insert(id, upload.clone());
        Reservation::Reserved(upload)
    }

    pub(super) fn renew(&mut self, id: u64, created_ms: u64, now_ms: u64) -> bool {
        let untouched = |u: &&mut Upload| {
            (u.created_ms, u.last_activity_ms) == (created_ms, created_ms) && u.attachment.is_none()
        };
        let Some(upload) = self.uploads.get_mut(&id).filter(untouched) else { return false };
        (upload.created_ms, upload.last_activity_ms) = (now_ms, now_ms);
        true
    }

    /// Records that bytes have arrived for an upload.
    pub(super) fn record_activity(&mut self, name: &str, now_ms: u64) {
        if let Some(upload) = self.uploads.values_mut().find(|upload| upload.name == name) {
            upload.last_activity_ms = upload.last_activity_ms.max(now_ms);
        }
    }

    pub(super) fn get_upload(&self, name: &str) -> Option<Upload> {
        self.uploads.values().find(|upload| upload.name == name).cloned()
    }

    pub(super) fn find_upload(&self, slot: &Slot) -> Option<Upload> {
        self.uploads.values().find(|upload| is_same(&upload.slot, slot)).cloned()
    }

    /// Asserts that the caller passes the stored last use: the host relies on it.
    pub(super) fn touch(&mut self, id: u64, last_used_ms: u64, now_ms: u64) -> bool {
        if self.delete_before_touch.contains(&id) {
            self.entries.remove(&id);
        }
        let known = self.entries.get(&id);
        assert!(known.is_none_or(|entry| entry.last_used_ms == last_used_ms), "wrong last use");
        self.touched.extend(known.map(|_| (id, now_ms)));
        known.is_some()
    }

    pub(super) fn attach(&mut self, id: u64, attachment: Attachment, now_ms: u64) -> AttachOutcome {
        let Some(upload) = self.uploads.get_mut(&id) else {
            return AttachOutcome::Gone;
        };
        upload.last_activity_ms = upload.last_activity_ms.max(now_ms);
        let object = attachment.object.clone();
        let before = upload.attachment.replace(attachment).map(|before| before.object);
        AttachOutcome::Attached(before.filter(|before| *before != object))
    }

    pub(super) fn finalize(&mut self, id: u64, attachment: &Attachment, now_ms: u64) -> Option<Entry> {
        if self.uploads.get(&id)?.attachment.as_ref() != Some(attachment) {
            return None;
        }
        let upload = self.uploads.remove(&id)?;
        let entry = self.add_entry(upload.slot, attachment.clone(), Some(upload.owner), now_ms);
        self.finalized.insert(id, entry.id);
        self.trust.extend(self.trust.get(&id).copied().map(|trust| (entry.id, trust)));
        Some(entry)
    }

    pub(super) fn entry_of_upload(&self, id: u64) -> Option<Entry> {
        self.entries.get(self.finalized.get(&id)?).cloned()
    }
}
