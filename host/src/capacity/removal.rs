//! Removal from the storage, and the report of it to the index, which counts until then.
//!
//! Row first, object second, report third. What a crash leaves in between is listed by the index
//! (`Index::list_leaving`), and the [`Cleaner`] finishes it.

use std::{collections::HashSet, sync::Arc};

use larder_common::causes::chain;
use larder_index::{Index, IndexError, Leaving, LeavingId, Remains};
use larder_storage::{ObjectName, Storage, StorageError, UploadName};
use parking_lot::Mutex;

use super::Capacity;
use crate::tenant::Tenant;

/// Rows per page, and most objects that wait for their report.
const PAGE: usize = 500;

/// Objects that were removed, and not reported yet.
///
/// Where nothing has a limit nobody waits for the report, so that it is sent in batches.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    objects: Mutex<Vec<ObjectName>>,
}

impl Removals {
    /// Records that an object was removed. What does not fit is found by the cleaner.
    pub(crate) fn record(&self, object: ObjectName) {
        let mut objects = self.objects.lock();
        if objects.len() < PAGE {
            objects.push(object);
        }
    }

    /// Reports what was recorded.
    ///
    /// # Errors
    /// When the index fails. What could not be reported is found by the cleaner.
    pub(crate) async fn flush(&self, index: &dyn Index) -> Result<(), IndexError> {
        let objects = std::mem::take(&mut *self.objects.lock());
        if objects.is_empty() {
            return Ok(());
        }
        counted(index.left_objects(&objects).await)
    }
}

/// Removes the object of a deleted entry and reports it, at once. A failure is logged: what is left is
/// listed as leaving.
pub(crate) async fn end_object(index: &dyn Index, storage: &dyn Storage, object: &ObjectName) {
    match storage.remove(object).await {
        Ok(()) => note_report(index.left_objects(std::slice::from_ref(object)).await),
        Err(error) => {
            tracing::warn!(error = chain(&error), %object, "cannot delete the object of a deleted entry; the cleaner tries again");
        }
    }
}

/// Erases all that was sent for a deleted upload and reports it, in the same way.
pub(crate) async fn end_upload(index: &dyn Index, storage: &dyn Storage, upload: &UploadName) {
    match storage.erase(upload, None).await {
        Ok(()) => note_report(index.left_uploads(std::slice::from_ref(upload)).await),
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "cannot delete what was sent for a deleted upload; the cleaner tries again"
            );
        }
    }
}

/// Removes an object that no row refers to, and reports it.
///
/// # Errors
/// Those of the storage.
pub(crate) async fn remove_object(tenant: &Tenant, object: &ObjectName) -> Result<(), StorageError> {
    tenant.storage.remove(object).await?;
    tenant.removals.record(object.clone());
    if let Some(capacity) = &tenant.capacity {
        warn_of(tenant.removals.flush(&*tenant.index).await);
        capacity.shared.requests.forget_hopeless();
    }
    Ok(())
}

/// Deletes the staged blocks of an upload. If its row is gone, reports that, and erases what bodies
/// under way store meanwhile. An object that it became stays.
///
/// # Errors
/// Those of the storage.
pub(crate) async fn discard_upload(tenant: &Tenant, upload: &UploadName) -> Result<(), StorageError> {
    tenant.storage.discard(upload).await?;
    let Some(capacity) = &tenant.capacity else { return Ok(()) };
    warn_of(report_gone(tenant, capacity, upload).await);
    Ok(())
}

/// Reports an upload whose row is gone, unless bodies for it are under way: then the last of them
/// does.
async fn report_gone(tenant: &Tenant, capacity: &Capacity, upload: &UploadName) -> Result<(), IndexError> {
    // An append blob that is created again is discarded, and goes on.
    if tenant.index.get_upload(upload).await?.is_some() {
        return Ok(());
    }
    let lease = capacity.shared.leases.end(upload);
    if lease.is_some_and(|lease| lease.has_bodies()) {
        return Ok(());
    }
    counted(tenant.index.left_uploads(std::slice::from_ref(upload)).await)?;
    capacity.shared.requests.forget_hopeless();
    Ok(())
}

