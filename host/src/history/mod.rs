//! What jobs found, restored and saved, hour by hour: counted in memory where a request ends, and added to
//! the index in batches.
//!
//! A batch is written once a minute ([`INTERVAL_MS`]) and at the end of the process, so a crash loses what was
//! counted within that time. It has a number, by which the index adds it once, however often it is sent.

mod ghosts;

use std::{collections::HashMap, sync::Arc};

use larder_common::clock::Clock;
use larder_index::{
    Entry, Index, IndexError,
    catalogue::{HOUR_MS, HistoryBatch, HistoryCounts, HistoryKind, HistoryRow, MAX_HISTORY_TEXT_BYTES},
};
use larder_metrics::{Metrics, Repositories};
use parking_lot::Mutex;

use self::ghosts::Evicted;
pub(crate) use self::ghosts::Ghost;
use crate::config::HistoryConfig;

/// How often a batch is written, in milliseconds.
const INTERVAL_MS: u64 = 60 * 1_000;
/// How often old rows are forgotten, and the bytes that others evicted are read, in milliseconds.
const UPKEEP_MS: u64 = 10 * 60 * 1_000;
/// Most rows of a batch.
const BATCH: usize = 500;
/// Most rows in memory: past that, while the database is away, nothing more is counted.
const MAX_PENDING: usize = 50_000;
/// Most rows that are forgotten at once, and how often in a row.
const TRIM: (usize, usize) = (5_000, 20);
/// Most entries of which it is known whose workflow found them.
const MAX_FINDERS: usize = 10_000;
/// Hours of a day.
const DAY: u64 = 24;

/// Where something is counted: hour, repository, kind, and tool or workflow.
type Place = (u64, Arc<str>, HistoryKind, Arc<str>);

/// What a tenant counts until it is written.
pub(crate) struct History {
    settings: HistoryConfig,
    /// No other process has it.
    writer: String,
    clock: Clock,
    names: Repositories,
    pending: Mutex<Pending>,
    evicted: Mutex<Evicted>,
    /// Held by the one who writes.
    schedule: tokio::sync::Mutex<Schedule>,
}

#[derive(Default)]
struct Pending {
    rows: HashMap<Place, HistoryCounts>,
    /// Whose workflow found an entry last: a download has no token.
    finders: HashMap<u64, Arc<str>>,
}

#[derive(Default)]
struct Schedule {
    written_ms: Option<u64>,
    upkeep_ms: Option<u64>,
    number: u64,
    /// Sent, without a confirmation.
    unconfirmed: Option<HistoryBatch>,
}

/// A request that is over, as far as history is concerned.
pub(crate) struct Counted<'a> {
    /// Its outcome, in the word of the log.
    pub(crate) outcome: &'a str,
    /// The repository's id.
    pub(crate) repository: &'a str,
    /// The key that was looked up or saved.
    pub(crate) key: &'a str,
    /// The entry's number.
    pub(crate) entry: Option<u64>,
    /// The workflow, where the token has one.
    pub(crate) workflow: Option<&'a str>,
    /// Bytes of the response's body that were sent.
    pub(crate) bytes_out: u64,
    /// What was deleted to make room, where that is why it found nothing.
    pub(crate) ghost: Option<&'a Ghost>,
}

impl History {
    /// `repositories`: most that have rows of their own, as in labels.
    pub(crate) fn new(settings: &HistoryConfig, repositories: usize, clock: Clock) -> Self {
        Self {
            settings: settings.clone(),
            writer: uuid::Uuid::new_v4().simple().to_string(),
            clock,
            names: Repositories::new(repositories),
            pending: Mutex::default(),
            evicted: Mutex::default(),
            schedule: tokio::sync::Mutex::default(),
        }
    }

    fn is_off(&self) -> bool {
        self.settings.days == 0 || self.settings.rows == 0
    }

    /// Counts a request that is over.
    pub(crate) fn count(&self, request: &Counted<'_>, metrics: Option<&Metrics>) {
        if self.is_off() {
            return;
        }
        let mut counts = HistoryCounts::default();
        match (request.outcome, request.entry) {
            ("hit", _) => counts.hits = 1,
            ("miss", _) => counts.misses = 1,
            ("stale", _) => counts.stale = 1,
            ("served", Some(_)) if request.bytes_out > 0 => counts.served_bytes = request.bytes_out,
            _ => return,
        }
        if let Some(ghost) = request.ghost {
            let haunting = self.evicted.lock().haunting(ghost);
            counts.ghosts = haunting.ghosts();
            if let (Some(times), Some(metrics)) = (haunting.times(), metrics) {
                metrics.count_ghost(times, ghost.size_bytes);
            }
        }
        let repository = self.names.of(None, request.repository);
        let workflow = request.workflow.map(|workflow| repository.workflow(cut(workflow)));
        let mut pending = self.pending.lock();
        let workflow = workflow.or_else(|| pending.finders.get(&request.entry?).cloned());
        if let (1.., Some(entry), Some(workflow)) = (counts.hits, request.entry, &workflow) {
            if pending.finders.len() >= MAX_FINDERS {
                pending.finders.clear();
            }
            pending.finders.insert(entry, workflow.clone());
        }
        let tool = repository.tool_name(request.key);
        self.add(&mut pending, repository.name(), [Some(tool), workflow], &counts);
    }

