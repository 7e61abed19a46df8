//! Orphans: objects and staged blocks that no row refers to, left behind by crashes, broken uploads
//! and deleted rows.

use larder_storage::{Listed, ObjectName, UploadName};

use super::{Ownership, SweepError, SweepRun, Sweeper};

impl Sweeper<'_> {
    /// Removes orphans older than the grace period; none if the storage belongs to another index.
    pub(super) async fn sweep_orphans(&self, now_ms: u64, run: &mut SweepRun) -> Result<(), SweepError> {
        let (storage, index) = (&*self.tenant.storage, &*self.tenant.index);
        let old_before_ms = now_ms.saturating_sub(self.orphan_grace_ms);
        if Ownership::determine(storage, index, old_before_ms).await? == Ownership::Foreign {
            return Ok(());
        }
        self.sweep_objects(now_ms, run).await?;
        self.sweep_staged(now_ms, run).await
    }

    async fn sweep_objects(&self, now_ms: u64, run: &mut SweepRun) -> Result<(), SweepError> {
        let mut from = None;
        loop {
            let page = self.tenant.storage.list_objects(from.as_deref()).await?;
            let old: Vec<ObjectName> = self.older(page.items, now_ms);
            let referenced = self.tenant.index.referenced_objects(&old).await?;
            for object in old.iter().filter(|object| !referenced.contains(object)) {
                if run.failures.record(self.tenant.storage.remove(object).await)? {
                    tracing::info!(%object, "orphaned object removed");
                    run.report.orphans += 1;
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn sweep_staged(&self, now_ms: u64, run: &mut SweepRun) -> Result<(), SweepError> {
        let mut from = None;
        loop {
            let page = self.tenant.storage.list_uploads(from.as_deref()).await?;
            let old: Vec<UploadName> = self.older(page.items, now_ms);
            let existing = self.tenant.index.existing_uploads(&old).await?;
            for upload in old.iter().filter(|upload| !existing.contains(upload)) {
                if run.failures.record(self.tenant.storage.discard(upload).await)? {
                    tracing::info!("orphaned blocks of an upload removed");
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
