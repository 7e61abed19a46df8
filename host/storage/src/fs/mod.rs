//! Objects as files in a directory of this machine.
//!
//! Each upload has one data file: blocks are written into it as they arrive, and the commit renames
//! it to the object. Bytes are written once and never copied. An upload passes through `put`, or
//! through `uploads`, `staging`, `place`, `journal` and `commit`; a download through `open` and
//! `read`. `layout` has all names of files, `sys` the system calls, `segments` the format of
//! segmented objects, `disk` the access to the disk.
//!
//! The index is not used here: the sweep finds objects without an entry by listing. Needs Linux.

mod block_extent;
pub mod budget;
mod commit;
mod dirs;
mod disk;
mod erase;
mod errors;
mod files;
mod flush;
mod forget;
mod identity;
mod inline;
mod journal;
mod layout;
mod list;
mod open;
mod put;
mod read;
mod read_size;
mod segments;
mod space;
mod staging;
mod sys;
#[cfg(test)]
mod tests;
mod threads;
mod times;
mod uploads;
mod writer;

use std::{
    io,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use larder_common::TenantName;

pub use self::disk::FileShares;
use self::{budget::Budget, disk::Disk, layout::ObjectPath, uploads::UploadCache};
use super::{
    BlockId, Content, DiskUsage, FlushError, ObjectName, Page, Source, StagedBlock, Storage, StorageError,
    Stored, UploadName,
    tenants::{TenantStates, not_for_default, not_of_default},
};

/// The id of the current boot of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A [`Storage`] of a tenant, in a directory. Other tenants are in `tenants/<name>` below it.
///
/// The directory must be on one file system, and only this process may use it. What `put` and
/// `commit` return survives the end of the process, but a loss of power only after
/// [`Storage::flush`]. Staged blocks survive the end of the process, but not a restart of the
/// machine: then the upload is empty.
#[derive(Debug)]
pub struct FsStorage {
    disk: Arc<Disk>,
    budget: Arc<Budget>,
    uploads: Arc<UploadCache>,
    /// `None` in the storage of a tenant: it has none below it.
    tenants: Option<Arc<TenantStates<UploadCache>>>,
}

/// A storage that is closed when nobody else uses it any more.
#[derive(Clone, Debug)]
pub struct WeakFsStorage {
    uploads: Weak<UploadCache>,
    budget: Arc<Budget>,
    tenants: Option<Arc<TenantStates<UploadCache>>>,
}

impl WeakFsStorage {
    /// Returns the storage, if it is still open.
    #[must_use]
    pub fn upgrade(&self) -> Option<FsStorage> {
        let uploads = self.uploads.upgrade()?;
        let (disk, budget) = (Arc::clone(&uploads.context().disk), Arc::clone(&self.budget));
        Some(FsStorage { disk, budget, uploads, tenants: self.tenants.clone() })
    }
}

/// Settings of [`FsStorage`].
#[derive(Clone, Copy, Debug, Default)]
pub struct FsSettings {
    /// Limits of file descriptors.
    pub files: FileShares,
    /// Bytes of the disk that stay free. Default: 1 % of it, at least 16 MiB and at most 1 GiB.
    pub reserve_bytes: Option<u64>,
}

impl FsStorage {
    /// Opens the storage below `root`, and makes missing directories. Deletes nothing. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// When a directory cannot be made or opened, or another process has the storage open.
    pub fn open(root: PathBuf, budget: Arc<Budget>) -> Result<Self, StorageError> {
        Self::open_with(root, budget, &FsSettings::default())
    }

    /// Opens the storage with these settings.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        root: PathBuf,
        budget: Arc<Budget>,
        settings: &FsSettings,
    ) -> Result<Self, StorageError> {
        let boot = boot().map_err(errors::failed("reading the boot id"))?;
        Self::open_in_boot(root, budget, boot, settings)
    }

    /// Opens a folder that another process may be using, to ask for the size of objects
    /// ([`Storage::stat`]) and to read them. Makes and locks nothing. Any change through it may damage
    /// what the other process does.
    ///
    /// # Errors
    /// When it is not the folder of a storage.
    pub fn open_beside(root: &std::path::Path) -> Result<Self, StorageError> {
        let disk = Disk::open_beside(root).map_err(errors::failed("opening the storage"))?;
        let boot = boot().map_err(errors::failed("reading the boot id"))?;
        let disk = Arc::new(disk);
        let uploads = Arc::new(UploadCache::new(Arc::clone(&disk), boot));
        Ok(Self { disk, budget: Budget::new(1 << 20), uploads, tenants: Some(Arc::default()) })
    }

    // By value, like `open`.
    #[allow(clippy::needless_pass_by_value)]
    fn open_in_boot(
        root: PathBuf,
        budget: Arc<Budget>,
        boot: String,
        settings: &FsSettings,
    ) -> Result<Self, StorageError> {
        let opened = Disk::open(&root, settings.files, settings.reserve_bytes);
        let disk = Arc::new(opened.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let why = format!("{}: another process has this directory open", root.display());
                errors::unavailable("opening the storage", why)
            }
            _ => errors::failed("opening the storage")(error),
        })?);
        let uploads = Arc::new(UploadCache::new(Arc::clone(&disk), boot));
        Ok(Self { disk, budget, uploads, tenants: Some(Arc::default()) })
    }

    fn is_of(&self, name: &TenantName) -> bool {
        self.uploads.tenant().map_or(name.is_default(), |own| own == name)
    }

    /// The same storage.
    fn again(&self) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            budget: Arc::clone(&self.budget),
            uploads: Arc::clone(&self.uploads),
            tenants: self.tenants.clone(),
        }
    }

    /// The storage of another tenant; see [`Storage::tenant`].
    ///
    /// # Errors
    /// As [`Storage::tenant`].
    pub fn of_tenant(&self, name: &TenantName) -> Result<Self, StorageError> {
        let tenants = self.tenants.as_ref().ok_or_else(not_of_default)?;
        let uploads = tenants.get(name, |registration| self.uploads.of_tenant(registration))?;
        let (disk, budget) = (Arc::clone(&uploads.context().disk), Arc::clone(&self.budget));
        Ok(Self { disk, budget, uploads, tenants: None })
    }

    /// Refers to the storage without keeping it open.
    #[must_use]
    pub fn downgrade(&self) -> WeakFsStorage {
        WeakFsStorage {
            uploads: Arc::downgrade(&self.uploads),
            budget: Arc::clone(&self.budget),
            tenants: self.tenants.clone(),
        }
    }

    /// Runs work of the sweep, without the time limit of other calls.
    async fn run_unbounded<T: Send + 'static>(
        &self,
        context: &'static str,
        work: impl FnOnce(&Disk) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let disk = Arc::clone(&self.disk);
        let done = tokio::task::spawn_blocking(move || work(&disk)).await;
        done.map_err(|error| errors::unavailable(context, error))?
    }
}

