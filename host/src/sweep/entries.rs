//! Entries that are unused, or whose content is gone.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::{PAGE, Report, SweepError, Sweeper};
use crate::{
    index::{Entry, EntryId},
    interfaces::retention::{Candidate, ContentState},
    storage::StorageError,
};

/// How many objects are looked for at once.
const LOOKS: usize = 8;

impl Sweeper<'_> {
    /// Deletes the entries that the guest gives up.
    pub(super) async fn sweep_entries(&self, now_ms: u64, report: &mut Report) -> Result<(), SweepError> {
        // Uses that are still in memory count, too.
        self.services.recency.flush(&self.services.index).await?;
        let mut after = EntryId(0);
        loop {
            let page = self.services.index.list_entries(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let candidates: Arc<[Candidate]> = self.look(page).await.into();
            let given_up = self.guest.review_entries(now_ms, candidates.clone()).await?;
            for candidate in candidates.iter().filter(|candidate| given_up.contains(&candidate.entry.id)) {
                self.delete(candidate, report).await?;
            }
        }
    }

    /// Finds out what is left of each entry's content.
    async fn look(&self, entries: Vec<Entry>) -> Vec<Candidate> {
        let look = |entry: Entry| async move {
            let content = match self.services.storage.stat(&entry.object).await {
                Ok(size) if size == entry.size_bytes => ContentState::Whole,
                Ok(_) | Err(StorageError::NotFound) => ContentState::Broken,
                Err(StorageError::NoSpace | StorageError::Invalid(_) | StorageError::Unavailable { .. }) => {
                    ContentState::Unknown
                }
            };
            Candidate { entry, content }
        };
        stream::iter(entries).map(look).buffered(LOOKS).collect().await
    }

    /// Deletes an entry: the row, then the object. One that was used since it was listed stays, unless its content is gone.
    async fn delete(&self, candidate: &Candidate, report: &mut Report) -> Result<(), SweepError> {
        let (entry, index) = (&candidate.entry, &self.services.index);
        let deleted = match candidate.content {
            ContentState::Broken => index.delete_entry(entry.id).await?,
            ContentState::Whole | ContentState::Unknown => {
                !self.services.recency.was_used(entry.id)
                    && index.delete_entry_unused(entry.id, entry.used_ms).await?
            }
        };
        if deleted {
            self.services.storage.remove(&entry.object).await?;
            report.entries += 1;
            report.bytes += entry.size_bytes;
            let stale = candidate.content == ContentState::Broken;
            tracing::info!(entry = entry.id.0, key = entry.slot.key, stale, "an entry was removed");
        }
        Ok(())
    }
}
