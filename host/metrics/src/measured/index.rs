//! An index whose calls are measured.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use larder_common::TenantName;
use larder_index::{
    Area, AttachOutcome, Attachment, Caps, Cause, Departed, Departure, Durability, Entry, EntryDetails,
    EntryId, EntryUses, Facts, Index, IndexError, LeastRecent, Leaving, LeavingId, MatchKind, Near, Probe,
    RepositoryName, Reservation, Room, SavedBy, SavedPage, Slot, Trust, UnusedPage, Upload, UploadId, Within,
};
use larder_storage::{Digest, ObjectName, UploadName};

use super::measured;
use crate::{Health, Metrics, calls::Meters};

/// An index that measures each call of another one, and counts the entries that come and go. Handles
/// of tenants count with it.
pub struct MeasuredIndex {
    pub(super) inner: Arc<dyn Index>,
    meters: Arc<Meters>,
    metrics: Arc<Metrics>,
}

impl MeasuredIndex {
    /// Measures an index. `backend` is the name of its driver. Where nothing is counted, the index is
    /// returned as it is.
    #[must_use]
    pub fn around(
        inner: Arc<dyn Index>,
        backend: &str,
        metrics: &Arc<Metrics>,
        health: &Health,
    ) -> Arc<dyn Index> {
        if !metrics.is_enabled() {
            return inner;
        }
        let families = &metrics.families.database_calls;
        let meters = Meters::new(families, backend, CALLS, health.database());
        Arc::new(Self { inner, meters, metrics: metrics.clone() })
    }

    fn count_deleted(
        &self,
        deleted: Result<bool, IndexError>,
        departure: &Departure,
    ) -> Result<bool, IndexError> {
        if matches!(deleted, Ok(true)) {
            self.metrics.count_removed(removal_reason(&departure.cause));
        }
        deleted
    }
}

/// The cause of a deletion, in a word of a bounded set: the names of rules are not in it.
#[must_use]
pub fn removal_reason(cause: &Cause) -> &'static str {
    match cause {
        Cause::Age => "age",
        Cause::NeverUsed => "never-used",
        Cause::MaxAge => "max-age",
        Cause::Superseded => "superseded",
        Cause::Size => "size",
        Cause::Quota => "quota",
        Cause::Stale => "stale",
        Cause::Manual => "manual",
        Cause::Revoked => "revoked",
        Cause::ClosedScope => "closed-scope",
        Cause::Rule(_) => "rule",
    }
}

