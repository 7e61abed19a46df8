//! What this process has reserved for uploads, and not used yet.
//!
//! The blocks of some clients are small (1 MiB of `BuildKit`): a write to the database for each
//! would cost more than storing it. So room is reserved in growing steps, and the blocks take from
//! that. What is left of it in the end is given back with the upload itself.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use larder_index::Upload;
use larder_storage::{StorageError, UploadName};
use parking_lot::Mutex;
use tokio::{sync::MutexGuard, time::Instant};

use super::{FIRST_STEP, LONGEST_STEP, Saver};

/// Above so many uploads, those that were not used for a while are forgotten.
const MANY: usize = 4096;
/// What is forgotten is lost until the upload ends.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// The leases of a tenant's uploads at this process.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    uploads: Mutex<HashMap<UploadName, Arc<Lease>>>,
    unwritten: Arc<AtomicU64>,
}

/// What is reserved for one upload.
#[derive(Debug)]
pub(crate) struct Lease {
    state: Mutex<LeaseState>,
    /// Held while more is reserved.
    turn: tokio::sync::Mutex<()>,
    /// Of all leases of the tenant: what is reserved and not written yet.
    unwritten: Arc<AtomicU64>,
}

#[derive(Debug)]
struct LeaseState {
    saver: Option<Saver>,
    free: u64,
    next_step: u64,
    bodies: usize,
    /// Something was reserved for it.
    has_room: bool,
    /// There was no room for a part of it, so it cannot be completed.
    is_refused: bool,
    /// It was abandoned.
    is_ended: bool,
    used: Instant,
}

impl Leases {
    /// Records who saves with an upload.
    pub(super) fn note(&self, upload: &Upload) {
        let lease = self.of(&upload.name);
        let mut state = lease.state.lock();
        if state.saver.is_none() {
            state.saver = Some(upload.into());
        }
    }

    /// Returns the lease of an upload, a new one if there is none.
    pub(super) fn of(&self, upload: &UploadName) -> Arc<Lease> {
        let mut uploads = self.uploads.lock();
        if uploads.len() >= MANY && !uploads.contains_key(upload) {
            uploads.retain(|_, lease| !lease.is_idle());
        }
        let lease =
            uploads.entry(upload.clone()).or_insert_with(|| Arc::new(Lease::new(self.unwritten.clone())));
        lease.state.lock().used = Instant::now();
        lease.clone()
    }

    /// Ends an upload: bodies under way are cut off. Returns its lease, if there is one.
    pub(super) fn end(&self, upload: &UploadName) -> Option<Arc<Lease>> {
        let lease = self.uploads.lock().remove(upload)?;
        lease.end();
        Some(lease)
    }

    /// Returns whether room for a part of this upload was refused.
    pub(super) fn was_refused(&self, upload: &UploadName) -> bool {
        self.uploads.lock().get(upload).is_some_and(|lease| lease.state.lock().is_refused)
    }

    /// Returns whether a body of another upload is under way that has room, so that it will end.
    pub(super) fn has_others(&self, lease: &Lease) -> bool {
        let is_under_way = |other: &Lease| {
            let state = other.state.lock();
            state.bodies > 0 && state.has_room
        };
        self.uploads.lock().values().any(|other| !std::ptr::eq(&**other, lease) && is_under_way(other))
    }

    /// Returns how many bytes are reserved that are not written yet.
    pub(crate) fn unwritten(&self) -> u64 {
        self.unwritten.load(Relaxed)
    }
}

impl Lease {
    fn new(unwritten: Arc<AtomicU64>) -> Self {
        let state = LeaseState {
            saver: None,
            free: 0,
            next_step: FIRST_STEP,
            bodies: 0,
            has_room: false,
            is_refused: false,
            is_ended: false,
            used: Instant::now(),
        };
        Self { state: Mutex::new(state), turn: tokio::sync::Mutex::default(), unwritten }
    }

