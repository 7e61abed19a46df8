//! Entries that are unused, or whose content is gone.
//!
//! Two passes over all entries, page by page: the guest first selects roots, then reviews each page
//! with the roots of its repositories.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use larder_common::causes::chain;
use larder_index::{Entry, EntryId, MAX_CLOCK_SKEW_MS};
use larder_storage::StorageError;

use super::{PAGE, SweepError, SweepRun, Sweeper, ages::EARLIEST_MS};
use crate::{
    capacity::remove_object,
    retention::{Candidate, ContentState, Roots},
};

/// Concurrent `stat` calls.
const MAX_STATS: usize = 8;
/// Most roots held in memory.
const MAX_ROOTS: usize = 50_000;
/// Most roots that the guest gets with one page.
const MAX_ROOTS_PER_PAGE: usize = 10_000;

impl Sweeper<'_> {
    /// Deletes the entries that the guest selects.
    pub(super) async fn sweep_entries(&self, now_ms: u64, run: &mut SweepRun) -> Result<(), SweepError> {
        self.flush_usage().await;
        let all_roots = self.select_roots(now_ms).await?;
        let mut after = EntryId(0);
        loop {
            let page = self.tenant.index.list_entries(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            self.correct_future_uses(&page, now_ms).await;
            let roots = all_roots.of_repositories_in(&page);
            let candidates: Arc<[Candidate]> = self.stat_contents(page).await.into();
            let doomed = self.guest.review_entries(now_ms, candidates.clone(), roots).await?;
            for candidate in candidates.iter().filter(|candidate| doomed.contains(&candidate.entry.id)) {
                self.delete(candidate, run).await?;
            }
        }
    }

    /// Sets last-used times in the future, written while a clock was ahead, to now, so that the
    /// entries expire some day. Changes nothing if this clock is wrong: the entries would later
    /// seem unused for years.
    async fn correct_future_uses(&self, page: &[Entry], now_ms: u64) {
        let ahead = page.iter().filter(|entry| entry.last_used_ms > now_ms.saturating_add(MAX_CLOCK_SKEW_MS));
        let ids: Vec<EntryId> = ahead.map(|entry| entry.id).collect();
        if ids.is_empty() {
            return;
        }
        let clock_is_wrong = now_ms < EARLIEST_MS;
        tracing::warn!(entries = ids.len(), clock_is_wrong, "entries have last-used times in the future");
        if clock_is_wrong {
            return;
        }
        if let Err(error) = self.tenant.index.cap_last_used(&ids, now_ms).await {
            tracing::warn!(error = %chain(&error), "cannot correct last-used times in the future; the next sweep retries");
        }
    }

    /// Has the guest select its roots among all entries.
    async fn select_roots(&self, now_ms: u64) -> Result<RootSet, SweepError> {
        let mut roots = RootSet { by_repository: HashMap::new(), count: 0, complete: true };
        let mut after = EntryId(0);
        loop {
            let page = self.tenant.index.list_entries(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(roots) };
            after = last.id;
            let page: Arc<[Entry]> = page.into();
            let selected: HashSet<EntryId> =
                self.guest.select_roots(now_ms, page.clone()).await?.into_iter().collect();
            page.iter().filter(|entry| selected.contains(&entry.id)).for_each(|entry| roots.add(entry));
        }
    }

    /// Checks the object of each entry.
    async fn stat_contents(&self, entries: Vec<Entry>) -> Vec<Candidate> {
        let check = |entry: Entry| async move {
            let content = match self.tenant.storage.stat(&entry.object).await {
                Ok(size) if size == entry.size_bytes => ContentState::Intact,
                Ok(_) | Err(StorageError::NotFound) => ContentState::Broken,
                Err(
                    StorageError::NoSpace
                    | StorageError::TooLarge
                    | StorageError::Invalid(_)
                    | StorageError::Unavailable { .. },
                ) => ContentState::Unknown,
            };
            Candidate { entry, content }
        };
        stream::iter(entries).map(check).buffered(MAX_STATS).collect().await
    }

    /// Deletes an entry: the row, then the object. An entry that was used since it was listed
    /// stays, unless its content is gone. An object that cannot be removed becomes an orphan.
    async fn delete(&self, candidate: &Candidate, run: &mut SweepRun) -> Result<(), SweepError> {
        let (entry, index) = (&candidate.entry, &self.tenant.index);
        let deleted = match candidate.content {
            ContentState::Broken => index.delete_entry(entry.id).await?,
            ContentState::Intact | ContentState::Unknown => {
                !self.tenant.usage.has_buffered_use(entry.id)
                    && index.delete_entry_unused(entry.id, entry.last_used_ms).await?
            }
        };
        if deleted {
            run.report.entries += 1;
            run.report.bytes += entry.size_bytes;
            let stale = candidate.content == ContentState::Broken;
            tracing::info!(entry = entry.id.0, key = entry.slot.key, stale, "entry deleted");
            run.failures.record(remove_object(self.tenant, &entry.object).await)?;
        }
        Ok(())
    }
}

/// The roots that the guest selected, by repository.
struct RootSet {
    by_repository: HashMap<String, Vec<Entry>>,
    count: usize,
    complete: bool,
}

impl RootSet {
    fn add(&mut self, entry: &Entry) {
        if self.count == MAX_ROOTS {
            self.complete = false;
            return;
        }
        self.count += 1;
        self.by_repository.entry(entry.slot.repository.clone()).or_default().push(entry.clone());
    }

    /// Returns the roots that the guest gets with a page of entries.
    fn of_repositories_in(&self, page: &[Entry]) -> Roots {
        let repositories: HashSet<&str> = page.iter().map(|entry| entry.slot.repository.as_str()).collect();
        let selected = repositories.into_iter().filter_map(|repository| self.by_repository.get(repository));
        let mut entries: Vec<Entry> = selected.flatten().take(MAX_ROOTS_PER_PAGE + 1).cloned().collect();
        let complete = self.complete && entries.len() <= MAX_ROOTS_PER_PAGE;
        entries.truncate(MAX_ROOTS_PER_PAGE);
        Roots { entries, complete }
    }
}
