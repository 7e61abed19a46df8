//! Entries that are unused, or whose content is gone.
//!
//! Two passes: the guest first chooses the entries that it must know of to judge others, and then judges, page by page.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::{StreamExt, stream};

use super::{PAGE, Run, SweepError, Sweeper};
use crate::{
    causes::chain,
    index::{AHEAD_MS, Entry, EntryId},
    retention::{Candidate, ContentState, Witnesses},
    storage::StorageError,
};

/// October 2025, in milliseconds since 1970: no clock that is right says an earlier time to this program.
pub(super) const EARLIEST_MS: u64 = 1_760_000_000_000;
/// How many objects are looked for at once.
const LOOKS: usize = 8;
/// Most witnesses that are held, and most that go with one page.
const MAX_HELD: usize = 50_000;
const MAX_SHOWN: usize = 10_000;

impl Sweeper<'_> {
    /// Deletes the entries that the guest gives up.
    pub(super) async fn sweep_entries(&self, now_ms: u64, run: &mut Run) -> Result<(), SweepError> {
        self.write_uses_down().await;
        let survey = self.survey(now_ms).await?;
        let mut after = EntryId(0);
        loop {
            let page = self.services.index.list_entries(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            self.bring_entries_back(&page, now_ms).await;
            let witnesses = survey.of_repositories_in(&page);
            let candidates: Arc<[Candidate]> = self.look(page).await.into();
            let given_up = self.guest.review_entries(now_ms, candidates.clone(), witnesses).await?;
            for candidate in candidates.iter().filter(|candidate| given_up.contains(&candidate.entry.id)) {
                self.delete(candidate, run).await?;
            }
        }
    }

    /// What was used while the clock was ahead counts as used now; so it is unused some time. Not by a clock that is wrong for
    /// certain: later the entries would seem to be unused for years.
    async fn bring_entries_back(&self, page: &[Entry], now_ms: u64) {
        let ahead = page.iter().filter(|entry| entry.used_ms > now_ms.saturating_add(AHEAD_MS));
        let ids: Vec<EntryId> = ahead.map(|entry| entry.id).collect();
        if ids.is_empty() {
            return;
        }
        let clock_is_wrong = now_ms < EARLIEST_MS;
        tracing::warn!(entries = ids.len(), clock_is_wrong, "entries were used in the future");
        if clock_is_wrong {
            return;
        }
        if let Err(error) = self.services.index.bring_entries_back(&ids, now_ms).await {
            tracing::warn!(error = %chain(&error), "times of entries stay in the future until the next sweep");
        }
    }

    /// Lets the guest choose its witnesses.
    async fn survey(&self, now_ms: u64) -> Result<Survey, SweepError> {
        let mut survey = Survey { by_repository: HashMap::new(), held: 0, complete: true };
        let mut after = EntryId(0);
        loop {
            let page = self.services.index.list_entries(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(survey) };
            after = last.id;
            let page: Arc<[Entry]> = page.into();
            let chosen: HashSet<EntryId> =
                self.guest.survey_entries(now_ms, page.clone()).await?.into_iter().collect();
            page.iter().filter(|entry| chosen.contains(&entry.id)).for_each(|entry| survey.hold(entry));
        }
    }

    /// Finds out what is left of each entry's content.
    async fn look(&self, entries: Vec<Entry>) -> Vec<Candidate> {
        let look = |entry: Entry| async move {
            let content = match self.services.storage.stat(&entry.object).await {
                Ok(size) if size == entry.size_bytes => ContentState::Whole,
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
        stream::iter(entries).map(look).buffered(LOOKS).collect().await
    }

    /// Deletes an entry: the row, then the object. One that was used since it was listed stays, unless its content is gone. An object
    /// that cannot be removed is an orphan from then on.
    async fn delete(&self, candidate: &Candidate, run: &mut Run) -> Result<(), SweepError> {
        let (entry, index) = (&candidate.entry, &self.services.index);
        let deleted = match candidate.content {
            ContentState::Broken => index.delete_entry(entry.id).await?,
            ContentState::Whole | ContentState::Unknown => {
                !self.services.usage.has_buffered_use(entry.id)
                    && index.delete_entry_unused(entry.id, entry.used_ms).await?
            }
        };
        if deleted {
            run.report.entries += 1;
            run.report.bytes += entry.size_bytes;
            let stale = candidate.content == ContentState::Broken;
            tracing::info!(entry = entry.id.0, key = entry.slot.key, stale, "an entry was removed");
            run.failures.note(self.services.storage.remove(&entry.object).await)?;
        }
        Ok(())
    }
}

/// The witnesses that the guest chose.
struct Survey {
    by_repository: HashMap<String, Vec<Entry>>,
    held: usize,
    complete: bool,
}

impl Survey {
    fn hold(&mut self, entry: &Entry) {
        if self.held == MAX_HELD {
            self.complete = false;
            return;
        }
        self.held += 1;
        self.by_repository.entry(entry.slot.repository.clone()).or_default().push(entry.clone());
    }

    /// What the guest is shown beside a page of entries.
    fn of_repositories_in(&self, page: &[Entry]) -> Witnesses {
        let repositories: HashSet<&str> = page.iter().map(|entry| entry.slot.repository.as_str()).collect();
        let chosen = repositories.into_iter().filter_map(|repository| self.by_repository.get(repository));
        let mut entries: Vec<Entry> = chosen.flatten().take(MAX_SHOWN + 1).cloned().collect();
        let complete = self.complete && entries.len() <= MAX_SHOWN;
        entries.truncate(MAX_SHOWN);
        Witnesses { entries, complete }
    }
}
