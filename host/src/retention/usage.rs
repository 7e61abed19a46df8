//! Uses of entries and signs of life of uploads, collected in memory and written down in batches.
//!
//! A server that writes a row for every hit spends more on that than on the hit. What is lost in a crash is a minute's worth
//! of usage, which costs at most an early eviction.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt;
use parking_lot::Mutex;

use crate::{
    causes::chain,
    clock::Clock,
    index::{EntryId, Index, IndexError},
    storage::{Source, UploadName},
};

/// What waits to be written.
pub struct UsageTracker {
    /// A use after a longer time than this is written at once.
    recent_ms: u64,
    entries: Mutex<HashMap<EntryId, u64>>,
    /// They stay here until they are written, so that at no moment neither this nor the index knows of them.
    uploads: Mutex<HashMap<UploadName, u64>>,
}

/// Longest time for which a use may stand in memory alone: other servers do not see it there.
const RECENT_MS: u64 = 60 * 60 * 1000;
/// Most rows in one write.
const BATCH: usize = 1000;
/// Most uses held. Beyond that, uses of entries that are not held yet are dropped until the next write.
const MAX_HELD: usize = 100_000;

impl Default for UsageTracker {
    fn default() -> Self {
        Self::new(None)
    }
}

impl UsageTracker {
    /// `unused_ms`: how long an entry stands unused before a sweep takes it, if it ever does.
    #[must_use]
    pub fn new(unused_ms: Option<u64>) -> Self {
        // The sweep of another server must find the stored time well below its bound.
        let recent_ms = unused_ms.map_or(RECENT_MS, |unused_ms| RECENT_MS.min(unused_ms / 4));
        Self { recent_ms, entries: Mutex::default(), uploads: Mutex::default() }
    }

    /// Notes that an entry is about to be handed out, whose last use the index knew as `last_used_ms`. Returns `false` if it is
    /// gone.
    ///
    /// Where that was long ago, the sweep of another server may be about to take the entry: then the use is written before
    /// this returns, and whoever deletes it as unused afterwards finds that it was used. Where the index does not take it, the
    /// use is written later.
    pub async fn record_use(&self, index: &dyn Index, id: EntryId, last_used_ms: u64, now_ms: u64) -> bool {
        if now_ms.saturating_sub(last_used_ms) < self.recent_ms {
            self.buffer_use(id, now_ms);
            return true;
        }
        match write_use(index, id, now_ms).await {
            Ok(there) => there,
            Err(error) => {
                tracing::warn!(entry = id.0, error = %chain(&error), "last-used time not persisted yet, retrying");
                self.buffer_use(id, now_ms);
                true
            }
        }
    }

    /// Notes that an entry was used.
    pub fn buffer_use(&self, id: EntryId, now_ms: u64) {
        let mut entries = self.entries.lock();
        if entries.len() < MAX_HELD || entries.contains_key(&id) {
            entries.insert(id, now_ms);
        }
    }

    /// Returns whether a use of the entry waits to be written.
    #[must_use]
    pub fn has_buffered_use(&self, id: EntryId) -> bool {
        self.entries.lock().contains_key(&id)
    }

    /// Notes that bytes came for an upload, or begin to. The time is rounded up: it is later than that of a reservation in the
    /// same millisecond.
    pub fn record_activity(&self, name: &UploadName, now_ms: u64) {
        let last_activity_ms = now_ms.saturating_add(1);
        let mut uploads = self.uploads.lock();
        match uploads.get_mut(name) {
            Some(active) => *active = last_activity_ms,
            None => drop(uploads.insert(name.clone(), last_activity_ms)),
        }
    }

    /// Notes that an upload is alive: now, and whenever a part of this body comes for it.
    pub(crate) fn track_body(self: &Arc<Self>, upload: &UploadName, body: Source, clock: &Clock) -> Source {
        self.record_activity(upload, clock.now_ms());
        let (usage, upload, clock) = (Arc::clone(self), upload.clone(), clock.clone());
        let chunks = body.chunks.inspect(move |_| usage.record_activity(&upload, clock.now_ms()));
        Source { length: body.length, chunks: chunks.boxed() }
    }

    /// Returns when bytes last came for an upload, as far as that waits to be written.
    #[must_use]
    pub fn last_activity_ms(&self, name: &UploadName) -> Option<u64> {
        self.uploads.lock().get(name).copied()
    }

    /// Writes down what was collected. What cannot be written is collected again.
    ///
    /// # Errors
    /// When the index does not take it.
    pub async fn flush(&self, index: &Arc<dyn Index>) -> Result<(), IndexError> {
        let uploads: Vec<_> = self.uploads.lock().iter().map(|(name, at)| (name.clone(), *at)).collect();
        for batch in uploads.chunks(BATCH) {
            index.touch_uploads(batch).await?;
            batch.iter().for_each(|(name, at)| self.upload_written(name, *at));
        }
        let entries: Vec<_> = std::mem::take(&mut *self.entries.lock()).into_iter().collect();
        for (number, batch) in entries.chunks(BATCH).enumerate() {
            if let Err(error) = index.touch_entries(batch).await {
                entries[number * BATCH..].iter().for_each(|(id, at)| self.keep_entry(*id, *at));
                return Err(error);
            }
        }
        Ok(())
    }

    fn keep_entry(&self, id: EntryId, at: u64) {
        self.entries.lock().entry(id).or_insert(at);
    }

    /// Forgets what was written, unless more came meanwhile.
    fn upload_written(&self, name: &UploadName, at: u64) {
        let mut uploads = self.uploads.lock();
        if uploads.get(name) == Some(&at) {
            uploads.remove(name);
        }
    }
}

/// Writes down a use, and returns whether the entry is still there.
async fn write_use(index: &dyn Index, id: EntryId, now_ms: u64) -> Result<bool, IndexError> {
    index.touch_entries(&[(id, now_ms)]).await?;
    Ok(index.get_entry(id).await?.is_some())
}

#[cfg(test)]
mod tests;
