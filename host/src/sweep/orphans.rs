//! Orphans: objects and staged blocks that no row refers to, left behind by crashes, broken uploads
//! and deleted rows.
//!
//! An orphan whose time cannot be right, because a clock was wrong when it was written, is given the
//! present time: so it neither stays for ever nor goes while its row may still come.

use larder_storage::{Listed, ObjectName, UploadName};

use super::{
    Ownership, SweepError, SweepRun, Sweeper,
    ages::{Age, Ages},
    remaining::Remaining,
};

impl Sweeper<'_> {
    /// Removes orphans older than the grace period; none if the storage belongs to another index. What
    /// stays is counted.
    pub(super) async fn sweep_orphans(&self, now_ms: u64, run: &mut SweepRun) -> Result<(), SweepError> {
        let (storage, index) = (&*self.tenant.storage, &*self.tenant.index);
        let ages = Ages::new(now_ms, self.orphan_grace_ms);
        if Ownership::determine(storage, index, ages).await? == Ownership::Foreign {
            return Ok(());
        }
        let mut remaining = Remaining::default();
        self.sweep_objects(ages, run, &mut remaining).await?;
        self.sweep_staged(ages, run, &mut remaining).await?;
        remaining.count(storage, index).await
    }

    async fn sweep_objects(
        &self,
        ages: Ages,
        run: &mut SweepRun,
        remaining: &mut Remaining,
    ) -> Result<(), SweepError> {
        let (storage, mut from) = (&*self.tenant.storage, None);
        loop {
            let page = storage.list_objects(from.as_deref()).await?;
            let names: Vec<ObjectName> = page.items.iter().map(|object| object.name.clone()).collect();
            let referenced = self.tenant.index.referenced_objects(&names).await?;
            let listed = ages.aged(page.items).into_iter();
            for (Listed { name: object, size_bytes, .. }, age) in
                listed.filter(|(object, _)| !referenced.contains(&object.name))
            {
                match age {
                    Age::Old => {
                        if run.failures.record(storage.remove(&object).await)? {
                            tracing::info!(%object, "orphaned object removed");
                            run.report.orphans += 1;
                            continue;
                        }
                    }
                    Age::Unknown => {
                        let corrected = storage.set_object_time(&object, ages.now_ms).await;
                        run.corrected += usize::from(run.failures.record(corrected)?);
                    }
                    Age::Young => {}
                }
                remaining.add_object(object, size_bytes);
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn sweep_staged(
        &self,
        ages: Ages,
        run: &mut SweepRun,
        remaining: &mut Remaining,
    ) -> Result<(), SweepError> {
        let (storage, mut from) = (&*self.tenant.storage, None);
        loop {
            let page = storage.list_uploads(from.as_deref()).await?;
            let names: Vec<UploadName> = page.items.iter().map(|upload| upload.name.clone()).collect();
            let existing = self.tenant.index.existing_uploads(&names).await?;
            let listed = ages.aged(page.items).into_iter();
            for (Listed { name: upload, size_bytes, .. }, age) in
                listed.filter(|(upload, _)| !existing.contains(&upload.name))
            {
                match age {
                    Age::Old => {
                        if run.failures.record(storage.discard(&upload).await)? {
                            tracing::info!("orphaned blocks of an upload removed");
                            run.report.orphans += 1;
                            continue;
                        }
                    }
                    Age::Unknown => {
                        let corrected = storage.set_upload_time(&upload, ages.now_ms).await;
                        run.corrected += usize::from(run.failures.record(corrected)?);
                    }
                    Age::Young => {}
                }
                remaining.add_upload(upload, size_bytes);
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }
}
