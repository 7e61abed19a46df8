//! The open files of uploads.
//!
//! An idle upload needs no descriptor: its files are opened when they are needed, and the most
//! recently used ones stay open.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::{disk::Disk, layout, staging::Context};
use crate::UploadName;

/// One of the two files of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum UploadFile {
    Data,
    Journal,
}

type Key = (u64, UploadFile);

/// The open files of all uploads; at most `max`, apart from those in use.
#[derive(Debug)]
pub(super) struct FileCache {
    max: usize,
    ids: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    uses: u64,
    files: HashMap<Key, (Arc<File>, u64)>,
}

impl FileCache {
    /// Keeps up to `max` files open, at least the two of one upload.
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(2), ids: AtomicU64::new(0), open: Mutex::default() }
    }

    fn get(&self, key: Key) -> Option<Arc<File>> {
        let mut open = self.open.lock();
        open.uses += 1;
        let uses = open.uses;
        let (file, used) = open.files.get_mut(&key)?;
        *used = uses;
        Some(Arc::clone(file))
    }

    /// Keeps a file open, and returns the one that is closed for it.
    fn keep(&self, key: Key, file: Arc<File>) -> Option<Arc<File>> {
        let mut open = self.open.lock();
        open.uses += 1;
        let uses = open.uses;
        open.files.insert(key, (file, uses));
        if open.files.len() <= self.max {
            return None;
        }
        let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)?;
        open.files.remove(&oldest).map(|(file, _)| file)
    }

    fn forget(&self, id: u64) -> [Option<Arc<File>>; 2] {
        let mut open = self.open.lock();
        [UploadFile::Data, UploadFile::Journal]
            .map(|part| open.files.remove(&(id, part)).map(|(file, _)| file))
    }

    /// Number of open files.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.open.lock().files.len()
    }
}

/// The two files of an upload, from their creation until the upload is committed or discarded.
#[derive(Debug)]
pub(super) struct UploadFiles {
    id: u64,
    name: UploadName,
    disk: Arc<Disk>,
    is_closed: AtomicBool,
    _call: Arc<()>,
}

impl UploadFiles {
    /// Takes files that were just opened or made.
    pub(super) fn new(context: &Context, name: &UploadName, data: File, journal: File) -> Arc<Self> {
        let Context { disk, calls, .. } = context;
        let id = disk.files.ids.fetch_add(1, Ordering::Relaxed);
        let (disk, is_closed) = (Arc::clone(disk), AtomicBool::new(false));
        let files = Self { id, name: name.clone(), disk, is_closed, _call: Arc::clone(calls) };
        files.keep(UploadFile::Data, &Arc::new(data));
        files.keep(UploadFile::Journal, &Arc::new(journal));
        Arc::new(files)
    }

    /// Returns the data file. May block unless [`Self::is_open`].
    pub(super) fn data(&self) -> io::Result<Arc<File>> {
        self.get(UploadFile::Data)
    }

    /// Returns the journal. May block unless [`Self::is_open`].
    pub(super) fn journal(&self) -> io::Result<Arc<File>> {
        self.get(UploadFile::Journal)
    }

    /// Returns whether both files are open.
    pub(super) fn is_open(&self) -> bool {
        let open = self.disk.files.open.lock();
        [UploadFile::Data, UploadFile::Journal].iter().all(|part| open.files.contains_key(&(self.id, *part)))
    }

    /// Closes the files for good: the upload was committed or discarded.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.let_go();
    }

    /// Runs work on the files in the background.
    pub(super) fn in_background(&self, work: impl FnOnce() + Send + 'static) {
        self.disk.threads.in_background(work);
    }

    fn get(&self, part: UploadFile) -> io::Result<Arc<File>> {
        if let Some(file) = self.disk.files.get((self.id, part)) {
            return Ok(file);
        }
        let path = match part {
            UploadFile::Data => layout::data_path(&self.name),
            UploadFile::Journal => layout::journal_path(&self.name),
        };
        let file = Arc::new(layout::open(&self.disk.dirs.uploads, &path, OFlags::RDWR)?);
        // Checked after it was opened: new files of this upload are made only after these are
        // closed.
        if self.is_closed.load(Ordering::Acquire) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.keep(part, &file);
        Ok(file)
    }

    fn keep(&self, part: UploadFile, file: &Arc<File>) {
        self.disk.close(self.disk.files.keep((self.id, part), Arc::clone(file)));
    }

    fn let_go(&self) {
        self.disk.files.forget(self.id).into_iter().for_each(|file| self.disk.close(file));
    }
}

impl Drop for UploadFiles {
    fn drop(&mut self) {
        self.let_go();
    }
}