measured! {
    impl Index for MeasuredIndex, IndexError, own {
        fn tenant(&self, name: &TenantName) -> Result<Arc<dyn Index>, IndexError> {
            let (meters, metrics) = (self.meters.clone(), self.metrics.clone());
            Ok(Arc::new(Self { inner: self.inner.tenant(name)?, meters, metrics }))
        }

        async fn finalize(
            &self,
            id: UploadId,
            attachment: &Attachment,
            durability: &Durability,
            now_ms: u64,
        ) -> Result<Option<Entry>, IndexError> {
            let called = self.inner.finalize(id, attachment, durability, now_ms);
            let finalized = self.meters.measure(Call::finalize_ as usize, called).await;
            if let Ok(Some(entry)) = &finalized {
                self.metrics.observe_entry(&entry.slot.key, entry.size_bytes);
            }
            finalized
        }

        async fn delete_entry(&self, id: EntryId, departure: &Departure) -> Result<bool, IndexError> {
            let called = self.inner.delete_entry(id, departure);
            self.count_deleted(self.meters.measure(Call::delete_entry_ as usize, called).await, departure)
        }

        async fn delete_entry_unused(
            &self,
            id: EntryId,
            last_used_ms: u64,
            departure: &Departure,
        ) -> Result<bool, IndexError> {
            let called = self.inner.delete_entry_unused(id, last_used_ms, departure);
            let deleted = self.meters.measure(Call::delete_entry_unused_ as usize, called).await;
            self.count_deleted(deleted, departure)
        }
    },
    also [finalize_ = "finalize", delete_entry_ = "delete_entry", delete_entry_unused_ = "delete_entry_unused"],
    fn list_tenants(&self, after: Option<&TenantName>, limit: usize) -> Vec<TenantName>;
    fn forget_tenant(&self) -> bool;
    fn find(&self, repository: &str, version: &str, probes: &[Probe], skip: &[EntryId]) -> Option<Entry>;
    fn get_entry(&self, id: EntryId) -> Option<Entry>;
    fn get_entry_of_upload(&self, id: UploadId) -> Option<Entry>;
    fn entry_details(&self, ids: &[EntryId]) -> Vec<EntryDetails>;
    fn upload_facts(&self, id: UploadId) -> Option<Facts>;
    fn reserve(
        &self, slot: &Slot, owner: &str, facts: &Facts, trust: Trust, now_ms: u64, idle_before_ms: u64,
    ) -> Reservation;
    fn renew(&self, id: UploadId, created_ms: u64, now_ms: u64) -> bool;
    fn get_upload(&self, name: &UploadName) -> Option<Upload>;
    fn get_upload_by_id(&self, id: UploadId) -> Option<Upload>;
    fn find_upload(&self, slot: &Slot) -> Option<Upload>;
    fn attach(
        &self, id: UploadId, attachment: &Attachment, digest: Option<&Digest>, now_ms: u64,
    ) -> AttachOutcome;
    fn abandon(&self, id: UploadId) -> bool;
    fn abandon_idle(&self, id: UploadId, idle_before_ms: u64) -> bool;
    fn find_departed(&self, repository: &str, key: &str, kind: MatchKind, limit: usize) -> Vec<Departed>;
    fn trim_departed(&self, most: usize, limit: usize) -> usize;
    fn list_near(&self, repository: &str, key: &str, kind: MatchKind, limit: usize) -> Vec<Near>;
    fn uploads_near(&self, repository: &str, key: &str, kind: MatchKind, limit: usize) -> Vec<Upload>;
    fn least_recent(
        &self, within: &Within, trust: Option<Trust>, after: Option<(u64, EntryId)>, limit: usize,
    ) -> Vec<Entry>;
    fn list_unused(&self, page: &LeastRecent, used_after_ms: u64) -> UnusedPage;
    fn uploads_in_scope(&self, repository: &str, scope: &str, after: UploadId, limit: usize) -> Vec<Upload>;
    fn set_quarantined(&self, ids: &[EntryId], at_ms: Option<u64>) -> usize;
    fn find_saved(&self, by: &SavedBy, after: EntryId, limit: usize) -> SavedPage;
    fn touch_entries(&self, uses: &[EntryUses]) -> ();
    fn touch_entry(&self, id: EntryId, used_ms: u64) -> bool;
    fn cap_last_used(&self, ids: &[EntryId], now_ms: u64) -> ();
    fn touch_uploads(&self, uses: &[(UploadName, u64)]) -> ();
    fn mark_durable(&self, ids: &[EntryId]) -> ();
    fn list_volatile(&self, boot: &str, this_boot: bool, after: EntryId, limit: usize) -> Vec<Entry>;
    fn list_entries(&self, after: EntryId, limit: usize) -> Vec<Entry>;
    fn list_uploads(&self, after: UploadId, limit: usize) -> Vec<Upload>;
    fn referenced_objects(&self, objects: &[ObjectName]) -> HashSet<ObjectName>;
    fn existing_uploads(&self, names: &[UploadName]) -> HashSet<UploadName>;
    fn name_repositories(&self, names: &[RepositoryName], most: usize) -> ();
    fn repository_name(&self, repository: &str) -> Option<String>;
    fn find_repositories(&self, name: &str) -> Vec<String>;
    fn note_refused(&self, marks: &[String], now_ms: u64) -> ();
    fn was_refused(&self, marks: &[String]) -> bool;
    fn reserve_room(&self, upload: &UploadName, bytes: u64, caps: &Caps) -> Room;
    fn left_uploads(&self, uploads: &[UploadName]) -> ();
    fn left_objects(&self, objects: &[ObjectName]) -> ();
    fn list_leaving(&self, after: Option<LeavingId>, limit: usize) -> Vec<Leaving>;
    fn usage_of(&self, area: &Area) -> u64;
    fn list_usage(&self, area: &Area, limit: usize) -> Vec<(Area, u64)>;
    fn set_orphans(&self, bytes: u64) -> ();
    fn set_counted_apart(&self, apart: bool) -> ();
    fn recount(&self) -> u64;
    fn secret(&self, name: &str, fresh: &[u8]) -> Vec<u8>;
}
