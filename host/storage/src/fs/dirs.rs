//! The directories of a storage.
//!
//! Those of the tenant `default` are open and are made at the start. Those of another tenant are below
//! the root, in `tenants/<name>`: they are not opened, and made when the first file is.

use std::{
    borrow::Cow,
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use larder_common::TenantName;
use rustix::{
    fs::{AtFlags, CWD, FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::layout::{FILE_MODE, shards};

const DIR_MODE: Mode = Mode::from_raw_mode(0o700);
const OBJECTS: &str = "objects";
const UPLOADS: &str = "uploads";
const TENANTS: &str = "tenants";

/// A directory: an open one, or one below an open one.
#[derive(Debug)]
pub(super) struct Dir {
    /// The open directory. Paths are [`Self::resolve`]d before they are used with it.
    pub(super) file: Arc<File>,
    /// Where it is below `file`: empty, or ends with a slash. Then it may not exist yet.
    below: Box<str>,
    /// The path of `file`, for error messages.
    path: Arc<Path>,
}

/// An error, with the path.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
struct PathError {
    path: PathBuf,
    source: io::Error,
}

impl Dir {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(CWD, path, flags, Mode::empty());
        let file = File::from(opened.map_err(|error| at(path.to_owned(), error.into()))?);
        Ok(Self { file: Arc::new(file), below: "".into(), path: path.into() })
    }

    /// Makes and opens a directory in this one.
    fn directory(&self, name: &str) -> io::Result<Self> {
        self.make_directory(name)?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.file, name, flags, Mode::empty());
        let file = File::from(opened.map_err(|error| self.at(name, error))?);
        Ok(Self { file: Arc::new(file), below: "".into(), path: self.path.join(name).into() })
    }

    /// A directory below this one, without looking for it.
    fn below(&self, path: &str) -> Self {
        let below = format!("{}{path}/", self.below).into();
        Self { file: Arc::clone(&self.file), below, path: Arc::clone(&self.path) }
    }

    /// Returns the path from `file` of a path in this directory.
    pub(super) fn resolve<'a>(&self, path: &'a str) -> Cow<'a, str> {
        if self.below.is_empty() { Cow::Borrowed(path) } else { Cow::Owned(format!("{}{path}", self.below)) }
    }

    /// Makes the directories that a path in this one needs, if they are made only then. Returns
    /// whether they are.
    pub(super) fn make_parents(&self, path: &str) -> io::Result<bool> {
        if self.below.is_empty() {
            return Ok(false);
        }
        let path = self.resolve(path);
        for (end, _) in path.match_indices('/') {
            let made = rustix::fs::mkdirat(&self.file, &path[..end], DIR_MODE);
            if let Err(error) = made
                && error != Errno::EXIST
            {
                return Err(at(self.path.join(&path[..end]), error.into()));
            }
        }
        Ok(true)
    }

    /// Returns the directories from `file` to this one, which are to be flushed after one was made in
    /// it; none if all are made at the start.
    pub(super) fn made_with_files(&self) -> Vec<&str> {
        let ends = self.below.match_indices('/').map(|(end, _)| &self.below[..end]);
        if self.below.is_empty() { Vec::new() } else { std::iter::once(".").chain(ends).collect() }
    }

    /// Flushes the names in it, and its own.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.below.is_empty() {
            return self.file.sync_all();
        }
        self.made_with_files().into_iter().try_for_each(|path| self.open_made(path)?.sync_all())
    }

    /// Opens one of [`Self::made_with_files`].
    pub(super) fn open_made(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.file, path, flags, Mode::empty());
        opened.map(File::from).map_err(|error| at(self.path.join(path), error.into()))
    }

    /// Deletes a directory in this one, or this one, if it is there and empty. Returns whether it is
    /// gone.
    pub(super) fn remove_empty(&self, path: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.file, &*self.resolve(path), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(error) => Err(self.at(path, error)),
        }
    }

    fn make_directory(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::mkdirat(&self.file, name, DIR_MODE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(self.at(name, error)),
        }
    }

    /// Adds the path to an error.
    pub(super) fn at(&self, name: &str, error: impl Into<io::Error>) -> io::Error {
        at(self.path.join(&*self.resolve(name)), error.into())
    }
}

fn at(path: PathBuf, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), PathError { path, source })
}

/// The directories of a tenant's storage.
#[derive(Debug)]
pub(super) struct Dirs {
    pub(super) root: Dir,
    pub(super) objects: Dir,
    pub(super) uploads: Dir,
    /// Holds the lock until the last one is dropped; `None` if another process has it.
    lock: Option<Arc<File>>,
}

impl Dirs {
    /// Opens the directories below `root` and makes missing ones. Fails with `WouldBlock` if
    /// another process uses them.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(DIR_MODE.as_raw_mode()).create(root);
        made.map_err(|error| at(root.to_owned(), error))?;
        let root = Dir::open(root)?;
        let lock = Some(Arc::new(lock(&root)?));
        let objects = root.directory(OBJECTS)?;
        let uploads = root.directory(UPLOADS)?;
        let mut made = false;
        for shard in shards() {
            made |= objects.make_directory(&shard)?;
        }
        if made {
            objects.file.sync_all()?;
            root.file.sync_all()?;
        }
        Ok(Self { root, objects, uploads, lock })
    }

    /// Opens the directories that a process has made that may be using them, to look at objects.
    pub(super) fn open_beside(root: &Path) -> io::Result<Self> {
        let root = Dir::open(root)?;
        let open = |name: &str| Dir::open(&root.path.join(name));
        let (objects, uploads) = (open(OBJECTS)?, open(UPLOADS)?);
        Ok(Self { root, objects, uploads, lock: None })
    }

    /// The directories of a tenant below these. Neither opens nor makes any.
    pub(super) fn of_tenant(&self, name: &TenantName) -> Self {
        let root = self.root.below(&format!("{TENANTS}/{name}"));
        let (objects, uploads) = (root.below(OBJECTS), root.below(UPLOADS));
        Self { root, objects, uploads, lock: self.lock.clone() }
    }

    /// Deletes the directories of a tenant that have no files. Returns whether all are gone.
    pub(super) fn remove_empty(&self) -> io::Result<bool> {
        for shard in shards() {
            if !self.objects.remove_empty(&shard)? {
                return Ok(false);
            }
        }
        Ok(self.objects.remove_empty("")? && self.uploads.remove_empty("")? && self.root.remove_empty("")?)
    }
}

/// Two processes on one root would overwrite each other's blocks. File systems without locks are
/// trusted.
fn lock(root: &Dir) -> io::Result<File> {
    const NAME: &str = "lock";
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&root.file, NAME, flags, FILE_MODE);
    let file = File::from(opened.map_err(|error| root.at(NAME, error))?);
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => Ok(file),
        Err(error) => Err(root.at(NAME, error)),
    }
}
