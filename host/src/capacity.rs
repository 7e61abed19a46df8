//! Capacity: how much may be stored, and what happens when it is used up.
//!
//! Before the first byte of a body, room for it is reserved in the index, which counts what may be in
//! the storage (`larder_index::Area`). So no limit is exceeded, whatever arrives at once and at
//! however many servers. Where room is short, the save waits while the *evictor* of its tenant, a task
//! of the janitor, deletes entries that the policy chooses. Where nothing may go, it is refused.
//!
//! Without a limit nothing of this runs: no call of the index, no task.

mod disk;
mod evictor;
mod idle_uploads;
mod leases;
mod limits;
mod order;
mod refusals;
mod removal;
mod requests;
pub(crate) mod server_room;
mod source;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use larder_index::{Bound, Index, Room, Slot, Trust, Upload};
use larder_storage::{Source, StorageError, UploadName};
use tokio::time::Instant;

pub(crate) use disk::DiskLimit;
pub(crate) use evictor::{Evictor, needed_by};
pub(crate) use leases::{BodyGuard, Leases};
pub(crate) use limits::Limits;
pub(crate) use refusals::Refusals;
pub(crate) use removal::{
    Cleaner, Removals, abandon_upload, discard_upload, end_object, end_upload, remove_object,
};
pub(crate) use requests::RoomRequests;

use leases::Lease;
use requests::Made;

use crate::tenant::Tenant;

/// What is reserved at first for an upload whose length is unknown, or whose blocks are small.
const FIRST_STEP: u64 = 8 << 20;
/// The steps double up to this.
const LONGEST_STEP: u64 = 64 << 20;
/// How long a save waits before it asks for room again, while others are under way.
const PAUSE: Duration = Duration::from_millis(500);
/// With less room than this hardly any entry fits: reservations of slots are refused for a while.
const LEAST_ROOM: u64 = 1 << 20;

/// What a tenant's saves need to know and to share. Made anew when its settings change.
pub(crate) struct Capacity {
    pub(crate) limits: Limits,
    pub(crate) shared: Arc<CapacityState>,
    /// Of the server's storage, where that is a folder with a limit.
    pub(crate) disk: Option<Arc<DiskLimit>>,
}

/// What stays when a tenant's settings change.
#[derive(Default)]
pub(crate) struct CapacityState {
    pub(crate) leases: Leases,
    pub(crate) requests: RoomRequests,
}

/// Who saves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saver {
    pub(crate) slot: Slot,
    pub(crate) trust: Trust,
}

impl From<&Upload> for Saver {
    fn from(upload: &Upload) -> Self {
        Self { slot: upload.slot.clone(), trust: upload.trust }
    }
}

impl Capacity {
    /// Records who saves with an upload, which its bodies need, so that no row is read for that.
    pub(crate) fn note(&self, upload: &Upload) {
        self.shared.leases.note(upload);
    }

    /// Returns whether a save of this slot is hopeless: a moment ago hardly anything fitted, and the
    /// policy would delete nothing for it.
    pub(crate) fn is_hopeless(&self, slot: &Slot, trust: Trust) -> bool {
        self.shared.requests.is_hopeless(slot, trust)
    }

    /// Returns whether room for a part of this upload was refused.
    pub(crate) fn was_refused(&self, upload: &UploadName) -> bool {
        self.shared.leases.was_refused(upload)
    }

    /// Reserves room for a body before it is read; for one without a length, while it is read. The
    /// guard must live until the storage has the body.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] if there is no room, and none was made in time;
    /// [`StorageError::NotFound`] if the upload is gone.
    pub(crate) async fn admit(
        tenant: &Arc<Tenant>,
        capacity: &Arc<Self>,
        upload: &UploadName,
        body: Source,
    ) -> Result<(Source, BodyGuard), StorageError> {
        let lease = capacity.shared.leases.of(upload);
        let mut guard = BodyGuard::begin(&lease);
        match body.length {
            Some(length) => {
                capacity.take(tenant, upload, &lease, length).await?;
                guard.took(length);
                Ok((source::unless_ended(body, &lease), guard))
            }
            None => Ok((source::metered(tenant, capacity, upload, &lease, body), guard)),
        }
    }

    /// Takes `bytes` of what is reserved for an upload, and reserves more where that is not enough.
    async fn take(
        &self,
        tenant: &Tenant,
        upload: &UploadName,
        lease: &Lease,
        bytes: u64,
    ) -> Result<(), StorageError> {
        if lease.take(bytes)? {
            return Ok(());
        }
        let _turn = lease.turn().await;
        if lease.take(bytes)? {
            return Ok(());
        }
        let lacking = lease.lacks(bytes);
        let step = lease.step(lacking);
        let reserved = self.reserve(tenant, upload, lease, lacking, step).await;
        if matches!(reserved, Err(StorageError::NoSpace)) {
            lease.refuse();
        }
        lease.add(reserved?);
        // Other bodies may have taken some meanwhile, but they wait for their turn to reserve.
        if lease.take(bytes)? { Ok(()) } else { Err(StorageError::NoSpace) }
    }

