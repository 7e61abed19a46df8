//! Uses of entries and signs of life of uploads, collected in memory and written down in batches.
//!
//! A server that writes a row for every hit spends more on that than on the hit. What is lost in a crash is a minute's worth
//! of recency, which costs at most an early eviction.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    index::{EntryId, Index, IndexError},
    storage::UploadName,
};

/// What waits to be written.
#[derive(Default)]
pub struct Recency {
    entries: Mutex<HashMap<EntryId, u64>>,
    uploads: Mutex<HashMap<UploadName, u64>>,
}

/// Most rows in one write.
const BATCH: usize = 1000;
/// Most uses held. Beyond that, uses of entries that are not held yet are dropped until the next write.
const MAX_HELD: usize = 100_000;

impl Recency {
    /// Notes that an entry was used.
    pub fn entry_used(&self, id: EntryId, now_ms: u64) {
        let mut entries = self.entries.lock();
        if entries.len() < MAX_HELD || entries.contains_key(&id) {
            entries.insert(id, now_ms);
        }
    }

    /// Returns whether a use of the entry waits to be written.
    #[must_use]
    pub fn was_used(&self, id: EntryId) -> bool {
        self.entries.lock().contains_key(&id)
    }

    /// Notes that bytes came for an upload.
    pub fn upload_active(&self, name: &UploadName, now_ms: u64) {
        let mut uploads = self.uploads.lock();
        match uploads.get_mut(name) {
            Some(active) => *active = now_ms,
            None => drop(uploads.insert(name.clone(), now_ms)),
        }
    }

    /// Writes down what was collected. What cannot be written is collected again.
    ///
    /// # Errors
    /// When the index does not take it.
    pub async fn flush(&self, index: &Arc<dyn Index>) -> Result<(), IndexError> {
        let uploads: Vec<_> = std::mem::take(&mut *self.uploads.lock()).into_iter().collect();
        for batch in uploads.chunks(BATCH) {
            if let Err(error) = index.touch_uploads(batch).await {
                batch.iter().for_each(|(name, at)| self.keep_upload(name, *at));
                return Err(error);
            }
        }
        let entries: Vec<_> = std::mem::take(&mut *self.entries.lock()).into_iter().collect();
        for batch in entries.chunks(BATCH) {
            if let Err(error) = index.touch_entries(batch).await {
                batch.iter().for_each(|(id, at)| self.keep_entry(*id, *at));
                return Err(error);
            }
        }
        Ok(())
    }

    fn keep_entry(&self, id: EntryId, at: u64) {
        self.entries.lock().entry(id).or_insert(at);
    }

    fn keep_upload(&self, name: &UploadName, at: u64) {
        self.uploads.lock().entry(name.clone()).or_insert(at);
    }
}
