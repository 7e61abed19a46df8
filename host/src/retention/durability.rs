//! Entries survive a loss of power, or are known to be lost.
//!
//! Flushing a gigabyte before an upload is answered would make every save wait for the disk. So an entry counts at once, and
//! its row says that it is good only for this boot of the machine. A background task flushes the object and then the row
//! says that it is durable. After a loss of power the rows of the earlier boot that were never marked are given up: their
//! content cannot be trusted. A crash of the process alone loses nothing: what it wrote is in the kernel's hands.

#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};

use crate::{
    causes::chain,
    index::{AHEAD_MS, Durability, Entry, EntryId, Index, IndexError, UploadId},
    storage::{FlushError, ObjectName, Storage, StorageError},
    throttle::Throttle,
};

/// Most entries that are flushed together.
const BATCH: usize = 256;
/// Uploads that are listed together.
const UPLOADS_PAGE: usize = 500;
/// How long new entries gather before they are flushed together.
const GATHER: Duration = Duration::from_millis(500);
/// How long a failed flush waits for the next attempt.
const RETRY: Duration = Duration::from_secs(10);
/// How often a warning says that entries wait.
const WARNING: Duration = Duration::from_secs(60);

/// Knows this boot, and when there is something to flush.
pub struct DurabilityTracker {
    boot: String,
    at_once: bool,
    made: Notify,
    /// Entries whose bytes are lost, but whose rows could not be deleted yet.
    lost: Mutex<HashSet<EntryId>>,
    warnings: Throttle,
}

impl DurabilityTracker {
    /// `boot` names this run of the machine; `at_once` says that the storage is durable without a flush.
    #[must_use]
    pub fn new(boot: String, at_once: bool) -> Self {
        let (lost, warnings) = (Mutex::default(), Throttle::new(WARNING));
        Self { boot, at_once, made: Notify::new(), lost, warnings }
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

    /// Gives up what a loss of power may have spoilt, before anyone can ask for it: entries that were not flushed yet, and
    /// uploads that began before the machine did. Where the storage is durable at once there is nothing to give up, and the
    /// index may be shared with servers on other machines, whose boots are not this one.
    ///
    /// # Errors
    /// When the index fails.
    pub async fn recover(&self, index: &dyn Index, now_ms: u64) -> Result<(), IndexError> {
        if self.at_once {
            return Ok(());
        }
        let lost = self.drop_unflushed(index).await?;
        if lost > 0 {
            tracing::warn!(entries = lost, "deleted entries that were not on disk when the machine stopped");
        }
        match boot_time_ms() {
            Some(booted_ms) => abandon_interrupted(index, booted_ms, now_ms).await,
            None => Ok(()),
        }
    }

    /// Gives up the entries of earlier boots that were never flushed. Returns how many.
    ///
    /// # Errors
    /// When the index fails.
    pub async fn drop_unflushed(&self, index: &dyn Index) -> Result<usize, IndexError> {
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

    /// Flushes the entries of this boot that wait for it.
    ///
    /// An entry whose bytes the kernel could not write is given up, and it alone: the kernel reports a failed write once, so
    /// a second flush that succeeds would prove nothing. One that could not be flushed for another reason waits.
    ///
    /// # Errors
    /// When the index fails. What was flushed before is marked.
    pub async fn flush_once(&self, storage: &dyn Storage, index: &dyn Index) -> Result<Pass, IndexError> {
        let (mut after, mut pass) = (EntryId(0), Pass::default());
        loop {
            let page = index.list_volatile(&self.boot, true, after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(pass) };
            after = last.id;
            let objects: Vec<ObjectName> = page.iter().map(|entry| entry.object.clone()).collect();
            let outcomes = storage.flush(&objects).await;
            let mut flushed = Vec::new();
            for (entry, outcome) in page.iter().zip(outcomes) {
                match outcome {
                    // What was lost once is not proven by a later flush.
                    Ok(()) if !self.is_lost(entry.id) => flushed.push(entry.id),
                    Ok(()) => self.give_up(storage, index, entry).await?,
                    Err(FlushError::Lost(error)) => {
                        let (error, key) = (chain(&error), &entry.slot.key);
                        tracing::error!(%error, key, "the content of a new entry could not be written to disk; deleting the entry");
                        self.give_up(storage, index, entry).await?;
                    }
                    Err(FlushError::Retry(error)) => {
                        pass.waiting += 1;
                        self.warn_of_waiting(&error);
                    }
                }
            }
            index.mark_durable(&flushed).await?;
            pass.flushed += flushed.len();
        }
    }

    /// Flushes whenever there is something to flush, for ever.
    pub async fn run_flusher(&self, storage: Arc<dyn Storage>, index: Arc<dyn Index>) {
        loop {
            let pause = match self.flush_once(&*storage, &*index).await {
                Ok(Pass { waiting: 0, .. }) => GATHER,
                Ok(_) => {
                    self.made.notify_one();
                    RETRY
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "cannot mark new entries as durable, retrying");
                    self.made.notify_one();
                    RETRY
                }
            };
            self.made.notified().await;
            sleep(pause).await;
        }
    }

    fn is_lost(&self, id: EntryId) -> bool {
        self.lost.lock().contains(&id)
    }

    /// Deletes an entry whose bytes are lost. Where its row cannot be deleted now, its object goes all the same, and the entry
    /// is a miss until a later attempt.
    async fn give_up(
        &self,
        storage: &dyn Storage,
        index: &dyn Index,
        entry: &Entry,
    ) -> Result<(), IndexError> {
        self.lost.lock().insert(entry.id);
        let deleted = index.delete_entry(entry.id).await;
        if let Err(error) = storage.remove(&entry.object).await {
            tracing::warn!(error = %chain(&error), "cannot delete the object of a lost entry; leaving it to the sweep");
        }
        deleted?;
        self.lost.lock().remove(&entry.id);
        Ok(())
    }

    fn warn_of_waiting(&self, error: &StorageError) {
        if self.warnings.allows() {
            tracing::warn!(error = %chain(error), "cannot flush new entries to disk, retrying");
        }
    }
}

/// Abandons the uploads that began before the machine did.
async fn abandon_interrupted(index: &dyn Index, booted_ms: u64, now_ms: u64) -> Result<(), IndexError> {
    // A reservation from the future began before the clock was set right, nobody knows when.
    let latest_ms = now_ms.saturating_add(AHEAD_MS);
    let mut after = UploadId(0);
    loop {
        let page = index.list_uploads(after, UPLOADS_PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        for upload in page.iter().filter(|upload| !(booted_ms..=latest_ms).contains(&upload.created_ms)) {
            index.abandon(upload.id).await?;
        }
    }
}

/// What one pass over the waiting entries did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Entries that survive a loss of power from now on.
    pub flushed: usize,
    /// Entries that could not be flushed, and wait for the next pass.
    pub waiting: usize,
}

/// When this machine started, in milliseconds since 1970, where the kernel tells.
fn boot_time_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(seconds * 1000)
}
