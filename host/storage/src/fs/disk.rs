//! The disk of a storage: its directories, and all access that may block.
//!
//! Calls run in place while the disk is fast (`inline`), else on a bounded number of threads
//! (`threads`). Open files (`files`, [`FileShares`]) and free space (`space`) are bounded here,
//! too.

#[cfg(test)]
mod tests;

use std::{fs::File, io, path::Path, sync::Arc, time::Duration};

use larder_common::TenantName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    dirs::Dirs,
    errors,
    files::FileCache,
    inline::InlineGates,
    space::{LEAST_ROOM_BYTES, Measured, Space, SpaceClaim},
    sys::{self, MayBlock},
    threads::{Lane, Threads},
};
use crate::{DiskUsage, StorageError};

/// File descriptors that a storage may open, apart from its directories. When a share is used up,
/// the next call waits up to 10 s and then fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileShares {
    /// Kept open for uploads: two for each of the most recently used. The others are reopened when
    /// blocks arrive.
    pub uploads: usize,
    /// Whole objects, and blocks of unknown length, while they are received: one each.
    pub bodies: usize,
    /// Objects larger than 64 KiB while they are sent: one each.
    pub downloads: usize,
}

impl Default for FileShares {
    fn default() -> Self {
        Self { uploads: 16, bodies: 1024, downloads: 1024 }
    }
}

/// Longest wait for a descriptor.
const DESCRIPTOR_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
#[error("too many open files")]
struct TooManyOpenFiles;

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) dirs: Dirs,
    pub(super) inline: Arc<InlineGates>,
    pub(super) threads: Threads,
    pub(super) files: Arc<FileCache>,
    pub(super) space: Arc<Space>,
    bodies: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    /// Whether even closing a file may block.
    may_hang: bool,
    #[cfg(test)]
    pub(super) lag: Arc<tests::Lag>,
}

impl Disk {
    /// Opens the directories below `root`.
    pub(super) fn open(root: &Path, shares: FileShares, reserve_bytes: Option<u64>) -> io::Result<Self> {
        Self::of(Dirs::open(root)?, shares, reserve_bytes)
    }

    /// Opens directories that another process may be using, to look at objects.
    pub(super) fn open_beside(root: &Path) -> io::Result<Self> {
        Self::of(Dirs::open_beside(root)?, FileShares::default(), None)
    }

    fn of(dirs: Dirs, shares: FileShares, reserve_bytes: Option<u64>) -> io::Result<Self> {
        let may_hang = sys::may_hang(&dirs.objects.file)?;
        Ok(Self {
            dirs,
            inline: Arc::new(InlineGates::new(may_hang)),
            threads: Threads::default(),
            files: Arc::new(FileCache::new(shares.uploads)),
            space: Space::new(reserve_bytes),
            bodies: Arc::new(Semaphore::new(shares.bodies.max(1))),
            downloads: Arc::new(Semaphore::new(shares.downloads.max(1))),
            may_hang,
            #[cfg(test)]
            lag: Arc::default(),
        })
    }

    /// The same disk with the directories of a tenant. All limits are for both together.
    pub(super) fn of_tenant(&self, name: &TenantName) -> Self {
        Self {
            dirs: self.dirs.of_tenant(name),
            inline: Arc::clone(&self.inline),
            threads: self.threads.clone(),
            files: Arc::clone(&self.files),
            space: Arc::clone(&self.space),
            bodies: Arc::clone(&self.bodies),
            downloads: Arc::clone(&self.downloads),
            may_hang: self.may_hang,
            #[cfg(test)]
            lag: Arc::clone(&self.lag),
        }
    }

