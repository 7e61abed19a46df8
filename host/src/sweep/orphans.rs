//! Objects and staged blocks that no row refers to: what crashes, cut-off uploads and deleted rows leave behind.

use super::{Ownership, Run, SweepError, Sweeper};
use crate::storage::{Listed, ObjectName, UploadName};

impl Sweeper<'_> {
    /// Removes orphans that are older than the grace period; none where the storage is another index's.
    pub(super) async fn sweep_orphans(&self, now_ms: u64, run: &mut Run) -> Result<(), SweepError> {
        let (storage, index) = (&*self.services.storage, &*self.services.index);
        let old_before_ms = now_ms.saturating_sub(self.orphan_grace_ms);
        if Ownership::find_out(storage, index, old_before_ms).await? == Ownership::Foreign {
            return Ok(());
        }
        self.sweep_objects(now_ms, run).await?;
        self.sweep_staged(now_ms, run).await
    }

    async fn sweep_objects(&self, now_ms: u64, run: &mut Run) -> Result<(), SweepError> {
        let mut from = None;
        loop {
            let page = self.services.storage.list_objects(from.as_deref()).await?;
            let old: Vec<ObjectName> = self.older(page.items, now_ms);
            let referenced = self.services.index.referenced_objects(&old).await?;
            for object in old.iter().filter(|object| !referenced.contains(object)) {
                if run.failures.note(self.services.storage.remove(object).await)? {
                    tracing::info!(%object, "an orphaned object was removed");
                    run.report.orphans += 1;
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn sweep_staged(&self, now_ms: u64, run: &mut Run) -> Result<(), SweepError> {
        let mut from = None;
        loop {
            let page = self.services.storage.list_uploads(from.as_deref()).await?;
            let old: Vec<UploadName> = self.older(page.items, now_ms);
            let existing = self.services.index.existing_uploads(&old).await?;
            for upload in old.iter().filter(|upload| !existing.contains(upload)) {
                if run.failures.note(self.services.storage.discard(upload).await)? {
                    tracing::info!("staged blocks of a forgotten upload were removed");
                    run.report.orphans += 1;
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
