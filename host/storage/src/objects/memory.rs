//! The memory budget of all uploads to an object store.
//!
//! Parts are sent from memory, so that a request can be repeated. Memory is acquired before the
//! bytes are read, for a whole part or a whole small block at once, so no holder waits for more.
//! The exception are tails: small blocks that wait until they fill a part. While there are waiters,
//! `janitor.rs` spills the tails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

use crate::StorageError;

/// Bytes per permit of the semaphore.
const UNIT_BYTES: u64 = 256;

#[derive(Debug)]
pub(super) struct MemoryBudget {
    units: Arc<Semaphore>,
    total: u32,
    waiters: AtomicUsize,
    peak: AtomicUsize,
    acquire_timeout: Duration,
    /// Changes with each waiter that comes.
    waiter: watch::Sender<()>,
}

/// Acquired memory; released on drop.
#[derive(Debug)]
pub(super) struct MemoryPermit(OwnedSemaphorePermit);

impl MemoryBudget {
    /// `acquire_timeout`: how long [`Self::acquire`] waits before it fails.
    pub(super) fn new(total_bytes: u64, acquire_timeout: Duration) -> Self {
        let total = units(total_bytes).max(1);
        Self {
            units: Arc::new(Semaphore::new(total as usize)),
            total,
            waiters: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            acquire_timeout,
            waiter: watch::Sender::new(()),
        }
    }

    /// Waits (FIFO) for `bytes` of the memory budget. Larger requests are clamped to the whole
    /// budget, so an oversized part can always be sent, one upload at a time.
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
        self.waiter.send_replace(());
        let taken = timeout(self.acquire_timeout, Arc::clone(&self.units).acquire_many_owned(wanted)).await;
        match taken {
            Ok(Ok(permit)) => Ok(MemoryPermit(permit)),
            Ok(Err(error)) => Err(StorageError::unavailable("wait for memory", error)),
            Err(error) => Err(StorageError::unavailable("wait for memory", error)),
        }
    }

    /// Changes when a call of [`Self::acquire`] begins to wait.
    pub(super) fn waiters(&self) -> watch::Receiver<()> {
        self.waiter.subscribe()
    }

    /// Returns whether a call of [`Self::acquire`] waits.
    pub(super) fn has_waiters(&self) -> bool {
        self.waiters.load(Relaxed) > 0
    }

    /// Returns whether less than a quarter is free, or there are waiters: parts should be as small
    /// as possible.
    pub(super) fn is_low(&self) -> bool {
        self.has_waiters() || self.units.available_permits() < self.total as usize / 4
    }

    /// Most bytes ever held at once.
    #[cfg(test)]
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak.load(Relaxed) as u64 * UNIT_BYTES
    }

    /// Bytes held now.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> u64 {
        (self.total as usize - self.units.available_permits()) as u64 * UNIT_BYTES
    }
}

/// Counts a waiter until it is dropped.
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
    /// Releases all but `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.0.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.0.split(surplus));
    }

    /// Splits off `bytes`, or all.
    pub(super) fn split(&mut self, bytes: u64) -> Option<Self> {
        let count = (units(bytes) as usize).min(self.0.num_permits());
        self.0.split(count).map(Self)
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}
