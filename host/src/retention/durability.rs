//! Durability of new entries: they survive a loss of power, or are deleted after it.
//!
//! Flushing a gigabyte before the response would make every save wait for the disk. So a new entry
//! is valid at once, and its row says that it is valid for this boot of the machine only. A
//! background task flushes the object, and then marks the row as durable. After a loss of power the
//! rows of the earlier boot without that mark are deleted, because their content cannot be trusted.
//! A crash of the process alone loses nothing: the kernel has what it wrote.

#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use larder_common::{causes::chain, clock::Clock};
use larder_index::{
    Cause, Departure, Durability, Entry, EntryId, Index, IndexError, MAX_CLOCK_SKEW_MS, UploadId,
};
use larder_storage::{FlushError, ObjectName, Storage, StorageError};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};

use crate::log_throttle::Throttle;

/// Entries that are flushed together.
const BATCH: usize = 256;
/// Uploads that are listed together.
const UPLOADS_PAGE: usize = 500;
/// How long new entries gather before they are flushed together.
const GATHER: Duration = Duration::from_millis(500);
/// Pause after a failed flush.
const RETRY: Duration = Duration::from_secs(10);
/// Most frequent warning about entries that cannot be flushed.
const WARNING: Duration = Duration::from_secs(60);

/// Flushes new entries, and knows which ones belong to this boot.
pub(crate) struct DurabilityTracker {
    boot: String,
    at_once: bool,
    new_entries: Notify,
    /// Entries whose content is lost, and whose rows could not be deleted yet.
    lost: Mutex<HashSet<EntryId>>,
    warnings: Throttle,
}

impl DurabilityTracker {
    /// `boot` identifies this boot of the machine; with `at_once` the storage is durable without a
    /// flush.
    #[must_use]
    pub(crate) fn new(boot: String, at_once: bool) -> Self {
        let (lost, warnings) = (Mutex::default(), Throttle::new(WARNING));
        Self { boot, at_once, new_entries: Notify::new(), lost, warnings }
    }

    /// Returns the id of this boot of the machine. Where the kernel has none, it is a random one
    /// for this process: then a restart is treated like a loss of power, which is safe. The kernel is asked
    /// once, and not for each tenant.
    #[must_use]
    pub(crate) fn this_boot() -> String {
        static BOOT: LazyLock<String> = LazyLock::new(|| {
            std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .map(|id| id.trim().to_owned())
                .unwrap_or_else(|_| uuid::Uuid::new_v4().to_string())
        });
        BOOT.clone()
    }

    /// Returns the durability of an entry that is made now.
    #[must_use]
    pub(crate) fn of_new_entry(&self) -> Durability {
        if self.at_once { Durability::Durable } else { Durability::Until { boot: self.boot.clone() } }
    }

    /// Wakes the flusher.
    pub(crate) fn entry_was_made(&self) {
        self.new_entries.notify_one();
    }

    /// Deletes what a loss of power may have damaged, before the server accepts requests: entries
    /// that were not flushed, and uploads from before this boot. Does nothing if the storage is
    /// durable at once: then the index may be shared with servers on other machines, whose boots
    /// are other ones.
    ///
    /// # Errors
    /// When the index fails.
    pub(crate) async fn recover(&self, index: &dyn Index, now_ms: u64) -> Result<(), IndexError> {
        if self.at_once {
            return Ok(());
        }
        let lost = self.drop_unflushed(index).await?;
        if lost > 0 {
            tracing::warn!(entries = lost, "deleted entries that were not on disk when the machine stopped");
        }
        abandon_interrupted(index, boot_time_ms, now_ms).await
    }

    /// Deletes the entries of earlier boots that were never flushed. Returns their number.
    ///
    /// # Errors
    /// When the index fails.
    pub(crate) async fn drop_unflushed(&self, index: &dyn Index) -> Result<usize, IndexError> {
        let (mut after, mut lost) = (EntryId(0), 0);
        loop {
            let page = index.list_volatile(&self.boot, false, after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(lost) };
            after = last.id;
            for entry in &page {
                lost += usize::from(index.delete_entry(entry.id, &content_is_lost()).await?);
            }
        }
    }

