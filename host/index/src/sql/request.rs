//! The arguments of a driver's statements.

use larder_common::TenantName;
use larder_storage::UploadName;

use super::{digest, fault::Fault};
use crate::{Entry, EntryId, KeyRule, MAX_CLOCK_SKEW_MS, MatchKind, Probe, Slot, Trust, Upload, UploadId};

/// Selects an entry.
#[derive(Clone, Copy)]
pub(super) enum EntryBy<'a> {
    Id(EntryId),
    /// The digest of its slot.
    Slot(&'a [u8]),
    /// The upload that it was made from.
    Upload(UploadId),
}

/// Selects an upload.
#[derive(Clone, Copy)]
pub(super) enum UploadBy<'a> {
    Id(UploadId),
    Name(&'a UploadName),
    /// The digest of its slot.
    Slot(&'a [u8]),
}

/// An upload is idle if its last activity is before `before_ms` or after `after_ms`.
#[derive(Clone, Copy)]
pub(super) struct IdleTimes {
    pub(super) before_ms: u64,
    pub(super) after_ms: u64,
}

/// A lookup.
pub(super) struct SearchRequest {
    pub(super) tenant: TenantName,
    pub(super) rule: KeyRule,
    pub(super) repository: String,
    pub(super) version: String,
    /// With folded keys.
    pub(super) probes: Vec<Probe>,
    pub(super) skip: Vec<EntryId>,
}

impl SearchRequest {
    /// Folds the keys of the probes.
    pub(super) fn new(
        tenant: &TenantName,
        rule: KeyRule,
        [repository, version]: [&str; 2],
        probes: &[Probe],
        skip: &[EntryId],
    ) -> Self {
        let folded = |probe: &Probe| {
            let key = rule.compared(&probe.key).into_owned();
            Probe { scope: probe.scope.clone(), key, kind: probe.kind }
        };
        Self {
            tenant: tenant.clone(),
            rule,
            repository: repository.to_owned(),
            version: version.to_owned(),
            probes: probes.iter().map(folded).collect(),
            skip: skip.to_vec(),
        }
    }

    /// Returns the digest of the place that a probe searches.
    pub(super) fn place(&self, probe: &Probe) -> Vec<u8> {
        digest::place(&self.tenant, &self.repository, &probe.scope, &self.version)
    }

    /// Checks that an entry matches a probe. Two texts with the same digest would find the wrong
    /// entry.
    pub(super) fn verify(&self, entry: Entry) -> Result<Entry, Fault> {
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
            Err(sqlx::Error::Decode("the entry found does not match the request".into()).into())
        }
    }
}

/// A reservation to make.
pub(super) struct ReservationRequest {
    pub(super) tenant: TenantName,
    pub(super) slot: Slot,
    pub(super) place: Vec<u8>,
    pub(super) digest: Vec<u8>,
    /// The folded key, if it differs from the key.
    pub(super) folded: Option<String>,
    pub(super) name: UploadName,
    pub(super) owner: String,
    /// As stored.
    pub(super) facts: Vec<u8>,
    pub(super) trust: Trust,
    pub(super) now_ms: u64,
    pub(super) idle_before_ms: u64,
}

impl ReservationRequest {
    /// When an upload in the slot is displaced.
    pub(super) fn idle(&self) -> IdleTimes {
        IdleTimes { before_ms: self.idle_before_ms, after_ms: self.now_ms.saturating_add(MAX_CLOCK_SKEW_MS) }
    }

    /// Returns the upload that the reservation makes.
    pub(super) fn upload(&self, id: UploadId) -> Upload {
        let now_ms = u64::try_from(super::rows::integer(self.now_ms)).unwrap_or_default();
        Upload {
            id,
            name: self.name.clone(),
            slot: self.slot.clone(),
            owner: self.owner.clone(),
            trust: self.trust,
            created_ms: now_ms,
            last_activity_ms: now_ms,
            attachment: None,
        }
    }
}
