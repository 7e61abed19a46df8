//! Entries survive a loss of power, or are known to be lost.
//!
//! Flushing a gigabyte before an upload is answered would make every save wait for the disk. So an entry counts at once, and
//! its row says that it is good only for this boot of the machine. A background task flushes the object and then the row
//! says that it is durable. After a loss of power the rows of the earlier boot that were never marked are given up: their
//! content cannot be trusted. A crash of the process alone loses nothing: what it wrote is in the kernel's hands.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};

use crate::{
    index::{Durability, Entry, EntryId, Index, IndexError},
    storage::{ObjectName, Storage, StorageError},
};

/// Most entries that are flushed together.
const BATCH: usize = 256;
/// How long new entries gather before they are flushed together.
const GATHER: Duration = Duration::from_millis(500);
/// How long a failed flush waits for the next attempt.
const RETRY: Duration = Duration::from_secs(10);

/// Knows this boot, and when there is something to flush.
pub struct Durabilities {
    boot: String,
    at_once: bool,
    made: Notify,
}

impl Durabilities {
    /// `boot` names this run of the machine; `at_once` says that the storage is durable without a flush.
    #[must_use]
    pub fn new(boot: String, at_once: bool) -> Self {
        Self { boot, at_once, made: Notify::new() }
    }

    /// Names this run of the machine, or, where it cannot be had, this run of the process: then a restart is treated like
    /// a loss of power, which is safe.
    #[must_use]
    pub fn this_boot() -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_else(|_| uuid::Uuid::new_v4().to_string())
    }

    /// What is known of an entry that is made now.
    #[must_use]
    pub fn of_new_entry(&self) -> Durability {
        if self.at_once { Durability::Durable } else { Durability::Until { boot: self.boot.clone() } }
    }

    /// Wakes the flusher.
    pub fn entry_was_made(&self) {
        self.made.notify_one();
    }

    /// Gives up the entries of earlier boots that were never flushed. Returns how many.
    ///
    /// # Errors
    /// When the index fails.
    pub async fn give_up_lost(&self, index: &dyn Index) -> Result<usize, IndexError> {
        let (mut after, mut lost) = (EntryId(0), 0);
        loop {
            let page = index.list_volatile(&self.boot, false, after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(lost) };
            after = last.id;
            for entry in &page {
                lost += usize::from(index.delete_entry(entry.id).await?);
            }
        }
    }

    /// Flushes the entries of this boot that wait for it. Returns how many.
    ///
    /// Entries whose flush fails are given up: the kernel reports a failed write once, so a second flush that succeeds
    /// would prove nothing.
    ///
    /// # Errors
    /// When the index fails. What was flushed before is marked.
    pub async fn flush_once(&self, storage: &dyn Storage, index: &dyn Index) -> Result<usize, IndexError> {
        let (mut after, mut flushed) = (EntryId(0), 0);
        loop {
            let page = index.list_volatile(&self.boot, true, after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(flushed) };
            after = last.id;
            let objects: Vec<ObjectName> = page.iter().map(|entry| entry.object.clone()).collect();
            match storage.flush(&objects).await {
                Ok(()) => {
                    let ids: Vec<EntryId> = page.iter().map(|entry| entry.id).collect();
                    index.mark_durable(&ids).await?;
                    flushed += ids.len();
                }
                Err(error) => give_up(storage, index, &page, &error).await?,
            }
        }
    }

    /// Flushes whenever there is something to flush, for ever.
    pub async fn keep_flushing(&self, storage: Arc<dyn Storage>, index: Arc<dyn Index>) {
        loop {
            let pause = match self.flush_once(&*storage, &*index).await {
                Ok(_) => GATHER,
                Err(error) => {
                    tracing::error!(error = %error, "new entries cannot be marked as durable; trying again");
                    self.made.notify_one();
                    RETRY
                }
            };
            self.made.notified().await;
            sleep(pause).await;
        }
    }
}

async fn give_up(
    storage: &dyn Storage,
    index: &dyn Index,
    entries: &[Entry],
    error: &StorageError,
) -> Result<(), IndexError> {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(error = %error, cause, entries = entries.len(), "new entries cannot be flushed and are given up");
    for entry in entries {
        index.delete_entry(entry.id).await?;
        if let Err(error) = storage.remove(&entry.object).await {
            tracing::warn!(error = %error, "its object is left to the sweep");
        }
    }
    Ok(())
}

/// When this machine started, in milliseconds since 1970, where the kernel tells.
#[must_use]
pub fn boot_time_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(seconds * 1000)
}
