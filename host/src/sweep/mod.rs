//! What is no longer wanted goes: abandoned uploads, unused and stale entries, orphaned objects.
//!
//! The sweep lists, in pages that start after the last number seen, so that nothing is skipped while rows go. It asks the
//! guest what to delete, and deletes: the row first, the object second. What is being used at that moment is spared: an
//! upload for which bytes came, or an entry that was looked up, since the page was read. Readers keep what they have open.
//! `janitor.rs` runs it by the clock.

mod entries;
mod failures;
mod janitor;
mod orphans;
mod ownership;
mod uploads;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use janitor::{Janitor, Schedule, Sweeps};
pub use ownership::Ownership;

use self::failures::Failures;
use crate::{
    causes::chain,
    engine::{Guest, GuestFailed},
    index::IndexError,
    services::Services,
    storage::StorageError,
};

/// Entries, uploads or objects on a page.
const PAGE: usize = 500;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Uploads that were abandoned.
    pub uploads: usize,
    /// Entries that were deleted: unused for too long, or without their content.
    pub entries: usize,
    /// Objects and staged blocks that nothing referred to.
    pub orphans: usize,
    /// Bytes of the entries deleted.
    pub bytes: u64,
}

/// A sweep under way.
#[derive(Default)]
struct Run {
    report: Report,
    failures: Failures,
}

/// Why a sweep stopped. What it did until then stands, and the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
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

/// Sweeps, when told to.
pub struct Sweeper<'a> {
    services: &'a Arc<Services>,
    guest: &'a Guest,
    orphan_grace_ms: u64,
}

impl SweepError {
    /// Returns whether the disk of the index is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Index(IndexError::NoSpace { .. }))
    }
}

impl<'a> Sweeper<'a> {
    /// `orphan_grace_ms`: how old an object or a staged block is before it can be an orphan; longer than any upload takes
    /// between its last byte and the row that refers to it.
    #[must_use]
    pub fn new(services: &'a Arc<Services>, guest: &'a Guest, orphan_grace_ms: u64) -> Self {
        Self { services, guest, orphan_grace_ms }
    }

    /// Sweeps everything once, as of the given time. A step that fails keeps none of those behind it from making room.
    ///
    /// # Errors
    /// When index, storage or guest fail: the first failure. The sweep can simply be made again.
    pub async fn sweep_once(&self, now_ms: u64) -> Result<Report, SweepError> {
        let mut run = Run::default();
        let uploads = self.sweep_uploads(now_ms, &mut run).await;
        let entries = self.sweep_entries(now_ms, &mut run).await;
        let orphans = self.sweep_orphans(now_ms, &mut run).await;
        uploads.and(entries).and(orphans).inspect_err(|_| log_partial(run.report))?;
        Ok(run.report)
    }

    /// Sweeps abandoned uploads only, which are few: what is paid for each entry and object is left for [`Self::sweep_once`].
    ///
    /// # Errors
    /// As [`Self::sweep_once`].
    pub async fn sweep_uploads_once(&self, now_ms: u64) -> Result<Report, SweepError> {
        let mut run = Run::default();
        self.sweep_uploads(now_ms, &mut run).await?;
        Ok(run.report)
    }

    /// Writes down uses and signs of life that are still in memory, so that they count. Where that fails, as on a full disk, what
    /// they are of is spared.
    async fn write_uses_down(&self) {
        if let Err(error) = self.services.usage.flush(&self.services.index).await {
            tracing::warn!(error = %chain(&error), "last-used times not persisted yet; the sweep spares entries that were used");
        }
    }
}

/// Says what a sweep did that failed in the end.
fn log_partial(report: Report) {
    if report != Report::default() {
        tracing::info!(?report, "a part of the sweep was done");
    }
}