    /// Counts an entry that was saved.
    pub(crate) fn saved(&self, entry: &Entry, workflow: Option<&str>) {
        let counts = HistoryCounts { saved_bytes: entry.size_bytes, ..HistoryCounts::default() };
        self.count_entry(entry, workflow, &counts);
    }

    /// Counts an entry that was deleted to make room.
    pub(crate) fn evicted(&self, entry: &Entry) {
        let counts = HistoryCounts { evicted_bytes: entry.size_bytes, ..HistoryCounts::default() };
        self.count_entry(entry, None, &counts);
        self.evicted.lock().add(self.clock.now_ms() / HOUR_MS, entry.size_bytes);
    }

    fn count_entry(&self, entry: &Entry, workflow: Option<&str>, counts: &HistoryCounts) {
        if self.is_off() {
            return;
        }
        let repository = self.names.of(None, &entry.slot.repository);
        let tool = repository.tool_name(&entry.slot.key);
        let workflow = workflow.map(|workflow| repository.workflow(cut(workflow)));
        self.add(&mut self.pending.lock(), repository.name(), [Some(tool), workflow], counts);
    }

    fn add(
        &self,
        pending: &mut Pending,
        repository: &Arc<str>,
        [tool, workflow]: [Option<Arc<str>>; 2],
        counts: &HistoryCounts,
    ) {
        let hour = self.clock.now_ms() / HOUR_MS;
        let names = [(HistoryKind::Tool, tool), (HistoryKind::Workflow, workflow)];
        for (kind, name) in names.into_iter().filter_map(|(kind, name)| Some((kind, name?))) {
            let place = (hour, repository.clone(), kind, name);
            let has_room = pending.rows.len() < MAX_PENDING;
            match pending.rows.get_mut(&place) {
                Some(row) => row.add(counts),
                None if has_room => {
                    pending.rows.insert(place, *counts);
                }
                None => {}
            }
        }
    }

    /// Writes what was counted, and forgets what is too old, if it is time for that.
    ///
    /// # Errors
    /// When the index fails. What was not written is kept.
    pub(crate) async fn flush(&self, index: &dyn Index) -> Result<(), IndexError> {
        let mut schedule = self.schedule.lock().await;
        if !self.is_due(schedule.written_ms, INTERVAL_MS) {
            return Ok(());
        }
        self.write(index, &mut schedule).await
    }

    /// Writes what was counted now.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub(crate) async fn flush_all(&self, index: &dyn Index) -> Result<(), IndexError> {
        self.write(index, &mut *self.schedule.lock().await).await
    }

    async fn write(&self, index: &dyn Index, schedule: &mut Schedule) -> Result<(), IndexError> {
        if self.is_off() {
            return Ok(());
        }
        loop {
            if schedule.unconfirmed.is_none() {
                schedule.unconfirmed = self.next_batch(schedule.number + 1);
            }
            let Some(batch) = &schedule.unconfirmed else { break };
            match index.add_history(batch).await {
                // What has no history forgets it.
                Ok(()) | Err(IndexError::Unsupported(_)) => {}
                Err(error) => return Err(error),
            }
            schedule.number = batch.number;
            schedule.unconfirmed = None;
        }
        schedule.written_ms = Some(self.clock.now_ms());
        if self.is_due(schedule.upkeep_ms, UPKEEP_MS) {
            match self.keep_up(index).await {
                Ok(()) | Err(IndexError::Unsupported(_)) => {
                    schedule.upkeep_ms = Some(self.clock.now_ms());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_due(&self, last_ms: Option<u64>, every_ms: u64) -> bool {
        // Of a clock that was set back the time does not matter.
        last_ms.is_none_or(|last_ms| self.clock.now_ms().abs_diff(last_ms) >= every_ms)
    }

    fn next_batch(&self, number: u64) -> Option<HistoryBatch> {
        let mut pending = self.pending.lock();
        let places: Vec<Place> = pending.rows.keys().take(BATCH).cloned().collect();
        let rows: Vec<HistoryRow> = places
            .into_iter()
            .filter_map(|place| {
                let counts = pending.rows.remove(&place)?;
                let (hour, repository, kind, name) = place;
                Some(HistoryRow {
                    hour,
                    repository: (*repository).to_owned(),
                    kind,
                    name: (*name).to_owned(),
                    counts,
                })
            })
            .collect();
        let at_ms = self.clock.now_ms();
        (!rows.is_empty()).then(|| HistoryBatch { writer: self.writer.clone(), number, at_ms, rows })
    }

    async fn keep_up(&self, index: &dyn Index) -> Result<(), IndexError> {
        let hour = self.clock.now_ms() / HOUR_MS;
        let before = hour.saturating_sub(self.settings.days.saturating_mul(DAY));
        let (page, times) = TRIM;
        for _ in 0..times {
            if index.trim_history(before, self.settings.rows, page).await? < page {
                break;
            }
        }
        let stored = ghosts::read(index, hour).await?;
        let mut evicted = self.evicted.lock();
        *evicted = stored;
        // What is not written yet. Of the two kinds one: they count the same.
        let pending = self.pending.lock();
        for ((hour, _, kind, _), counts) in &pending.rows {
            if *kind == HistoryKind::Tool {
                evicted.add(*hour, counts.evicted_bytes);
            }
        }
        Ok(())
    }
}

/// Cuts the name of a workflow, which the client has chosen.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_HISTORY_TEXT_BYTES)]
}

#[cfg(test)]
mod tests;
