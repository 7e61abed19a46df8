//! The limit of the disk that the server's storage is on: most of it that is used, by whatever.

use std::{sync::Arc, time::Duration};

use larder_common::causes::chain;
use larder_index::{Area, Index};
use larder_storage::{DiskUsage, Storage};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a measurement is good.
const FRESH: Duration = Duration::from_millis(500);

/// Turns the limit of a disk into one of the storage: what others have on the disk is taken off.
pub(crate) struct DiskLimit {
    storage: Arc<dyn Storage>,
    percent: u64,
    measured: Mutex<Option<(Instant, u64)>>,
}

impl DiskLimit {
    /// `percent`: most of the disk that may be used.
    pub(crate) fn new(storage: Arc<dyn Storage>, percent: u64) -> Self {
        Self { storage, percent, measured: Mutex::default() }
    }

    /// Returns how many bytes the server's storage may have; `None` if the disk cannot be measured.
    /// `unwritten`: what is counted there and not written yet, so that it is not in the disk's usage.
    pub(super) async fn cap(&self, index: &dyn Index, unwritten: u64) -> Option<u64> {
        if let Some((at, cap)) = *self.measured.lock()
            && at.elapsed() < FRESH
        {
            return Some(cap);
        }
        let disk = self.measure().await?;
        let counted = index.usage_of(&Area::Server).await.ok()?;
        let cap = cap(self.percent, disk.total_bytes, disk.free_bytes, counted.saturating_sub(unwritten));
        *self.measured.lock() = Some((Instant::now(), cap));
        Some(cap)
    }

    /// Returns how many bytes of the disk may be used and how many are, by whatever is on it; `None` if it
    /// cannot be measured. The index is not asked.
    pub(super) async fn allowed_and_used(&self) -> Option<(u64, u64)> {
        let DiskUsage { total_bytes, free_bytes } = self.measure().await?;
        Some((allowed(self.percent, total_bytes), total_bytes.saturating_sub(free_bytes)))
    }

    async fn measure(&self) -> Option<DiskUsage> {
        match self.storage.disk_usage().await {
            Ok(disk) => disk,
            Err(error) => {
                tracing::warn!(error = chain(&error), "cannot measure the disk");
                None
            }
        }
    }
}

fn allowed(percent: u64, total: u64) -> u64 {
    u64::try_from(u128::from(total) * u128::from(percent) / 100).unwrap_or(total)
}

/// `written`: what the storage has on the disk.
fn cap(percent: u64, total: u64, free: u64, written: u64) -> u64 {
    let of_others = total.saturating_sub(free).saturating_sub(written);
    allowed(percent, total).saturating_sub(of_others)
}

#[cfg(test)]
mod tests;
