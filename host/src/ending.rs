//! The deletion of what a revocation or the end of a scope selects: the row first, what it names second.
//! An interruption leaves orphans at most, which a sweep deletes.

use larder_index::{Cause, Departure, Entry, EntryId, Index, IndexError, Upload, UploadId, Within};
use larder_metrics::{Metrics, removal_reason};
use larder_storage::Storage;

use crate::{
    capacity::{end_object, end_upload},
    tenant::Tenant,
};

/// Rows at a time.
pub(crate) const PAGE: usize = 500;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) entries: usize,
    pub(crate) bytes: u64,
    pub(crate) uploads: usize,
}

/// Where things are deleted.
#[derive(Clone, Copy)]
pub(crate) struct Ending<'a> {
    pub(crate) index: &'a dyn Index,
    pub(crate) storage: &'a dyn Storage,
    pub(crate) metrics: &'a Metrics,
}

impl<'a> Ending<'a> {
    pub(crate) fn of(tenant: &'a Tenant) -> Self {
        let Tenant { index, storage, metrics, .. } = tenant;
        Self { index: &**index, storage: &**storage, metrics }
    }

    /// Deletes an entry. Returns whether it was there.
    pub(crate) async fn entry(&self, entry: &Entry, departure: &Departure) -> Result<bool, IndexError> {
        if !self.index.delete_entry(entry.id, departure).await? {
            return Ok(false);
        }
        self.metrics.count_removed_bytes(removal_reason(&departure.cause), entry.size_bytes);
        end_object(self.index, self.storage, &entry.object).await;
        Ok(true)
    }

    /// Deletes an upload. Returns whether it was there.
    pub(crate) async fn upload(&self, upload: &Upload) -> Result<bool, IndexError> {
        if !self.index.abandon(upload.id).await? {
            return Ok(false);
        }
        end_upload(self.index, self.storage, &upload.name).await;
        Ok(true)
    }

    /// Deletes all of a scope that was ended. Uploads go first: none of them becomes an entry behind the
    /// page that is read.
    pub(crate) async fn scope(
        &self,
        repository: &str,
        scope: &str,
        now_ms: u64,
    ) -> Result<Ended, IndexError> {
        let mut ended = Ended::default();
        let mut last = UploadId(0);
        loop {
            let page = self.index.uploads_in_scope(repository, scope, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = end.id;
            for upload in &page {
                ended.uploads += usize::from(self.upload(upload).await?);
            }
        }
        let departure = Departure { cause: Cause::ClosedScope, at_ms: now_ms };
        let within = Within::Scope { repository: repository.to_owned(), scope: scope.to_owned() };
        let mut after: Option<(u64, EntryId)> = None;
        loop {
            let page = self.index.least_recent(&within, None, after, PAGE).await?;
            let Some(end) = page.last() else { return Ok(ended) };
            after = Some((end.last_used_ms, end.id));
            for entry in &page {
                if self.entry(entry, &departure).await? {
                    ended.entries += 1;
                    ended.bytes += entry.size_bytes;
                }
            }
        }
    }
}