/// Erases what the bodies of an upload have stored that ended while they were under way.
pub(crate) async fn erase_late(tenant: &Arc<Tenant>, upload: &UploadName) {
    if let Err(error) = tenant.storage.discard(upload).await {
        tracing::warn!(
            error = chain(&error),
            "cannot delete the blocks of an upload that has ended; leaving them to the sweep"
        );
        return;
    }
    note_report(tenant.index.left_uploads(std::slice::from_ref(upload)).await);
}

/// Deletes an upload of which a part did not fit: it will not be finished, and its blocks take space.
pub(crate) async fn abandon_upload(tenant: &Tenant, upload: &UploadName) {
    if let Err(error) = delete_upload(tenant, upload).await {
        tracing::warn!(
            error = chain(&error),
            "cannot delete an upload that did not fit; leaving it to the sweep"
        );
    }
    if let Err(error) = discard_upload(tenant, upload).await {
        tracing::warn!(
            error = chain(&error),
            "cannot delete the blocks of an upload that did not fit; leaving them to the sweep"
        );
    }
}

/// Deletes the row of an upload, and the object that is attached to it.
async fn delete_upload(tenant: &Tenant, name: &UploadName) -> Result<(), CleanError> {
    let Some(upload) = tenant.index.get_upload(name).await? else { return Ok(()) };
    if tenant.index.abandon(upload.id).await?
        && let Some(attachment) = upload.attachment
    {
        remove_object(tenant, &attachment.object).await?;
    }
    Ok(())
}

/// Finishes what crashes have left between the deletion of a row and that of the content.
#[derive(Debug)]
pub(crate) struct Cleaner {
    /// What was there at the last look. Somebody may still be busy with what came since.
    seen: HashSet<LeavingId>,
    is_first: bool,
}

impl Cleaner {
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { seen: HashSet::new(), is_first: true }
    }

    /// Removes and reports what was left at the last call and is still. The first call removes all
    /// where the storage is this process's alone, which has just started. Returns the number of bytes
    /// that are not counted any more.
    ///
    /// # Errors
    /// The first failure of index or storage.
    pub(crate) async fn clean(
        &mut self,
        storage: &dyn Storage,
        index: &dyn Index,
    ) -> Result<u64, CleanError> {
        // A folder has one process.
        let is_alone = std::mem::take(&mut self.is_first) && !storage.is_durable_at_once();
        let (mut after, mut seen, mut bytes) = (None, HashSet::new(), 0);
        loop {
            let page = match index.list_leaving(after, PAGE).await {
                Err(IndexError::Unsupported(_)) => return Ok(0),
                page => page?,
            };
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            let (old, new): (Vec<_>, Vec<_>) =
                page.into_iter().partition(|leaving| is_alone || self.seen.contains(&leaving.id));
            seen.extend(new.iter().map(|leaving| leaving.id.clone()));
            for leaving in &old {
                remove(storage, leaving).await?;
                bytes += leaving.bytes;
            }
            report(index, old).await?;
        }
        self.seen = seen;
        Ok(bytes)
    }
}

/// Why a cleaner stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CleanError {
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

async fn remove(storage: &dyn Storage, leaving: &Leaving) -> Result<(), StorageError> {
    match &leaving.what {
        Remains::Upload { name, kept } => storage.erase(name, kept.as_ref()).await,
        Remains::Object(object) => storage.remove(object).await,
    }
}

async fn report(index: &dyn Index, removed: Vec<Leaving>) -> Result<(), IndexError> {
    let (mut uploads, mut objects) = (Vec::new(), Vec::new());
    for leaving in removed {
        match leaving.what {
            Remains::Upload { name, .. } => uploads.push(name),
            Remains::Object(object) => objects.push(object),
        }
    }
    if !uploads.is_empty() {
        index.left_uploads(&uploads).await?;
    }
    if !objects.is_empty() {
        index.left_objects(&objects).await?;
    }
    Ok(())
}

/// An index that does not count needs no report.
fn counted(reported: Result<(), IndexError>) -> Result<(), IndexError> {
    match reported {
        Err(IndexError::Unsupported(_)) => Ok(()),
        reported => reported,
    }
}

/// Logs a report to the index that failed.
fn note_report(reported: Result<(), IndexError>) {
    warn_of(counted(reported));
}

fn warn_of(reported: Result<(), IndexError>) {
    if let Err(error) = reported {
        tracing::warn!(error = chain(&error), "what was removed is still counted; the cleaner tries again");
    }
}
