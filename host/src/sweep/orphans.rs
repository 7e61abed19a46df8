//! Objects and staged blocks that no row refers to: what crashes, cut-off uploads and deleted rows leave behind.

use super::{Report, SweepError, Sweeper};
use crate::storage::{Listed, ObjectName, StorageError, UploadName};

/// Orphans that could not be removed before a sweep of them stops: then it is the storage that fails.
const MAX_FAILURES: usize = 16;

/// Counts what could not be removed. One that never can must not keep all those behind it from going.
#[derive(Default)]
struct Failures(usize);

impl Failures {
    /// Returns whether something was removed.
    ///
    /// # Errors
    /// The storage's, once there were too many.
    fn note(&mut self, removed: Result<(), StorageError>) -> Result<bool, StorageError> {
        let Err(error) = removed else { return Ok(true) };
        self.0 += 1;
        if self.0 > MAX_FAILURES {
            return Err(error);
        }
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, "an orphan could not be removed; the next sweep tries again");
        Ok(false)
    }
}

impl Sweeper<'_> {
    /// Removes orphans that are older than the grace period.
    pub(super) async fn sweep_orphans(&self, now_ms: u64, report: &mut Report) -> Result<(), SweepError> {
        let mut failures = Failures::default();
        self.sweep_objects(now_ms, &mut failures, report).await?;
        self.sweep_staged(now_ms, &mut failures, report).await
    }

    async fn sweep_objects(
        &self,
        now_ms: u64,
        failures: &mut Failures,
        report: &mut Report,
    ) -> Result<(), SweepError> {
        let mut from = None;
        loop {
            let page = self.services.storage.list_objects(from.as_deref()).await?;
            let old: Vec<ObjectName> = self.older(page.items, now_ms);
            let referenced = self.services.index.referenced_objects(&old).await?;
            for object in old.iter().filter(|object| !referenced.contains(object)) {
                if failures.note(self.services.storage.remove(object).await)? {
                    tracing::info!(%object, "an orphaned object was removed");
                    report.orphans += 1;
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn sweep_staged(
        &self,
        now_ms: u64,
        failures: &mut Failures,
        report: &mut Report,
    ) -> Result<(), SweepError> {
        let mut from = None;
        loop {
            let page = self.services.storage.list_uploads(from.as_deref()).await?;
            let old: Vec<UploadName> = self.older(page.items, now_ms);
            let existing = self.services.index.existing_uploads(&old).await?;
            for upload in old.iter().filter(|upload| !existing.contains(upload)) {
                if failures.note(self.services.storage.discard(upload).await)? {
                    tracing::info!("staged blocks of a forgotten upload were removed");
                    report.orphans += 1;
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    fn older<Name>(&self, items: Vec<Listed<Name>>, now_ms: u64) -> Vec<Name> {
        let limit = now_ms.saturating_sub(self.orphan_grace_ms);
        items.into_iter().filter(|item| item.modified_ms < limit).map(|item| item.name).collect()
    }
}
