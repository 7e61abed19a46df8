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
pub(super) struct MemoryBudget {
    units: Arc<Semaphore>,
    total: u32,
    waiters: AtomicUsize,
    peak: AtomicUsize,
    acquire_timeout: Duration,
    waiter: Notify,
}

/// Room that was taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct MemoryPermit(OwnedSemaphorePermit);

impl MemoryBudget {
    /// `acquire_timeout`: how long somebody waits for room before that is an error.
    pub(super) fn new(total_bytes: u64, acquire_timeout: Duration) -> Self {
        let total = units(total_bytes).max(1);
        Self {
            units: Arc::new(Semaphore::new(total as usize)),
            total,
            waiters: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            acquire_timeout,
            waiter: Notify::new(),
        }
    }

    /// Takes room for so many bytes, once it is there: in the order of asking. More than there is in total is the total, so
    /// that a part can always be sent, by one upload at a time.
    pub(super) async fn acquire(&self, bytes: u64) -> Result<MemoryPermit, StorageError> {
        let wanted = units(bytes).min(self.total);
        let permit = match Arc::clone(&self.units).try_acquire_many_owned(wanted) {
            Ok(permit) => MemoryPermit(permit),
            Err(_) => self.wait_for(wanted).await?,
        };
        self.peak.fetch_max(self.total as usize - self.units.available_permits(), Relaxed);
        Ok(permit)
    }

    async fn wait_for(&self, wanted: u32) -> Result<MemoryPermit, StorageError> {
        let _waiting = WaiterCount::begin(&self.waiters);
        self.waiter.notify_one();
        let taken = timeout(self.acquire_timeout, Arc::clone(&self.units).acquire_many_owned(wanted)).await;
        match taken {
            Ok(Ok(permit)) => Ok(MemoryPermit(permit)),
            Ok(Err(error)) => Err(StorageError::unavailable("wait for memory", error)),
            Err(error) => Err(StorageError::unavailable("wait for memory", error)),
        }
    }

    /// Returns when somebody begins to wait for room.
    pub(super) async fn waiter_arrived(&self) {
        self.waiter.notified().await;
    }

    /// Returns whether somebody waits for room.
    pub(super) fn has_waiters(&self) -> bool {
        self.waiters.load(Relaxed) > 0
    }

    /// Returns whether room gets scarce: parts should be as small as they may be.
    pub(super) fn is_low(&self) -> bool {
        self.has_waiters() || self.units.available_permits() < self.total as usize / 4
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
struct WaiterCount<'a>(&'a AtomicUsize);

impl<'a> WaiterCount<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for WaiterCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl MemoryPermit {
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
