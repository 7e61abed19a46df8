//! The uploads that this process remembers.
//!
//! What is remembered of an upload can be read back from its journal, so the least recently used are forgotten when they
//! become many. An upload that somebody works on is never forgotten: its allocated places are known only here.

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
    staging::{Context, Phase},
};
use crate::{StorageError, UploadName};

/// Most uploads remembered while nobody works on them.
const MAX_UPLOADS: usize = 512;

/// Most blocks remembered in all of them together: some 100 MB in the worst case.
const MAX_BLOCKS_REMEMBERED: usize = 500_000;

/// An upload; locked while it is changed, not while bytes come in.
pub(super) type UploadHandle = Arc<tokio::sync::Mutex<Phase>>;

/// An upload, locked.
pub(super) type Locked = OwnedMutexGuard<Phase>;

#[derive(Debug)]
pub(super) struct Uploads {
    context: Context,
    max_uploads: usize,
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    uses: u64,
    handles: HashMap<UploadName, (UploadHandle, u64)>,
}

impl Uploads {
    pub(super) fn new(disk: Arc<Disk>, boot: String) -> Self {
        let blocks = Arc::new(AtomicUsize::new(0));
        let context = Context { disk, boot: boot.into(), blocks };
        Self { context, max_uploads: MAX_UPLOADS, remembered: Mutex::default() }
    }

    /// Remembers fewer uploads.
    #[cfg(test)]
    pub(super) fn set_max(&mut self, max_uploads: usize) {
        self.max_uploads = max_uploads;
    }

    /// Returns how many uploads are remembered.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.remembered.lock().handles.len()
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Locks an upload. Its phase is never `Discarded`.
    pub(super) async fn lock(&self, name: &UploadName) -> Result<(UploadHandle, Locked), StorageError> {
        // Each turn waits for somebody who discards it; a client cannot keep that up.
        for _ in 0..8 {
            let handle = self.handle(name);
            let locked =
                self.context.disk.threads.bounded("lock an upload", Arc::clone(&handle).lock_owned()).await?;
            if !matches!(*locked, Phase::Discarded) {
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

    /// Deletes what an upload has and makes those who wait for it start over.
    pub(super) async fn discard(&self, name: &UploadName) -> Result<(), StorageError> {
        const CONTEXT: &str = "discard an upload";
        let (handle, mut locked) = self.lock(name).await?;
        let (disk, owned) = (Arc::clone(&self.context.disk), name.clone());
        let discarded = self.context.disk.transfer(CONTEXT, move || {
            let uploads = &disk.dirs.uploads;
            // Data without a journal is listed and can be discarded; a journal without data would say too much.
            layout::delete(uploads, &layout::journal_path(&owned)).map_err(errors::failed(CONTEXT))?;
            locked.close_files();
            *locked = Phase::Discarded;
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
    /// Takes out the half of the idle uploads that was used longest ago.
    fn forget_older_half(&mut self) -> Vec<UploadHandle> {
        // Clones are made under the lock that the caller has: one reference means that nobody works on it.
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