    /// Waits for the turn to reserve more.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Takes `bytes` of what is free. Returns `false`, and takes nothing, if that is less.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] if room for the upload was refused, [`StorageError::NotFound`] if it
    /// has ended.
    pub(super) fn take(&self, bytes: u64) -> Result<bool, StorageError> {
        let mut state = self.state.lock();
        if state.is_refused {
            return Err(StorageError::NoSpace);
        }
        if state.is_ended {
            return Err(StorageError::NotFound);
        }
        let is_enough = state.free >= bytes;
        if is_enough {
            state.free -= bytes;
        }
        Ok(is_enough)
    }

    /// Returns how much has to be reserved before `bytes` can be taken.
    pub(super) fn lacks(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.state.lock().free)
    }

    /// Returns how much to reserve at once.
    pub(super) fn step(&self, lacking: u64) -> u64 {
        let mut state = self.state.lock();
        if lacking >= state.next_step {
            return lacking;
        }
        let step = state.next_step;
        state.next_step = (step * 2).min(LONGEST_STEP);
        step
    }

    /// Adds what was reserved.
    pub(super) fn add(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.free += bytes;
        state.has_room = true;
        drop(state);
        self.unwritten.fetch_add(bytes, Relaxed);
    }

    /// Gives back what was taken, and not stored.
    pub(super) fn give_back(&self, bytes: u64) {
        self.state.lock().free += bytes;
    }

    /// Refuses everything that comes: the upload cannot be completed.
    pub(super) fn refuse(&self) {
        self.state.lock().is_refused = true;
    }

    /// Returns why a body under way is cut off, if it is.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.is_refused || state.is_ended
    }

    pub(super) fn saver(&self) -> Option<Saver> {
        self.state.lock().saver.clone()
    }

    pub(super) fn set_saver(&self, saver: Saver) {
        self.state.lock().saver = Some(saver);
    }

    /// Returns whether a body is under way.
    pub(super) fn has_bodies(&self) -> bool {
        self.state.lock().bodies > 0
    }

    fn end(&self) {
        let mut state = self.state.lock();
        state.is_ended = true;
        let free = std::mem::take(&mut state.free);
        self.written(free);
    }

    /// Records that what was reserved is written, or will never be.
    fn written(&self, bytes: u64) {
        // Always succeeds: the closure always returns a value.
        let _ = self.unwritten.fetch_update(Relaxed, Relaxed, |all| Some(all.saturating_sub(bytes)));
    }

    fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.bodies == 0 && state.used.elapsed() > IDLE
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let free = self.state.get_mut().free;
        self.written(free);
    }
}

/// A body under way.
#[derive(Debug)]
pub(crate) struct BodyGuard {
    lease: Arc<Lease>,
    taken: u64,
}

impl BodyGuard {
    pub(super) fn begin(lease: &Arc<Lease>) -> Self {
        lease.state.lock().bodies += 1;
        Self { lease: lease.clone(), taken: 0 }
    }

    pub(super) fn took(&mut self, bytes: u64) {
        self.taken += bytes;
    }

    /// Ends the body. Gives back what was taken for it, if it certainly stored nothing. Returns whether
    /// the upload has ended meanwhile, and this was its last body: then what it left has to be erased.
    pub(crate) fn finish<T>(mut self, outcome: &Result<T, StorageError>) -> bool {
        let stored_nothing = matches!(
            outcome,
            Err(StorageError::Invalid(_)
                | StorageError::TooLarge
                | StorageError::NoSpace
                | StorageError::NotFound)
        );
        if stored_nothing {
            self.lease.give_back(std::mem::take(&mut self.taken));
        }
        let state = self.lease.state.lock();
        state.is_ended && state.bodies == 1
    }
}

impl Drop for BodyGuard {
    fn drop(&mut self) {
        self.lease.written(self.taken);
        self.lease.state.lock().bodies -= 1;
    }
}

#[cfg(test)]
mod tests;