fn boot() -> io::Result<String> {
    std::fs::read_to_string(BOOT_ID).map(|boot| boot.trim().to_owned())
}

#[async_trait]
impl Storage for FsStorage {
    fn tenant(&self, name: &TenantName) -> Result<Arc<dyn Storage>, StorageError> {
        let storage = if self.is_of(name) { self.again() } else { self.of_tenant(name)? };
        Ok(Arc::new(storage))
    }

    async fn forget_tenant(&self) -> Result<bool, StorageError> {
        if self.tenants.is_some() {
            return Err(not_for_default());
        }
        self.run_unbounded("removing a tenant", |disk| forget::forget(&disk.dirs)).await
    }

    async fn stat(&self, object: &ObjectName) -> Result<u64, StorageError> {
        open::stat(&self.disk, object).await
    }

    async fn open(
        &self,
        object: &ObjectName,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        open::content(&self.disk, &self.budget, object, size_bytes, range).await
    }

    async fn put(&self, upload: &UploadName, source: Source) -> Result<Stored, StorageError> {
        put::put(&self.disk, &self.budget, upload, source).await
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

    async fn erase(&self, upload: &UploadName, kept: Option<&ObjectName>) -> Result<(), StorageError> {
        self.uploads.discard(upload).await?;
        let (upload, kept) = (upload.clone(), kept.cloned());
        self.run_unbounded("erasing an upload", move |disk| erase::erase(&disk.dirs, &upload, kept.as_ref()))
            .await
    }

    async fn remove(&self, object: &ObjectName) -> Result<(), StorageError> {
        // A name that this driver did not make.
        let Some(path) = ObjectPath::parse(object.as_str()) else { return Ok(()) };
        let disk = Arc::clone(&self.disk);
        // Deleting a large file takes long.
        let remove = move || {
            layout::delete(&disk.dirs.objects, path.as_str()).map_err(errors::failed("removing an object"))
        };
        self.disk.transfer("removing an object", remove).await
    }

    async fn set_object_time(&self, object: &ObjectName, modified_ms: u64) -> Result<(), StorageError> {
        let object = object.clone();
        self.run_unbounded(times::CONTEXT, move |disk| times::set_of_object(&disk.dirs, &object, modified_ms))
            .await
    }

    async fn set_upload_time(&self, upload: &UploadName, modified_ms: u64) -> Result<(), StorageError> {
        let upload = upload.clone();
        self.run_unbounded(times::CONTEXT, move |disk| times::set_of_upload(&disk.dirs, &upload, modified_ms))
            .await
    }

    async fn flush(&self, objects: &[ObjectName]) -> Vec<Result<(), FlushError>> {
        let owned = objects.to_vec();
        let flushed =
            self.run_unbounded("flushing objects", move |disk| Ok(flush::flush(&disk.dirs, &owned))).await;
        flushed.unwrap_or_else(|error| flush::not_tried(objects, &error))
    }

    async fn has_room(&self) -> Result<bool, StorageError> {
        self.disk.has_room().await
    }

    async fn disk_usage(&self) -> Result<Option<DiskUsage>, StorageError> {
        self.disk.usage().await.map(Some)
    }

    async fn identity(&self) -> Result<Option<String>, StorageError> {
        self.run_unbounded(identity::CONTEXT, |disk| identity::read(&disk.dirs)).await
    }

    async fn set_identity(&self, identity: &str, replace: bool) -> Result<String, StorageError> {
        let identity = identity.to_owned();
        self.run_unbounded(identity::CONTEXT, move |disk| identity::write(&disk.dirs, &identity, replace))
            .await
    }

    fn is_durable_at_once(&self) -> bool {
        false
    }

    async fn list_objects(&self, from: Option<&str>) -> Result<Page<ObjectName>, StorageError> {
        let from = from.map(str::to_owned);
        self.run_unbounded("listing objects", move |disk| list::objects(&disk.dirs, from.as_deref())).await
    }

    async fn list_uploads(&self, from: Option<&str>) -> Result<Page<UploadName>, StorageError> {
        let from = from.map(str::to_owned);
        self.run_unbounded("listing uploads", move |disk| list::uploads(&disk.dirs, from.as_deref())).await
    }
}
