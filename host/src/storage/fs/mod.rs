//! Objects as files in a directory of this machine.
//!
//! One file per upload: blocks are written into it as they come, and on commit it becomes the object by a rename. Bytes
//! are written once and never copied. The parts, along the way of an upload and a download: `put`, or `uploads`,
//! `staging`, `journal` and `commit`; then `open` and `read`. `layout` alone knows names, `kernel` the system calls,
//! `segments` the form of content that lies in pieces.
//!
//! Built by `cli` from the configuration. Knows nothing of the index: objects to which nothing refers are left for the
//! sweep to find by listing. Needs Linux.

mod commit;
mod errors;
mod flush;
mod intake;
mod journal;
mod kernel;
mod layout;
mod list;
mod open;
mod pace;
mod put;
mod read;
mod segments;
mod staging;
#[cfg(test)]
mod tests;
mod uploads;

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use async_trait::async_trait;

use self::{
    layout::{Dirs, ObjectPath},
    uploads::Uploads,
};
use super::{
    BlockId, Content, ObjectName, Page, Source, StagedBlock, Storage, StorageError, Stored, UploadName,
    budget::Budget,
};

/// Names one run of the machine, from its start to its end.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A [`Storage`] in a directory.
///
/// The directory must be on one file system and belong to this process alone. What `put` and `commit` return survives the
/// end of the process, but a loss of power only after [`Storage::flush`]. Staged blocks survive the end of the process,
/// but not of the machine: then the upload is as if nothing had been sent.
#[derive(Debug)]
pub struct FsStorage {
    dirs: Arc<Dirs>,
    budget: Arc<Budget>,
    uploads: Uploads,
}

impl FsStorage {
    /// Opens the storage below `root`, and makes its directories where they are missing. Deletes nothing. Waits for the
    /// disk.
    ///
    /// # Errors
    /// When a directory cannot be made or opened, or another process has the storage open.
    pub fn open(root: PathBuf, budget: Arc<Budget>) -> Result<Self, StorageError> {
        Self::open_in_boot(root, budget, boot().map_err(errors::failed("find out when the machine started"))?)
    }

    // By value, like `open`: a path that is given to nobody else.
    #[allow(clippy::needless_pass_by_value)]
    fn open_in_boot(root: PathBuf, budget: Arc<Budget>, boot: String) -> Result<Self, StorageError> {
        let dirs = Arc::new(Dirs::open(&root).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                errors::unavailable("open the storage", "another process has this directory open")
            }
            _ => errors::failed("open the storage")(error),
        })?);
        let uploads = Uploads::new(Arc::clone(&dirs), boot);
        Ok(Self { dirs, budget, uploads })
    }
}

fn boot() -> io::Result<String> {
    std::fs::read_to_string(BOOT_ID).map(|boot| boot.trim().to_owned())
}

#[async_trait]
impl Storage for FsStorage {
    async fn stat(&self, object: &ObjectName) -> Result<u64, StorageError> {
        open::stat(&self.dirs, object).await
    }

    async fn open(
        &self,
        object: &ObjectName,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        open::content(&self.dirs, &self.budget, object, size_bytes, range).await
    }

    async fn put(&self, _upload: &UploadName, source: Source) -> Result<Stored, StorageError> {
        put::put(&self.dirs, &self.budget, source).await
    }

    async fn put_block(
        &self,
        upload: &UploadName,
        id: &BlockId,
        source: Source,
    ) -> Result<u64, StorageError> {
        staging::put_block(&self.uploads, &self.budget, upload, id, source).await
    }

    async fn commit(&self, upload: &UploadName, ids: &[BlockId]) -> Result<Stored, StorageError> {
        commit::commit(&self.uploads, upload, ids).await
    }

    async fn blocks(&self, upload: &UploadName) -> Result<Vec<StagedBlock>, StorageError> {
        staging::blocks(&self.uploads, upload).await
    }

    async fn discard(&self, upload: &UploadName) -> Result<(), StorageError> {
        self.uploads.discard(upload).await
    }

    async fn remove(&self, object: &ObjectName) -> Result<(), StorageError> {
        // A name that was not made here names nothing.
        let Some(path) = ObjectPath::parse(object.as_str()) else { return Ok(()) };
        let dirs = Arc::clone(&self.dirs);
        // Deleting a large file takes long.
        errors::blocking("remove an object", move || {
            layout::delete(&dirs.objects, path.as_str()).map_err(errors::failed("remove an object"))
        })
        .await
    }

    async fn flush(&self, objects: &[ObjectName]) -> Result<(), StorageError> {
        let (dirs, objects) = (Arc::clone(&self.dirs), objects.to_vec());
        errors::blocking("flush objects", move || flush::flush(&dirs, &objects)).await
    }

    fn is_durable_at_once(&self) -> bool {
        false
    }

    async fn list_objects(&self, from: Option<&str>) -> Result<Page<ObjectName>, StorageError> {
        let (dirs, from) = (Arc::clone(&self.dirs), from.map(str::to_owned));
        errors::blocking("list objects", move || list::objects(&dirs, from.as_deref())).await
    }

    async fn list_uploads(&self, from: Option<&str>) -> Result<Page<UploadName>, StorageError> {
        let (dirs, from) = (Arc::clone(&self.dirs), from.map(str::to_owned));
        errors::blocking("list uploads", move || list::uploads(&dirs, from.as_deref())).await
    }
}
