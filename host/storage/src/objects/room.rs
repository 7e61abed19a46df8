//! The memory that uploads to an object store may take together.
//!
//! Parts are sent from memory, so that a request can be repeated; whoever takes bytes in takes room for them first, for a
//! whole part or a whole small block at once. So nobody who holds room waits for more of it, but for tails: blocks that
//! wait until there are enough of them for a part. Where somebody waits, `janitor.rs` makes these give their room up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::StorageError;

/// Room is counted in units of so many bytes.
const UNIT_BYTES: u64 = 256;

#[derive(Debug)]
pub(super) struct Room {
    units: Arc<Semaphore>,
    total: u32,
    waiting: AtomicUsize,
    peak: AtomicUsize,
    patience: Duration,
    pressure: Notify,
}

/// Room that was taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held(OwnedSemaphorePermit);

impl Room {
    /// `patience`: how long somebody waits for room before that is an error.
    pub(super) fn new(total_bytes: u64, patience: Duration) -> Self {
        let total = units(total_bytes).max(1);
        Self {
            units: Arc::new(Semaphore::new(total as usize)),
            total,
            waiting: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            patience,
            pressure: Notify::new(),
        }
    }

    /// Takes room for so many bytes, once it is there: in the order of asking. More than there is in total is the total, so
    /// that a part can always be sent, by one upload at a time.
    pub(super) async fn take(&self, bytes: u64) -> Result<Held, StorageError> {
        let wanted = units(bytes).min(self.total);
        let held = match Arc::clone(&self.units).try_acquire_many_owned(wanted) {
            Ok(permit) => Held(permit),
            Err(_) => self.wait_for(wanted).await?,
        };
        self.peak.fetch_max(self.total as usize - self.units.available_permits(), Relaxed);
        Ok(held)
    }

    async fn wait_for(&self, wanted: u32) -> Result<Held, StorageError> {
        let _waiting = Waiting::begin(&self.waiting);
        self.pressure.notify_one();
        let taken = timeout(self.patience, Arc::clone(&self.units).acquire_many_owned(wanted)).await;
        match taken {
            Ok(Ok(permit)) => Ok(Held(permit)),
            Ok(Err(error)) => Err(StorageError::unavailable("wait for memory", error)),
            Err(error) => Err(StorageError::unavailable("wait for memory", error)),
        }
    }

    /// Returns when somebody begins to wait for room.
    pub(super) async fn pressed(&self) {
        self.pressure.notified().await;
    }

    /// Returns whether somebody waits for room.
    pub(super) fn is_pressed(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Returns whether room gets scarce: parts should be as small as they may be.
    pub(super) fn is_scarce(&self) -> bool {
        self.is_pressed() || self.units.available_permits() < self.total as usize / 4
    }

    /// Returns the most bytes that were ever taken at once.
    #[cfg(test)]
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak.load(Relaxed) as u64 * UNIT_BYTES
    }

    /// Returns the bytes that are taken now.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> u64 {
        (self.total as usize - self.units.available_permits()) as u64 * UNIT_BYTES
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Held {
    /// Gives back what is more than room for so many bytes.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.0.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.0.split(surplus));
    }

    /// Splits off room for so many bytes, or what there is.
    pub(super) fn split(&mut self, bytes: u64) -> Option<Self> {
        let count = (units(bytes) as usize).min(self.0.num_permits());
        self.0.split(count).map(Self)
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}
