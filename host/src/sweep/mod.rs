//! Garbage collection of abandoned uploads, unused and stale entries, and orphaned objects.
//!
//! A sweep lists rows in pages by id, so that deletions skip nothing. The guest selects what to
//! delete; the sweep deletes the row first, the object second. An upload with new bytes, or an
//! entry with a new use, since its page was read is spared. Open readers can read on to the end.
//! `janitor.rs` runs sweeps on a schedule.

mod ages;
mod control;
mod entries;
mod failures;
mod janitor;
mod orphans;
mod other_tenants;
mod ownership;
mod remaining;
mod removal;
mod rules;
mod survey;
mod uploads;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use ages::Ages;
pub(crate) use control::{SweepControl, SweepRequests, SweepState, sweep_control};
pub(crate) use janitor::{Janitor, JanitorWork, Schedule, Sweeps};
pub(crate) use other_tenants::OtherTenants;
pub(crate) use ownership::Ownership;

use larder_common::causes::chain;
use larder_index::IndexError;
use larder_storage::StorageError;

use self::failures::Failures;
use crate::{
    engine::{Guest, GuestFailed},
    tenant::Tenant,
};

/// Rows per page.
const PAGE: usize = 500;

/// The counts of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Abandoned uploads.
    pub uploads: usize,
    /// Deleted entries: unused for too long, or without their content.
    pub entries: usize,
    /// Removed orphans: objects, and uploads with staged blocks.
    pub orphans: usize,
    /// Bytes of the deleted entries.
    pub bytes: u64,
}

/// The state of a sweep under way.
#[derive(Default)]
struct SweepRun {
    report: Report,
    failures: Failures,
    /// Orphans with impossible times, which now have that of this sweep.
    corrected: usize,
}

/// Why a sweep stopped. What it has deleted stays deleted, and the next sweep continues.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The guest failed.
    #[error(transparent)]
    Guest(#[from] GuestFailed),
}

/// Runs sweeps.
pub(crate) struct Sweeper<'a> {
    tenant: &'a Arc<Tenant>,
    guest: &'a Guest,
    orphan_grace_ms: u64,
}

impl SweepError {
    /// Returns whether the disk of the index is full.
    #[must_use]
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self, Self::Index(IndexError::NoSpace { .. }))
    }
}

impl<'a> Sweeper<'a> {
    /// `orphan_grace_ms`: the minimum age of an orphan, in milliseconds. Must be longer than any
    /// upload takes from its last byte to the row that refers to it.
    #[must_use]
    pub(crate) fn new(tenant: &'a Arc<Tenant>, guest: &'a Guest, orphan_grace_ms: u64) -> Self {
        Self { tenant, guest, orphan_grace_ms }
    }

    /// Sweeps uploads, entries and orphans once, as of the given time. A step that fails does not
    /// stop the next ones from freeing space.
    ///
    /// # Errors
    /// The first failure of index, storage or guest. The sweep can be repeated.
    pub(crate) async fn sweep_once(&self, now_ms: u64) -> Result<Report, SweepError> {
        let mut run = SweepRun::default();
        let uploads = self.sweep_uploads(now_ms, &mut run).await;
        let entries = self.sweep_entries(now_ms, &mut run).await;
        let orphans = self.sweep_orphans(now_ms, &mut run).await;
        if run.corrected > 0 {
            tracing::warn!(
                orphans = run.corrected,
                "orphans were written while a clock was wrong; they are removed after the grace period"
            );
        }
        let trimmed = self.trim_departed().await;
        uploads.and(entries).and(orphans).and(trimmed).inspect_err(|_| log_partial(run.report))?;
        Ok(run.report)
    }

    /// Sweeps abandoned uploads only. They are few; entries and objects, which cost a call each,
    /// are left to [`Self::sweep_once`].
    ///
    /// # Errors
    /// As [`Self::sweep_once`].
    pub(crate) async fn sweep_uploads_once(&self, now_ms: u64) -> Result<Report, SweepError> {
        let mut run = SweepRun::default();
        self.sweep_uploads(now_ms, &mut run).await?;
        Ok(run.report)
    }

    /// Forgets what was deleted longest ago, beyond the number that is kept.
    async fn trim_departed(&self) -> Result<(), SweepError> {
        loop {
            match self.tenant.index.trim_departed(self.tenant.departed_entries, PAGE).await {
                Ok(trimmed) if trimmed == PAGE => {}
                Ok(_) | Err(IndexError::Unsupported(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes buffered times of use and activity to the index. If that fails, as on a full disk,
    /// the sweep spares the entries and uploads concerned.
    async fn flush_usage(&self) {
        if let Err(error) = self.tenant.usage.flush(&self.tenant.index).await {
            tracing::warn!(error = %chain(&error), "last-used times not persisted yet; the sweep spares entries that were used");
        }
    }
}

/// Logs what a failed sweep has done.
fn log_partial(report: Report) {
    if report != Report::default() {
        tracing::info!(?report, "the sweep is incomplete");
    }
}
