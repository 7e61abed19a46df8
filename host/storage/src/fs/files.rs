//! The files of uploads, open while they are used.
//!
//! An upload that waits for its next block keeps no descriptor: its files are opened when they are needed, and those that were
//! used last stay open, up to a number.

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

use super::{disk::Disk, layout};
use crate::UploadName;

/// Which of the two files of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Data,
    Journal,
}

type Key = (u64, Part);

/// Open files of all uploads of a storage; at most `max`, apart from those that are being used at this moment.
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
    /// Keeps so many files open, at least the two of one upload.
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
        [Part::Data, Part::Journal].map(|part| open.files.remove(&(id, part)).map(|(file, _)| file))
    }

    /// Returns how many are open.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.open.lock().files.len()
    }
}

/// The two files of an upload, from when they were made until the upload is committed or discarded.
#[derive(Debug)]
pub(super) struct UploadFiles {
    id: u64,
    name: UploadName,
    disk: Arc<Disk>,
    is_closed: AtomicBool,
}

impl UploadFiles {
    /// Takes files that were just opened or made.
    pub(super) fn new(disk: &Arc<Disk>, name: &UploadName, data: File, journal: File) -> Arc<Self> {
        let id = disk.files.ids.fetch_add(1, Ordering::Relaxed);
        let (disk, is_closed) = (Arc::clone(disk), AtomicBool::new(false));
        let files = Self { id, name: name.clone(), disk, is_closed };
        files.keep(Part::Data, &Arc::new(data));
        files.keep(Part::Journal, &Arc::new(journal));
        Arc::new(files)
    }

    /// Returns the file of the blocks. May wait for the disk where [`Self::is_open`] is not true.
    pub(super) fn data(&self) -> io::Result<Arc<File>> {
        self.get(Part::Data)
    }

    /// Returns the journal, likewise.
    pub(super) fn journal(&self) -> io::Result<Arc<File>> {
        self.get(Part::Journal)
    }

    /// Returns whether both files are open, so that nobody has to wait for them.
    pub(super) fn is_open(&self) -> bool {
        let open = self.disk.files.open.lock();
        [Part::Data, Part::Journal].iter().all(|part| open.files.contains_key(&(self.id, *part)))
    }

    /// Ends the use of the files: the upload became an object, or is no more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.let_go();
    }

    /// Has work on the files done that nobody waits for.
    pub(super) fn in_background(&self, work: impl FnOnce() + Send + 'static) {
        self.disk.threads.in_background(work);
    }

    fn get(&self, part: Part) -> io::Result<Arc<File>> {
        if let Some(file) = self.disk.files.get((self.id, part)) {
            return Ok(file);
        }
        let path = match part {
            Part::Data => layout::data_path(&self.name),
            Part::Journal => layout::journal_path(&self.name),
        };
        let file = Arc::new(layout::open(&self.disk.dirs.uploads, &path, OFlags::RDWR)?);
        // Asked after it was opened: files of another upload of this name are made only when these are closed.
        if self.is_closed.load(Ordering::Acquire) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.keep(part, &file);
        Ok(file)
    }

    fn keep(&self, part: Part, file: &Arc<File>) {
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