    /// Reserves `step` bytes for an upload, or at least `lacking`. Returns how many.
    async fn reserve(
        &self,
        tenant: &Tenant,
        upload: &UploadName,
        lease: &Lease,
        lacking: u64,
        step: u64,
    ) -> Result<u64, StorageError> {
        let saver = self.saver(tenant, upload, lease).await?;
        let caps =
            self.limits.caps(&*tenant.index, &saver.slot.repository, self.disk_cap(tenant).await).await;
        let caps = caps.map_err(unavailable)?;
        if step > lacking
            && tenant.index.reserve_room(upload, step, &caps).await.map_err(unavailable)? == Room::Reserved
        {
            self.shared.requests.note_use(&saver.slot);
            return Ok(step);
        }
        let until = Instant::now() + self.limits.wait();
        loop {
            match tenant.index.reserve_room(upload, lacking, &caps).await.map_err(unavailable)? {
                Room::Reserved => {
                    self.shared.requests.note_use(&saver.slot);
                    return Ok(lacking);
                }
                Room::Gone => return Err(StorageError::NotFound),
                Room::Short { bound, bytes } => {
                    let may_fit = caps.of(bound).is_some_and(|cap| lacking <= cap);
                    let is_made = may_fit && self.make_room(&saver, bound, bytes, until).await;
                    if may_fit && !is_made && self.may_come(lease, until) {
                        tokio::time::sleep_until(until.min(Instant::now() + PAUSE)).await;
                    } else if !is_made {
                        self.refuse(&saver, bound, lacking.saturating_sub(bytes));
                        return Err(StorageError::NoSpace);
                    }
                }
            }
        }
    }

    /// Has the evictor make room. Returns whether anything was deleted in time.
    async fn make_room(&self, saver: &Saver, bound: Bound, bytes: u64, until: Instant) -> bool {
        let made = self.shared.requests.ask(saver.clone(), bound, bytes);
        matches!(tokio::time::timeout_at(until, made).await, Ok(Ok(Made::Room)))
    }

    /// Returns whether room may still come in time: other saves are under way here, which end, or become
    /// entries that may go.
    fn may_come(&self, lease: &Lease, until: Instant) -> bool {
        self.limits.may_evict() && Instant::now() < until && self.shared.leases.has_others(lease)
    }

    fn refuse(&self, saver: &Saver, bound: Bound, room: u64) {
        let (repository, scope) = (&saver.slot.repository, &saver.slot.scope);
        tracing::warn!(
            repository,
            scope,
            ?bound,
            room,
            "no room for a save: the limit is reached, and nothing may be deleted for it"
        );
        if room < LEAST_ROOM {
            self.shared.requests.note_hopeless(saver, bound);
        }
    }

    async fn saver(
        &self,
        tenant: &Tenant,
        upload: &UploadName,
        lease: &Lease,
    ) -> Result<Saver, StorageError> {
        if let Some(saver) = lease.saver() {
            return Ok(saver);
        }
        let found = tenant.index.get_upload(upload).await.map_err(unavailable)?;
        let saver = Saver::from(&found.ok_or(StorageError::NotFound)?);
        lease.set_saver(saver.clone());
        Ok(saver)
    }

    /// Returns the cap of the server's storage.
    async fn server_cap(&self, tenant: &Tenant) -> Option<u64> {
        self.limits.server().into_iter().chain(self.disk_cap(tenant).await).min()
    }

    /// Returns whether the limit of the server's disk is nearly reached: where it is not, no share of the
    /// storage in it can be too large.
    async fn is_disk_nearly_full(&self) -> bool {
        let Some(disk) = &self.disk else { return false };
        let measured = disk.allowed_and_used().await;
        measured.is_some_and(|(allowed, used)| self.limits.surplus(allowed, used).is_some())
    }

    /// Returns the cap of the server's storage that keeps its disk below its limit.
    async fn disk_cap(&self, tenant: &Tenant) -> Option<u64> {
        match &self.disk {
            Some(disk) => disk.cap(&*tenant.index, self.shared.leases.unwritten()).await,
            None => None,
        }
    }
}

fn unavailable(error: larder_index::IndexError) -> StorageError {
    match error {
        larder_index::IndexError::NoSpace { .. } => StorageError::NoSpace,
        error => StorageError::unavailable("reserving room", error),
    }
}

/// Stores a body, for which room is reserved first where anything has a limit.
///
/// # Errors
/// Those of `store`; [`StorageError::NoSpace`] if a limit is reached, [`StorageError::NotFound`] if the
/// upload is gone.
pub(crate) async fn admitted<'a, T>(
    tenant: &Arc<Tenant>,
    upload: &UploadName,
    body: Source,
    store: impl FnOnce(Source) -> BoxFuture<'a, Result<T, StorageError>> + Send,
) -> Result<T, StorageError> {
    let Some(capacity) = &tenant.capacity else { return store(body).await };
    let (body, guard) = Capacity::admit(tenant, capacity, upload, body).await?;
    let stored = store(body).await;
    if guard.finish(&stored) {
        removal::erase_late(tenant, upload).await;
    }
    stored
}

/// Reserves room for an upload whose bytes will come in several bodies, where anything has a limit.
///
/// # Errors
/// As [`admitted`].
pub(crate) async fn reserve_room(
    tenant: &Tenant,
    upload: &UploadName,
    bytes: u64,
) -> Result<(), StorageError> {
    let Some(capacity) = &tenant.capacity else { return Ok(()) };
    let lease = capacity.shared.leases.of(upload);
    let _turn = lease.turn().await;
    let lacking = lease.lacks(bytes);
    if lacking > 0 {
        let reserved = capacity.reserve(tenant, upload, &lease, lacking, lacking).await;
        if matches!(reserved, Err(StorageError::NoSpace)) {
            lease.refuse();
        }
        lease.add(reserved?);
    }
    Ok(())
}

/// Checks whether an index counts, which the limits need.
pub(crate) async fn counts(index: &dyn Index) -> bool {
    !matches!(
        index.usage_of(&larder_index::Area::Tenant).await,
        Err(larder_index::IndexError::Unsupported(_))
    )
}

/// How long what was refused is remembered.
const HOPELESS_FOR: Duration = Duration::from_secs(2);