    /// Flushes the entries of this boot that are not durable yet.
    ///
    /// Deletes an entry whose bytes the kernel could not write, and only that one: the kernel
    /// reports a failed write once, so a later successful flush would prove nothing. An entry that
    /// could not be flushed for another reason stays as it is.
    ///
    /// # Errors
    /// When the index fails. Entries that were flushed before are marked.
    pub(crate) async fn flush_once(
        &self,
        storage: &dyn Storage,
        index: &dyn Index,
    ) -> Result<Pass, IndexError> {
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
                    // A later flush does not prove that a lost entry is whole.
                    Ok(()) if !self.is_lost(entry.id) => flushed.push(entry.id),
                    Ok(()) => self.delete_lost(storage, index, entry).await?,
                    Err(FlushError::Lost(error)) => {
                        let (error, key) = (chain(&error), &entry.slot.key);
                        tracing::error!(%error, key, "the content of a new entry could not be written to disk; deleting the entry");
                        self.delete_lost(storage, index, entry).await?;
                    }
                    Err(FlushError::Retry(error)) => {
                        pass.waiting += 1;
                        self.warn_unflushed(&error);
                    }
                }
            }
            index.mark_durable(&flushed).await?;
            pass.flushed += flushed.len();
        }
    }

    /// Flushes whenever there are new entries. Never returns.
    pub(crate) async fn run_flusher(&self, storage: Arc<dyn Storage>, index: Arc<dyn Index>) {
        loop {
            let pause = match self.flush_once(&*storage, &*index).await {
                Ok(Pass { waiting: 0, .. }) => GATHER,
                Ok(_) => {
                    self.new_entries.notify_one();
                    RETRY
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "cannot mark new entries as durable, retrying");
                    self.new_entries.notify_one();
                    RETRY
                }
            };
            self.new_entries.notified().await;
            sleep(pause).await;
        }
    }

    fn is_lost(&self, id: EntryId) -> bool {
        self.lost.lock().contains(&id)
    }

    /// Deletes an entry whose content is lost. If its row cannot be deleted, its object is deleted
    /// all the same, and the entry is a miss until a later attempt.
    async fn delete_lost(
        &self,
        storage: &dyn Storage,
        index: &dyn Index,
        entry: &Entry,
    ) -> Result<(), IndexError> {
        self.lost.lock().insert(entry.id);
        let deleted = index.delete_entry(entry.id, &content_is_lost()).await;
        if let Err(error) = storage.remove(&entry.object).await {
            tracing::warn!(error = %chain(&error), "cannot delete the object of a lost entry; leaving it to the sweep");
        }
        deleted?;
        self.lost.lock().remove(&entry.id);
        Ok(())
    }

    fn warn_unflushed(&self, error: &StorageError) {
        if self.warnings.allows() {
            tracing::warn!(error = %chain(error), "cannot flush new entries to disk, retrying");
        }
    }
}

/// Why the entries are deleted whose content was not written.
fn content_is_lost() -> Departure {
    Departure { cause: Cause::Stale, at_ms: Clock::system().now_ms() }
}

/// Abandons the uploads that began before this boot, if it is known when that was. The kernel is only asked
/// where there are uploads: its answer takes it longer than the first request of an idle tenant may.
async fn abandon_interrupted(
    index: &dyn Index,
    booted_ms: impl FnOnce() -> Option<u64>,
    now_ms: u64,
) -> Result<(), IndexError> {
    let mut page = index.list_uploads(UploadId(0), UPLOADS_PAGE).await?;
    if page.is_empty() {
        return Ok(());
    }
    let Some(booted_ms) = booted_ms() else { return Ok(()) };
    // A reservation from the future began before the clock was corrected, at an unknown time.
    let latest_ms = now_ms.saturating_add(MAX_CLOCK_SKEW_MS);
    while let Some(after) = page.last().map(|last| last.id) {
        for upload in page.iter().filter(|upload| !(booted_ms..=latest_ms).contains(&upload.created_ms)) {
            index.abandon(upload.id).await?;
        }
        page = index.list_uploads(after, UPLOADS_PAGE).await?;
    }
    Ok(())
}

/// The result of one pass over the unflushed entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Entries that are durable now.
    pub flushed: usize,
    /// Entries that could not be flushed; the next pass retries.
    pub waiting: usize,
}

/// Returns when this machine booted, in milliseconds since 1970, if the kernel says it.
fn boot_time_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(seconds * 1000)
}
