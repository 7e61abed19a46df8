//! The uploads that this process remembers.
//!
//! Their state can be read back from their journals, so the least recently used are forgotten when
//! there are many. An upload in use is never forgotten: its allocated extents are known only here.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::{
    disk::Disk,
    errors, layout,
    staging::{Context, UploadState},
};
use crate::{StorageError, UploadName};

/// Most remembered uploads that are not in use.
const MAX_UPLOADS: usize = 512;

/// Most remembered blocks of all uploads: some 100 MB in the worst case.
const MAX_BLOCKS_REMEMBERED: usize = 500_000;

/// An upload; locked while it changes, but not while bytes arrive.
pub(super) type UploadHandle = Arc<tokio::sync::Mutex<UploadState>>;

/// A locked upload.
pub(super) type Locked = OwnedMutexGuard<UploadState>;

#[derive(Debug)]
pub(super) struct UploadCache {
    context: Context,
    max_uploads: usize,
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    uses: u64,
    handles: HashMap<UploadName, (UploadHandle, u64)>,
}

impl UploadCache {
    pub(super) fn new(disk: Arc<Disk>, boot: String) -> Self {
        let blocks = Arc::new(AtomicUsize::new(0));
        let context = Context { disk, boot: boot.into(), blocks };
        Self { context, max_uploads: MAX_UPLOADS, remembered: Mutex::default() }
    }

    /// Remembers at most `max_uploads`.
    #[cfg(test)]
    pub(super) fn set_max(&mut self, max_uploads: usize) {
        self.max_uploads = max_uploads;
    }

    /// Number of remembered uploads.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.remembered.lock().handles.len()
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Locks an upload. Its phase is never `Discarded`.
    pub(super) async fn lock(&self, name: &UploadName) -> Result<(UploadHandle, Locked), StorageError> {
        // Each round waits for a discard of the same upload; a client cannot cause many of them.
        for _ in 0..8 {
            let handle = self.handle(name);
            let locked = self
                .context
                .disk
                .threads
                .bounded("locking an upload", Arc::clone(&handle).lock_owned())
                .await?;
            if !matches!(*locked, UploadState::Discarded) {
                return Ok((handle, locked));
            }
            self.forget(name, &handle);
        }
        Err(StorageError::NotFound)
    }

    fn handle(&self, name: &UploadName) -> UploadHandle {
        let mut remembered = self.remembered.lock();
        let is_crowded = remembered.handles.len() >= self.max_uploads
            || self.context.blocks.load(Relaxed) > MAX_BLOCKS_REMEMBERED;
        let forgotten = if is_crowded { remembered.forget_older_half() } else { Vec::new() };
        remembered.uses += 1;
        let uses = remembered.uses;
        let (handle, used) = remembered.handles.entry(name.clone()).or_default();
        *used = uses;
        let handle = Arc::clone(handle);
        drop(remembered);
        if !forgotten.is_empty() {
            self.context.disk.threads.in_background(move || drop(forgotten));
        }
        handle
    }

    /// Deletes the files of an upload. Waiters start over with a new one.
    pub(super) async fn discard(&self, name: &UploadName) -> Result<(), StorageError> {
        const CONTEXT: &str = "discarding an upload";
        let (handle, mut locked) = self.lock(name).await?;
        let (disk, owned) = (Arc::clone(&self.context.disk), name.clone());
        let discarded = self.context.disk.transfer(CONTEXT, move || {
            let uploads = &disk.dirs.uploads;
            // In this order: data without a journal can be listed and discarded; a journal without
            // data would name missing blocks.
            layout::delete(uploads, &layout::journal_path(&owned)).map_err(errors::failed(CONTEXT))?;
            locked.close_files();
            *locked = UploadState::Discarded;
            layout::delete(uploads, &layout::data_path(&owned)).map_err(errors::failed(CONTEXT))
        });
        discarded.await?;
        self.forget(name, &handle);
        Ok(())
    }

    fn forget(&self, name: &UploadName, handle: &UploadHandle) {
        let mut remembered = self.remembered.lock();
        if remembered.handles.get(name).is_some_and(|(known, _)| Arc::ptr_eq(known, handle)) {
            remembered.handles.remove(name);
        }
    }
}

impl Remembered {
    /// Removes the least recently used half of the uploads that are not in use.
    fn forget_older_half(&mut self) -> Vec<UploadHandle> {
        // Clones are made under the caller's lock: with one reference it is not in use.
        let mut idle: Vec<u64> = self
            .handles
            .values()
            .filter(|(handle, _)| Arc::strong_count(handle) == 1)
            .map(|(_, used)| *used)
            .collect();
        if idle.is_empty() {
            return Vec::new();
        }
        idle.sort_unstable();
        let limit = idle[idle.len() / 2];
        let all = mem::take(&mut self.handles);
        let (old, kept): (HashMap<_, _>, _) =
            all.into_iter().partition(|(_, (handle, used))| Arc::strong_count(handle) == 1 && *used <= limit);
        self.handles = kept;
        old.into_values().map(|(handle, _)| handle).collect()
    }
}
