//! Orphans that a sweep has found and not removed: too young, or the storage has failed. They take
//! space, so they are counted until the next full sweep.

use std::collections::HashSet;

use larder_index::{Index, IndexError, Remains};
use larder_storage::{ObjectName, Storage, StorageError, UploadName};

use super::{PAGE, SweepError};

/// Most orphans whose names are kept for a second look (some ten megabytes); more are counted
/// without it.
const MAX_KEPT: usize = 100_000;

/// What has no row, as listed.
#[derive(Debug, Default)]
pub(super) struct Remaining {
    objects: Vec<(ObjectName, u64)>,
    uploads: Vec<(UploadName, u64)>,
    /// Bytes of those beyond [`MAX_KEPT`].
    others: u64,
}

/// What is counted by rows of its own.
#[derive(Debug, Default)]
struct Counted {
    objects: HashSet<ObjectName>,
    uploads: HashSet<UploadName>,
}

impl Remaining {
    pub(super) fn add_object(&mut self, object: ObjectName, bytes: u64) {
        if self.is_full() {
            self.others = self.others.saturating_add(bytes);
        } else {
            self.objects.push((object, bytes));
        }
    }

    pub(super) fn add_upload(&mut self, upload: UploadName, bytes: u64) {
        if self.is_full() {
            self.others = self.others.saturating_add(bytes);
        } else {
            self.uploads.push((upload, bytes));
        }
    }

    fn is_full(&self) -> bool {
        self.objects.len() + self.uploads.len() >= MAX_KEPT
    }

    /// Sets the number of bytes of orphans in the index.
    ///
    /// A second look leaves out what is not an orphan after all: objects that got their row since they
    /// were listed, those of uploads under way, what is leaving and so counted already, and what is
    /// gone.
    ///
    /// # Errors
    /// When the index fails.
    pub(super) async fn count(self, storage: &dyn Storage, index: &dyn Index) -> Result<(), SweepError> {
        let counted = match Counted::of(index).await {
            Err(IndexError::Unsupported(_)) => return Ok(()),
            counted => counted?,
        };
        let mut bytes = self.others;
        for page in self.objects.chunks(PAGE) {
            bytes = bytes.saturating_add(orphaned_objects(storage, index, page, &counted).await?);
        }
        for page in self.uploads.chunks(PAGE) {
            bytes = bytes.saturating_add(orphaned_uploads(index, page, &counted).await?);
        }
        Ok(index.set_orphans(bytes).await?)
    }
}

impl Counted {
    async fn of(index: &dyn Index) -> Result<Self, IndexError> {
        let (mut counted, mut after) = (Self::default(), None);
        loop {
            let page = index.list_leaving(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(counted) };
            after = Some(last.id.clone());
            for leaving in page {
                match leaving.what {
                    Remains::Object(object) => drop(counted.objects.insert(object)),
                    Remains::Upload { name, .. } => drop(counted.uploads.insert(name)),
                }
            }
        }
    }
}

async fn orphaned_objects(
    storage: &dyn Storage,
    index: &dyn Index,
    page: &[(ObjectName, u64)],
    counted: &Counted,
) -> Result<u64, SweepError> {
    let names: Vec<ObjectName> = page.iter().map(|(object, _)| object.clone()).collect();
    let made_of: Vec<UploadName> = names.iter().filter_map(ObjectName::upload).collect();
    let existing = index.existing_uploads(&made_of).await?;
    // After the uploads, which may become entries.
    let referenced = index.referenced_objects(&names).await?;
    let mut bytes = 0_u64;
    for (object, size_bytes) in page {
        let is_counted = referenced.contains(object)
            || counted.objects.contains(object)
            || object.upload().is_some_and(|of| existing.contains(&of) || counted.uploads.contains(&of));
        if !is_counted && !matches!(storage.stat(object).await, Err(StorageError::NotFound)) {
            bytes = bytes.saturating_add(*size_bytes);
        }
    }
    Ok(bytes)
}

async fn orphaned_uploads(
    index: &dyn Index,
    page: &[(UploadName, u64)],
    counted: &Counted,
) -> Result<u64, SweepError> {
    let names: Vec<UploadName> = page.iter().map(|(upload, _)| upload.clone()).collect();
    let existing = index.existing_uploads(&names).await?;
    let orphaned =
        page.iter().filter(|(upload, _)| !existing.contains(upload) && !counted.uploads.contains(upload));
    Ok(orphaned.fold(0, |bytes: u64, (_, size_bytes)| bytes.saturating_add(*size_bytes)))
}
