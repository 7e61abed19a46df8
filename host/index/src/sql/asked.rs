//! What a driver is asked: for which row, for a search, for a slot.

use super::{digest, fault::Fault};
use crate::{AHEAD_MS, Entry, EntryId, KeyRule, MatchKind, Probe, Slot, Upload, UploadId};
use larder_storage::UploadName;

/// Which entry.
#[derive(Clone, Copy)]
pub(super) enum EntryBy<'a> {
    Id(EntryId),
    /// By the digest of its slot.
    Slot(&'a [u8]),
    /// By the upload that it was made of.
    Upload(UploadId),
}

/// Which upload.
#[derive(Clone, Copy)]
pub(super) enum UploadBy<'a> {
    Id(UploadId),
    Name(&'a UploadName),
    /// By the digest of its slot.
    Slot(&'a [u8]),
}

/// When an upload is idle: if its last activity is before the one time or after the other.
#[derive(Clone, Copy)]
pub(super) struct Idle {
    pub(super) before_ms: u64,
    pub(super) after_ms: u64,
}

/// What is looked for, and where.
pub(super) struct Search {
    pub(super) rule: KeyRule,
    pub(super) repository: String,
    pub(super) version: String,
    /// Their keys are what they are compared as.
    pub(super) probes: Vec<Probe>,
    pub(super) skip: Vec<EntryId>,
}

impl Search {
    /// The place that a probe looks in.
    pub(super) fn place(&self, probe: &Probe) -> Vec<u8> {
        digest::place(&self.repository, &probe.scope, &self.version)
    }

    /// Checks the answer: with different texts of one digest, it would be another's entry.
    pub(super) fn checked(&self, entry: Entry) -> Result<Entry, Fault> {
        let slot = &entry.slot;
        let here = slot.repository == self.repository && slot.version == self.version;
        let key = self.rule.compared(&slot.key);
        let is_match = |probe: &Probe| {
            probe.scope == slot.scope
                && match probe.kind {
                    MatchKind::Exact => probe.key == key,
                    MatchKind::Prefix => key.starts_with(&probe.key),
                }
        };
        if here && self.probes.iter().any(is_match) {
            Ok(entry)
        } else {
            Err(sqlx::Error::Decode("the entry found is not of this place".into()).into())
        }
    }
}

/// A reservation to be.
pub(super) struct Claim {
    pub(super) slot: Slot,
    pub(super) place: Vec<u8>,
    pub(super) digest: Vec<u8>,
    /// What the key is compared as, where that is not the key itself.
    pub(super) folded: Option<String>,
    pub(super) name: UploadName,
    pub(super) owner: String,
    pub(super) now_ms: u64,
    pub(super) idle_before_ms: u64,
}

impl Claim {
    /// When an upload in the slot is displaced.
    pub(super) fn idle(&self) -> Idle {
        Idle { before_ms: self.idle_before_ms, after_ms: self.now_ms.saturating_add(AHEAD_MS) }
    }

    /// The upload that it makes.
    pub(super) fn upload(&self, id: UploadId) -> Upload {
        let now_ms = u64::try_from(super::rows::integer(self.now_ms)).unwrap_or_default();
        Upload {
            id,
            name: self.name.clone(),
            slot: self.slot.clone(),
            owner: self.owner.clone(),
            created_ms: now_ms,
            last_activity_ms: now_ms,
            attachment: None,
        }
    }
}
