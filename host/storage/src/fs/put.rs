//! Stores an object from one body.
//!
//! The file gets its final name at once: it counts only when the index refers to it, and what a
//! crash leaves behind is an orphan for the sweep.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    budget::Budget,
    disk::Disk,
    errors,
    layout::{self, Kind, ObjectPath},
    writer::{self, WriteTarget},
};
use crate::{Digest, Source, StorageError, Stored, UploadName, digest::recorded};

const CONTEXT: &str = "creating an object";

/// A new file; deleted on drop unless it is kept.
struct NewObject {
    disk: Arc<Disk>,
    path: ObjectPath,
    file: Arc<File>,
    is_settled: AtomicBool,
}

impl NewObject {
    fn create(disk: &Arc<Disk>, upload: &UploadName) -> io::Result<Self> {
        let path = ObjectPath::of_upload(Kind::Plain, upload)?;
        let file = Arc::new(layout::create(&disk.dirs.objects, path.as_str())?);
        Ok(Self { disk: Arc::clone(disk), path, file, is_settled: AtomicBool::new(false) })
    }
}

impl WriteTarget for NewObject {
    fn file(&self) -> Result<Arc<File>, StorageError> {
        Ok(Arc::clone(&self.file))
    }
}

impl Drop for NewObject {
    fn drop(&mut self) {
        self.disk.close(Some(Arc::clone(&self.file)));
        if !self.is_settled.load(Relaxed) {
            let (disk, path) = (Arc::clone(&self.disk), self.path.clone());
            // If this fails, the file is an orphan for the sweep.
            let delete = move || drop(layout::delete(&disk.dirs.objects, path.as_str()));
            self.disk.threads.in_background(delete);
        }
    }
}

/// Writes the source to a new object. If there is no space for it, no byte of it is read.
pub(super) async fn put(
    disk: &Arc<Disk>,
    budget: &Arc<Budget>,
    upload: &UploadName,
    source: Source,
) -> Result<Stored, StorageError> {
    let recorder = source.recorder();
    let mut claim = disk.claim(source.length).await?;
    let _descriptor = disk.body_descriptor().await?;
    let is_small = source.length.is_some_and(|length| length <= writer::SMALL_BYTES);
    let upload = upload.clone();
    let create = move |disk: &Arc<Disk>| NewObject::create(disk, &upload);
    let new = Arc::new(disk.create(CONTEXT, is_small, create).await?);
    let result = writer::write(disk, &new, 0, source, &budget.transfer(), &mut claim).await;
    new.is_settled.store(true, Relaxed);
    match result {
        Ok(size_bytes) => {
            let digest = recorded(recorder.as_ref(), size_bytes).await.map(Digest::Whole);
            Ok(Stored { object: new.path.name(), size_bytes, digest })
        }
        Err(error) => {
            let remove = move || layout::delete(&new.disk.dirs.objects, new.path.as_str());
            // The first error is returned. If the delete fails, the file is an orphan for the
            // sweep.
            drop(disk.transfer(CONTEXT, move || remove().map_err(errors::failed(CONTEXT))).await);
            Err(error)
        }
    }
}