    /// Runs work that may block on the disk.
    pub(super) async fn transfer<T: Send + 'static>(
        &self,
        context: &'static str,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.threads.run(Lane::Transfers, context, work).await
    }

    /// Runs a query: in place, if the kernel has the result in memory and the disk is fast, else on
    /// a thread.
    pub(super) async fn query<T: Send + 'static>(
        self: &Arc<Self>,
        context: &'static str,
        call: impl Fn(&Dirs, MayBlock) -> io::Result<T> + Send + 'static,
    ) -> Result<io::Result<T>, StorageError> {
        if self.inline.queries.allowed() {
            match self.timed_query(&call, MayBlock::No) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Ok(result),
            }
        }
        let disk = Arc::clone(self);
        let query = move || Ok(disk.timed_query(&call, MayBlock::Yes));
        self.threads.run(Lane::Queries, context, query).await
    }

    fn timed_query<T>(
        &self,
        call: &impl Fn(&Dirs, MayBlock) -> io::Result<T>,
        may_block: MayBlock,
    ) -> io::Result<T> {
        self.inline.queries.timed(|| {
            self.apply_lag();
            call(&self.dirs, may_block)
        })
    }

    /// Makes a file: in place, if `is_quick`, the disk is fast and no other file is being made, else on a
    /// thread.
    pub(super) async fn create<T: Send + 'static>(
        self: &Arc<Self>,
        context: &'static str,
        is_quick: bool,
        create: impl FnOnce(&Arc<Self>) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let disk = Arc::clone(self);
        let create = move || {
            let made = disk.inline.creates.timed(|| {
                disk.apply_lag();
                create(&disk)
            });
            made.map_err(errors::failed(context))
        };
        if is_quick
            && self.inline.creates.allowed()
            && let Some(_alone) = self.inline.creations.begin_alone()
        {
            return create();
        }
        let disk = Arc::clone(self);
        let create = move || {
            let _one = disk.inline.creations.begin();
            create()
        };
        self.threads.run(Lane::Queries, context, create).await
    }

    /// Begins a body of this length, if there is space for it.
    pub(super) async fn claim(self: &Arc<Self>, length: Option<u64>) -> Result<SpaceClaim, StorageError> {
        self.refresh_space(length.unwrap_or(0)).await?;
        self.space.claim(length)
    }

    /// Reserves space for `bytes` more of a body.
    pub(super) async fn cover(
        self: &Arc<Self>,
        claim: &mut SpaceClaim,
        bytes: u64,
    ) -> Result<(), StorageError> {
        let lacks = claim.lacks(bytes);
        if lacks == 0 {
            return Ok(());
        }
        self.refresh_space(lacks).await?;
        claim.hold(lacks)
    }

    /// Returns whether there is space for bodies.
    pub(super) async fn has_room(self: &Arc<Self>) -> Result<bool, StorageError> {
        self.refresh_space(LEAST_ROOM_BYTES).await?;
        Ok(self.space.has_room())
    }

    /// Measures the disk.
    pub(super) async fn usage(self: &Arc<Self>) -> Result<DiskUsage, StorageError> {
        const CONTEXT: &str = "measuring the disk";
        let measured = self.query(CONTEXT, |dirs, _| sys::measure(&dirs.objects.file)).await?;
        let Measured { total, free } = measured.map_err(errors::failed(CONTEXT))?;
        Ok(DiskUsage { total_bytes: total, free_bytes: free })
    }

    async fn refresh_space(self: &Arc<Self>, bytes: u64) -> Result<(), StorageError> {
        const CONTEXT: &str = "measuring the free space";
        if self.space.is_stale(bytes) {
            let measured = self.query(CONTEXT, |dirs, _| sys::measure(&dirs.objects.file)).await?;
            self.space.note(measured.map_err(errors::failed(CONTEXT))?);
        }
        Ok(())
    }

    /// Takes a descriptor for a body that is received.
    pub(super) async fn body_descriptor(&self) -> Result<OwnedSemaphorePermit, StorageError> {
        descriptor(&self.bodies, "storing a body").await
    }

    /// Takes a descriptor for an object that is sent.
    pub(super) async fn download_descriptor(&self) -> Result<OwnedSemaphorePermit, StorageError> {
        descriptor(&self.downloads, "opening an object").await
    }

    /// Closes a file; on a network file system that may block until all is written.
    pub(super) fn close(&self, file: Option<Arc<File>>) {
        if let Some(file) = file.filter(|_| self.may_hang) {
            self.threads.in_background(move || drop(file));
        }
    }

    #[cfg(test)]
    fn apply_lag(&self) {
        self.lag.wait();
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "only tests slow a disk down")]
    fn apply_lag(&self) {}
}

async fn descriptor(
    share: &Arc<Semaphore>,
    context: &'static str,
) -> Result<OwnedSemaphorePermit, StorageError> {
    if let Ok(permit) = Arc::clone(share).try_acquire_owned() {
        return Ok(permit);
    }
    let waited = tokio::time::timeout(DESCRIPTOR_WAIT, Arc::clone(share).acquire_owned()).await;
    match waited {
        Ok(Ok(permit)) => Ok(permit),
        // The semaphore is never closed.
        Ok(Err(_)) | Err(_) => Err(errors::unavailable(context, TooManyOpenFiles)),
    }
}
