//! Uses of entries and last activity of uploads, buffered in memory and persisted in batches.
//!
//! Writing a row for every hit would cost more than the hit itself. A crash loses the uses of some
//! seconds, which costs at most an early eviction, and their number.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use futures_util::StreamExt;
use parking_lot::Mutex;

use larder_common::causes::chain;
use larder_common::clock::Clock;
use larder_index::{EntryId, EntryUses, Index, IndexError};
use larder_storage::{Source, UploadName};

/// Buffers uses and activity until they are persisted.
pub(crate) struct UsageTracker {
    /// A use after a longer time than this is persisted at once.
    recent_ms: u64,
    entries: Mutex<BufferedUses>,
    /// Held while uses are persisted, so that no batch is sent twice at once.
    flushing: tokio::sync::Mutex<()>,
    /// An upload stays here until it is persisted, so that at every moment this or the index knows
    /// of its activity.
    uploads: Mutex<HashMap<UploadName, u64>>,
}

/// Uses that are not known to be persisted. Each use is in one of the two.
#[derive(Default)]
struct BufferedUses {
    fresh: HashMap<EntryId, EntryUses>,
    /// What was sent to the index. It is sent again as it is until it succeeds, because the index
    /// then counts it once, also if the first response was lost.
    sent: HashMap<EntryId, EntryUses>,
}

/// Longest time for which a use may be in memory only, where other servers do not see it.
const RECENT_MS: u64 = 60 * 60 * 1000;
/// Most rows in one write.
const BATCH: usize = 1000;
/// Most buffered entries. Uses of further entries are dropped until the next flush.
const MAX_ENTRIES: usize = 100_000;

impl Default for UsageTracker {
    fn default() -> Self {
        Self::new(None)
    }
}

impl UsageTracker {
    /// `unused_ms`: how long an entry may be unused before a sweep deletes it; `None`: for ever.
    #[must_use]
    pub(crate) fn new(unused_ms: Option<u64>) -> Self {
        // The sweep of another server must find a stored time well below its limit.
        let recent_ms = unused_ms.map_or(RECENT_MS, |unused_ms| RECENT_MS.min(unused_ms / 4));
        let (entries, flushing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { recent_ms, entries, flushing, uploads: Mutex::default() }
    }

    /// Records the use of an entry that is about to be handed out, and whose last use in the index
    /// was at `last_used_ms`. Returns `false` if the entry is gone.
    ///
    /// If that was long ago, the sweep of another server may be about to delete the entry. Then the
    /// use is persisted before this returns, and a later deletion as unused fails. If the index is
    /// unavailable, the use is persisted later.
    pub(crate) async fn record_use(
        &self,
        index: &dyn Index,
        id: EntryId,
        last_used_ms: u64,
        now_ms: u64,
    ) -> bool {
        if now_ms.saturating_sub(last_used_ms) < self.recent_ms {
            self.buffer_use(id, now_ms);
            return true;
        }
        match index.touch_entry(id, now_ms).await {
            Ok(there) => there,
            Err(error) => {
                tracing::warn!(entry = id.0, error = %chain(&error), "last-used time not persisted yet, retrying");
                self.buffer_use(id, now_ms);
                true
            }
        }
    }

    /// Records the use of an entry in memory.
    pub(crate) fn buffer_use(&self, id: EntryId, now_ms: u64) {
        let mut entries = self.entries.lock();
        let is_full = entries.fresh.len() + entries.sent.len() >= MAX_ENTRIES;
        match entries.fresh.entry(id) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.last_used_ms = now_ms;
                known.count = known.count.saturating_add(1);
            }
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(place) => drop(place.insert(EntryUses::once(id, now_ms))),
        }
    }

    /// Returns whether a use of the entry is not persisted yet.
    #[must_use]
    pub(crate) fn has_buffered_use(&self, id: EntryId) -> bool {
        let entries = self.entries.lock();
        entries.fresh.contains_key(&id) || entries.sent.contains_key(&id)
    }

    /// Records that bytes of an upload arrived, or begin to. The time is rounded up, so that it is
    /// later than that of a reservation in the same millisecond.
    pub(crate) fn record_activity(&self, name: &UploadName, now_ms: u64) {
        let last_activity_ms = now_ms.saturating_add(1);
        let mut uploads = self.uploads.lock();
        match uploads.get_mut(name) {
            Some(active) => *active = last_activity_ms,
            None => drop(uploads.insert(name.clone(), last_activity_ms)),
        }
    }

    /// Records activity of an upload now, and whenever a chunk of this body arrives for it.
    pub(crate) fn track_body(self: &Arc<Self>, upload: &UploadName, body: Source, clock: &Clock) -> Source {
        self.record_activity(upload, clock.now_ms());
        let (usage, upload, clock) = (Arc::clone(self), upload.clone(), clock.clone());
        let chunks = body.chunks.inspect(move |_| usage.record_activity(&upload, clock.now_ms()));
        Source::new(body.length, chunks.boxed())
    }

    /// Returns the last activity of an upload that is not persisted yet.
    #[must_use]
    pub(crate) fn last_activity_ms(&self, name: &UploadName) -> Option<u64> {
        self.uploads.lock().get(name).copied()
    }

    /// Persists everything that is buffered. What cannot be persisted stays buffered.
    ///
    /// # Errors
    /// When the index fails.
    pub(crate) async fn flush(&self, index: &Arc<dyn Index>) -> Result<(), IndexError> {
        let uploads: Vec<_> = self.uploads.lock().iter().map(|(name, at)| (name.clone(), *at)).collect();
        for batch in uploads.chunks(BATCH) {
            index.touch_uploads(batch).await?;
            batch.iter().for_each(|(name, at)| self.drop_persisted(name, *at));
        }
        self.flush_entries(index).await
    }

    async fn flush_entries(&self, index: &Arc<dyn Index>) -> Result<(), IndexError> {
        let _flushing = self.flushing.lock().await;
        // What an earlier call could not persist, and then what came since.
        for _ in 0..2 {
            let entries = self.entries.lock().begin();
            for batch in entries.chunks(BATCH) {
                index.touch_entries(batch).await?;
                let mut entries = self.entries.lock();
                for used in batch {
                    entries.sent.remove(&used.id);
                }
            }
        }
        Ok(())
    }

    /// Drops an upload that was persisted, unless it was active meanwhile.
    fn drop_persisted(&self, name: &UploadName, at: u64) {
        let mut uploads = self.uploads.lock();
        if uploads.get(name) == Some(&at) {
            uploads.remove(name);
        }
    }
}

impl BufferedUses {
    /// Returns what is to be sent: what was sent before, if anything, else the fresh uses.
    fn begin(&mut self) -> Vec<EntryUses> {
        if self.sent.is_empty() {
            self.sent = std::mem::take(&mut self.fresh);
        }
        self.sent.values().copied().collect()
    }
}

#[cfg(test)]
mod tests;
