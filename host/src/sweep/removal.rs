//! Deletes everything that a tenant has: rows first, objects second, in pages. It can be broken off
//! and repeated at any point.

use larder_common::clock::Clock;
use larder_index::{Cause, Departure, EntryId, Index, UploadId};
use larder_storage::Storage;

use super::{Ownership, PAGE, Report, SweepError};

/// Deletes everything that is in these. Returns `None` if a request that began before the tenant
/// was removed has added something meanwhile: then it has to be called again. In a storage that
/// carries the identity of another index only the objects of this one are deleted.
///
/// # Errors
/// The first failure of index or storage. What was deleted stays deleted.
pub(super) async fn remove(storage: &dyn Storage, index: &dyn Index) -> Result<Option<Report>, SweepError> {
    let mut report = Report::default();
    remove_uploads(storage, index, &mut report).await?;
    remove_entries(storage, index, &mut report).await?;
    let is_anothers = Ownership::is_anothers(storage, index).await?;
    if is_anothers {
        tracing::warn!(
            "the storage of the removed tenant belongs to another database: what this one does not know stays"
        );
    } else {
        remove_orphans(storage, &mut report).await?;
    }
    // The index last: it knows whose the storage is.
    let is_gone = (is_anothers || storage.forget_tenant().await?) && index.forget_tenant().await?;
    Ok(is_gone.then_some(report))
}

async fn remove_uploads(
    storage: &dyn Storage,
    index: &dyn Index,
    report: &mut Report,
) -> Result<(), SweepError> {
    loop {
        let page = index.list_uploads(UploadId(0), PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        for upload in page {
            report.uploads += usize::from(index.abandon(upload.id).await?);
            storage.discard(&upload.name).await?;
        }
    }
}

async fn remove_entries(
    storage: &dyn Storage,
    index: &dyn Index,
    report: &mut Report,
) -> Result<(), SweepError> {
    let departure = Departure { cause: Cause::Manual, at_ms: Clock::system().now_ms() };
    loop {
        let page = index.list_entries(EntryId(0), PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        for entry in page {
            if index.delete_entry(entry.id, &departure).await? {
                report.entries += 1;
                report.bytes += entry.size_bytes;
            }
            storage.remove(&entry.object).await?;
        }
    }
}

/// Removes what no row names.
async fn remove_orphans(storage: &dyn Storage, report: &mut Report) -> Result<(), SweepError> {
    let mut from = None;
    loop {
        let page = storage.list_objects(from.as_deref()).await?;
        for object in page.items {
            storage.remove(&object.name).await?;
            report.orphans += 1;
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    loop {
        let page = storage.list_uploads(from.as_deref()).await?;
        for upload in page.items {
            storage.discard(&upload.name).await?;
            report.orphans += 1;
        }
        from = page.next;
        if from.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
