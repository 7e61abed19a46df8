//! Entries that are unused, or whose content is gone.
//!
//! Two passes over all entries, page by page: the guest first selects roots and groups, then reviews
//! each page with the roots of its repositories, and with the places of its entries in their groups.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, stream};
use larder_common::causes::chain;
use larder_index::{Departure, Detailed, Entry, EntryId, MAX_CLOCK_SKEW_MS, with_details};
use larder_storage::StorageError;

use super::{
    PAGE, SweepError, SweepRun, Sweeper,
    ages::EARLIEST_MS,
    rules::RetentionRules,
    survey::{Places, Survey},
};
use crate::{
    capacity::remove_object,
    retention::{Candidate, ContentState},
    trace::swept,
};

/// Concurrent `stat` calls.
const MAX_STATS: usize = 8;

impl Sweeper<'_> {
    /// Deletes the entries that the guest selects.
    pub(super) async fn sweep_entries(&self, now_ms: u64, run: &mut SweepRun) -> Result<(), SweepError> {
        self.flush_usage().await;
        let mut rules = RetentionRules::of(self.tenant, now_ms);
        let mut survey = self.survey(now_ms, &mut rules).await?;
        let (places, rule_places) = (survey.take_places(), survey.take_rule_places());
        let shadow_places = survey.take_shadow_places();
        let mut after = EntryId(0);
        loop {
            let page = self.tenant.index.list_entries(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            self.correct_future_uses(&page, now_ms).await;
            let roots = survey.roots_for(&page);
            let mut candidates = self.candidates(page, &places).await?;
            rules.wish(&mut candidates, &rule_places, &shadow_places);
            let candidates: Arc<[Candidate]> = candidates.into();
            let doomed = self.guest.review_entries(now_ms, candidates.clone(), roots).await?;
            let mut causes: BTreeMap<EntryId, _> =
                doomed.into_iter().map(|verdict| (verdict.id, verdict.cause)).collect();
            for candidate in candidates.iter() {
                if let Some(cause) = causes.remove(&candidate.entry.id) {
                    self.delete(candidate, Departure { cause, at_ms: now_ms }, run).await?;
                }
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

    /// Has the guest select roots and groups among all entries, and the rules name groups of theirs.
    async fn survey(&self, now_ms: u64, rules: &mut RetentionRules) -> Result<Survey, SweepError> {
        let mut survey = Survey::default();
        let mut after = EntryId(0);
        loop {
            let page = self.tenant.index.list_entries(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(survey) };
            after = last.id;
            let page: Arc<[Entry]> = page.into();
            survey.add(&page, &self.guest.select_entries(now_ms, page.clone()).await?);
            if rules.are_asked() {
                let known = with_details(&*self.tenant.index, page.to_vec()).await?;
                rules.group(&known, &mut survey);
            }
        }
    }

    /// Returns what the guest needs to know of a page of entries. Those that were deleted since they
    /// were listed are left out.
    async fn candidates(&self, page: Vec<Entry>, places: &Places) -> Result<Vec<Candidate>, SweepError> {
        let known = with_details(&*self.tenant.index, page).await?;
        let candidate = |(entry, details): Detailed| async move {
            let (content, newer) = (self.stat_content(&entry).await, places.newer(entry.id));
            Candidate { entry, details, content, newer, wish: None }
        };
        Ok(stream::iter(known).map(candidate).buffered(MAX_STATS).collect().await)
    }

    /// Checks the object of an entry.
    async fn stat_content(&self, entry: &Entry) -> ContentState {
        match self.tenant.storage.stat(&entry.object).await {
            Ok(size) if size == entry.size_bytes => ContentState::Intact,
            Ok(_) | Err(StorageError::NotFound) => ContentState::Broken,
            Err(
                StorageError::NoSpace
                | StorageError::TooLarge
                | StorageError::Invalid(_)
                | StorageError::Unavailable { .. },
            ) => ContentState::Unknown,
        }
    }

    /// Deletes an entry: the row, then the object. An entry that was used since it was listed
    /// stays, unless its content is gone. An object that cannot be removed becomes an orphan.
    async fn delete(
        &self,
        candidate: &Candidate,
        departure: Departure,
        run: &mut SweepRun,
    ) -> Result<(), SweepError> {
        let (entry, index) = (&candidate.entry, &self.tenant.index);
        let deleted = match candidate.content {
            ContentState::Broken => index.delete_entry(entry.id, &departure).await?,
            ContentState::Intact | ContentState::Unknown => {
                !self.tenant.usage.has_buffered_use(entry.id)
                    && index.delete_entry_unused(entry.id, entry.last_used_ms, &departure).await?
            }
        };
        if deleted {
            run.report.entries += 1;
            run.report.bytes += entry.size_bytes;
            let reason = larder_metrics::removal_reason(&departure.cause);
            self.tenant.metrics.count_removed_bytes(reason, entry.size_bytes);
            let (key, cause) = (&entry.slot.key, &departure.cause);
            tracing::info!(entry = entry.id.0, key, %cause, "entry deleted");
            self.tenant.trace.record(|| swept(entry, &departure));
            run.failures.record(remove_object(self.tenant, &entry.object).await)?;
        }
        Ok(())
    }
}
