//! The uploads that this process remembers.
//!
//! Their state can be read back from their journals, so the least recently used are forgotten when
//! there are many. An upload in use is never forgotten: its allocated extents are known only here.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use larder_common::TenantName;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::{
    disk::Disk,
    errors, layout,
    staging::{Context, UploadState},
};
use crate::{StorageError, UploadName, tenants::Registration};

/// Most remembered uploads of a tenant that are not in use.
const MAX_UPLOADS: usize = 512;

/// The same of all tenants together: some 4 MB. The tenant that has one more forgets its own.
const MAX_UPLOADS_IN_ALL: usize = 8_192;

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
    /// Number of remembered uploads of all tenants.
    in_all: Arc<AtomicUsize>,
    /// `None` for the tenant `default`.
    registration: Option<Registration<UploadCache>>,
}

#[derive(Debug, Default)]
struct Remembered {
    uses: u64,
    handles: HashMap<UploadName, Entry>,
}

/// A remembered upload, and when it was used.
#[derive(Debug)]
struct Entry {
    handle: UploadHandle,
    used: u64,
    _counted: Counted,
}

/// Counts until it is dropped.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl UploadCache {
    pub(super) fn new(disk: Arc<Disk>, boot: String) -> Self {
        let context = Context { disk, boot: boot.into(), blocks: Arc::default(), calls: Arc::default() };
        Self {
            context,
            max_uploads: MAX_UPLOADS,
            remembered: Mutex::default(),
            in_all: Arc::default(),
            registration: None,
        }
    }

    /// The uploads of another tenant on the same disk. Returns with them what their calls hold.
    pub(super) fn of_tenant(&self, registration: Registration<Self>) -> (Arc<Self>, Weak<()>) {
        let disk = Arc::new(self.context.disk.of_tenant(registration.name()));
        let context = Context { disk, calls: Arc::default(), ..self.context.clone() };
        let calls = Arc::downgrade(&context.calls);
        let uploads = Self {
            context,
            max_uploads: self.max_uploads,
            remembered: Mutex::default(),
            in_all: Arc::clone(&self.in_all),
            registration: Some(registration),
        };
        (Arc::new(uploads), calls)
    }

    /// Whose they are; `None` for `default`.
    pub(super) fn tenant(&self) -> Option<&TenantName> {
        self.registration.as_ref().map(Registration::name)
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

    /// Number of remembered uploads of all tenants.
    #[cfg(test)]
    pub(super) fn count_in_all(&self) -> usize {
        self.in_all.load(Relaxed)
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
            || self.in_all.load(Relaxed) >= MAX_UPLOADS_IN_ALL
            || self.context.blocks.load(Relaxed) > MAX_BLOCKS_REMEMBERED;
        let forgotten = if is_crowded { remembered.forget_older_half() } else { Vec::new() };
        remembered.uses += 1;
        let uses = remembered.uses;
        let entry = remembered.handles.entry(name.clone()).or_insert_with(|| {
            let _counted = Counted::begin(&self.in_all);
            Entry { handle: UploadHandle::default(), used: uses, _counted }
        });
        entry.used = uses;
        let handle = Arc::clone(&entry.handle);
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
        if remembered.handles.get(name).is_some_and(|known| Arc::ptr_eq(&known.handle, handle)) {
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
            .filter(|entry| Arc::strong_count(&entry.handle) == 1)
            .map(|entry| entry.used)
            .collect();
        if idle.is_empty() {
            return Vec::new();
        }
        idle.sort_unstable();
        let limit = idle[idle.len() / 2];
        let all = mem::take(&mut self.handles);
        let is_old = |entry: &Entry| Arc::strong_count(&entry.handle) == 1 && entry.used <= limit;
        let (old, kept): (HashMap<_, _>, _) = all.into_iter().partition(|(_, entry)| is_old(entry));
        self.handles = kept;
        old.into_values().map(|entry| entry.handle).collect()
    }
}
