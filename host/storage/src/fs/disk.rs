//! The disk under a storage: its directories, and how it is asked.
//!
//! Whatever may wait for the disk goes through here: in place while it is quick (`gate`), else on a thread of a bounded number
//! (`threads`). What is open (`files`, [`FileShares`]) and what is free (`space`) are bounded here, too.

#[cfg(test)]
mod tests;

use std::{fs::File, io, path::Path, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    errors,
    files::FileCache,
    inline::InlineGates,
    layout::Dirs,
    space::{Claim, LEAST_ROOM_BYTES, Space},
    sys::{self, MayBlock},
    threads::{Lane, Threads},
};
use crate::StorageError;

/// How many file descriptors a storage may have open beyond those of its directories. When a share is used up, who comes next waits
/// for some seconds and is then refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileShares {
    /// Kept open for uploads: two for each that was used last. The others are opened again when blocks come.
    pub uploads: usize,
    /// Whole objects, and blocks of unknown length, on their way in: one each.
    pub bodies: usize,
    /// Objects on their way out, if they are larger than 64 KiB: one each.
    pub downloads: usize,
}

impl Default for FileShares {
    fn default() -> Self {
        Self { uploads: 16, bodies: 1024, downloads: 1024 }
    }
}

/// How long a transfer waits for a descriptor.
const DESCRIPTOR_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
#[error("as many files are open as may be")]
struct TooMany;

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) dirs: Dirs,
    pub(super) inline: InlineGates,
    pub(super) threads: Threads,
    pub(super) files: FileCache,
    pub(super) space: Arc<Space>,
    bodies: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    /// Whether even closing a file may wait.
    may_hang: bool,
    #[cfg(test)]
    pub(super) lag: tests::Lag,
}

impl Disk {
    /// Opens the directories below `root`.
    pub(super) fn open(root: &Path, shares: FileShares, reserve_bytes: Option<u64>) -> io::Result<Self> {
        let dirs = Dirs::open(root)?;
        let may_hang = sys::may_hang(&dirs.objects.file)?;
        Ok(Self {
            dirs,
            inline: InlineGates::new(may_hang),
            threads: Threads::default(),
            files: FileCache::new(shares.uploads),
            space: Space::new(reserve_bytes),
            bodies: Arc::new(Semaphore::new(shares.bodies.max(1))),
            downloads: Arc::new(Semaphore::new(shares.downloads.max(1))),
            may_hang,
            #[cfg(test)]
            lag: tests::Lag::default(),
        })
    }

    /// Has work done that may wait for the disk.
    pub(super) async fn transfer<T: Send + 'static>(
        &self,
        context: &'static str,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.threads.run(Lane::Transfers, context, work).await
    }

    /// Finds something out: in place, if the kernel knows it and the disk is quick; else on a thread.
    pub(super) async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        context: &'static str,
        ask: impl Fn(&Dirs, MayBlock) -> io::Result<T> + Send + 'static,
    ) -> Result<io::Result<T>, StorageError> {
        if self.inline.looks.allowed() {
            match self.timed_look(&ask, MayBlock::No) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                answer => return Ok(answer),
            }
        }
        let disk = Arc::clone(self);
        let look = move || Ok(disk.timed_look(&ask, MayBlock::Yes));
        self.threads.run(Lane::Looks, context, look).await
    }

    fn timed_look<T>(
        &self,
        ask: &impl Fn(&Dirs, MayBlock) -> io::Result<T>,
        may_block: MayBlock,
    ) -> io::Result<T> {
        self.inline.looks.timed(|| {
            self.wait_as_planned();
            ask(&self.dirs, may_block)
        })
    }

    /// Makes a file: in place, if `is_quick` and the disk is, too.
    pub(super) async fn create<T: Send + 'static>(
        self: &Arc<Self>,
        context: &'static str,
        is_quick: bool,
        create: impl FnOnce(&Arc<Self>) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let disk = Arc::clone(self);
        let create = move || {
            let made = disk.inline.creates.timed(|| {
                disk.wait_as_planned();
                create(&disk)
            });
            made.map_err(errors::failed(context))
        };
        if is_quick && self.inline.creates.allowed() {
            return create();
        }
        self.threads.run(Lane::Looks, context, create).await
    }

    /// Begins a body of this length, if there is room for it.
    pub(super) async fn claim(self: &Arc<Self>, length: Option<u64>) -> Result<Claim, StorageError> {
        self.look_at_space(length.unwrap_or(0)).await?;
        self.space.claim(length)
    }

    /// Makes sure that room is held for so many bytes more of a body.
    pub(super) async fn cover(self: &Arc<Self>, claim: &mut Claim, bytes: u64) -> Result<(), StorageError> {
        let lacks = claim.lacks(bytes);
        if lacks == 0 {
            return Ok(());
        }
        self.look_at_space(lacks).await?;
        claim.hold(lacks)
    }

    /// Returns whether there is room for bodies.
    pub(super) async fn has_room(self: &Arc<Self>) -> Result<bool, StorageError> {
        self.look_at_space(LEAST_ROOM_BYTES).await?;
        Ok(self.space.has_room())
    }

    async fn look_at_space(self: &Arc<Self>, bytes: u64) -> Result<(), StorageError> {
        const CONTEXT: &str = "find out what is free on the disk";
        if self.space.is_stale(bytes) {
            let measured = self.look(CONTEXT, |dirs, _| sys::measure(&dirs.objects.file)).await?;
            self.space.note(measured.map_err(errors::failed(CONTEXT))?);
        }
        Ok(())
    }

    /// Takes a descriptor for a body on its way in.
    pub(super) async fn body_descriptor(&self) -> Result<OwnedSemaphorePermit, StorageError> {
        descriptor(&self.bodies, "store a body").await
    }

    /// Takes a descriptor for an object on its way out.
    pub(super) async fn download_descriptor(&self) -> Result<OwnedSemaphorePermit, StorageError> {
        descriptor(&self.downloads, "open an object").await
    }

    /// Closes a file: where it is on a server, that may wait until all is written.
    pub(super) fn close(&self, file: Option<Arc<File>>) {
        if let Some(file) = file.filter(|_| self.may_hang) {
            self.threads.in_background(move || drop(file));
        }
    }

    #[cfg(test)]
    fn wait_as_planned(&self) {
        self.lag.wait();
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "only tests slow a disk down")]
    fn wait_as_planned(&self) {}
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
        // It is never closed.
        Ok(Err(_)) | Err(_) => Err(errors::unavailable(context, TooMany)),
    }
}
