//! The names of all files and directories below the root.
//!
//! ```text
//! lock                           held by the process that uses the root
//! identity                       which index the objects belong to
//! objects/3f/p-3f07…             plain: the file is the content
//! objects/3f/s-3f9c…             segmented: content, then a trailer (see `segments`)
//! uploads/<name>.data            the blocks of an upload, in the order of arrival
//! uploads/<name>.journal         which of them are complete (see `journal`)
//! uploads/<name>.spool-<random>  a block of unknown length, while it is received
//! ```
//!
//! Only names that are checked here become paths. Files with other names are ignored.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FlockOperation, Mode, OFlags},
    io::Errno,
};

use crate::{ObjectName, UploadName};

const HEX_DIGITS: usize = 32;
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const DIR_MODE: Mode = Mode::from_raw_mode(0o700);

/// An open directory.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) file: File,
    /// For error messages; the directory itself is accessed through `file`.
    path: PathBuf,
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
        Ok(Self { file, path: path.to_owned() })
    }

    /// Makes and opens a directory in this one.
    fn directory(&self, name: &str) -> io::Result<Self> {
        self.make_directory(name)?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.file, name, flags, Mode::empty());
        let file = File::from(opened.map_err(|error| self.at(name, error))?);
        Ok(Self { file, path: self.path.join(name) })
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
        at(self.path.join(name), error.into())
    }
}

fn at(path: PathBuf, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), PathError { path, source })
}

/// The open directories of a storage.
#[derive(Debug)]
pub(super) struct Dirs {
    pub(super) root: Dir,
    pub(super) objects: Dir,
    pub(super) uploads: Dir,
    /// Holds the lock until it is dropped.
    _lock: File,
}

impl Dirs {
    /// Opens the directories below `root` and makes missing ones. Fails with `WouldBlock` if
    /// another process uses them.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(DIR_MODE.as_raw_mode()).create(root);
        made.map_err(|error| at(root.to_owned(), error))?;
        let root = Dir::open(root)?;
        let lock = lock(&root)?;
        let objects = root.directory("objects")?;
        let uploads = root.directory("uploads")?;
        let mut made = false;
        for shard in 0..=u8::MAX {
            made |= objects.make_directory(&hex::encode([shard]))?;
        }
        if made {
            objects.file.sync_all()?;
            root.file.sync_all()?;
        }
        Ok(Self { root, objects, uploads, _lock: lock })
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

/// The format of an object's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The file is the content.
    Plain,
    /// The file ends with a trailer, which has the extents of the content.
    Segmented,
}

/// The path of an object, relative to `objects`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectPath {
    pub(super) kind: Kind,
    path: String,
}

impl ObjectPath {
    const NAME_AT: usize = 3;

    /// Makes a random name.
    pub(super) fn random(kind: Kind) -> io::Result<Self> {
        Ok(Self::new(kind, &random_hex()?))
    }

    fn new(kind: Kind, hex: &str) -> Self {
        let letter = match kind {
            Kind::Plain => 'p',
            Kind::Segmented => 's',
        };
        Self { kind, path: format!("{}/{letter}-{hex}", &hex[..2]) }
    }

    /// Parses a name; `None` if this driver did not make it.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (kind, hex) = match name.split_at_checked(2)? {
            ("p-", hex) => (Kind::Plain, hex),
            ("s-", hex) => (Kind::Segmented, hex),
            _ => return None,
        };
        is_hex(hex).then(|| Self::new(kind, hex))
    }

    /// Returns the path below `objects`.
    pub(super) fn as_str(&self) -> &str {
        &self.path
    }

    /// The directory, relative to `objects`.
    pub(super) fn shard(&self) -> &str {
        &self.path[..2]
    }

    /// The name without its kind: sorts like the directories.
    pub(super) fn hex(&self) -> &str {
        &self.path[Self::NAME_AT + 2..]
    }

    /// Returns the object's name.
    pub(super) fn name(&self) -> ObjectName {
        // 34 of the allowed characters, so it is valid.
        ObjectName(self.path[Self::NAME_AT..].to_owned())
    }
}

/// The path of an upload's data file, relative to `uploads`.
pub(super) fn data_path(upload: &UploadName) -> String {
    format!("{upload}.data")
}

/// The path of an upload's journal, relative to `uploads`.
pub(super) fn journal_path(upload: &UploadName) -> String {
    format!("{upload}.journal")
}

/// A random path for a block of unknown length.
pub(super) fn spool_path(upload: &UploadName) -> io::Result<String> {
    Ok(format!("{upload}.spool-{}", random_hex()?))
}

/// Returns the upload that a file in `uploads` belongs to.
pub(super) fn upload_of(file_name: &str) -> Option<UploadName> {
    let (upload, rest) = file_name.split_once('.')?;
    let ours = matches!(rest, "data" | "journal") || rest.strip_prefix("spool-").is_some_and(is_hex);
    if ours { UploadName::parse(upload).ok() } else { None }
}

/// Creates a file that must not exist.
pub(super) fn create(dir: &Dir, path: &str) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let created = rustix::fs::openat(&dir.file, path, flags, FILE_MODE);
    created.map(File::from).map_err(|error| dir.at(path, error))
}

/// Opens an existing file for writing.
pub(super) fn open(dir: &Dir, path: &str, access: OFlags) -> io::Result<File> {
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(&dir.file, path, flags, Mode::empty());
    opened.map(File::from).map_err(|error| dir.at(path, error))
}

/// Deletes a file, if it exists.
pub(super) fn delete(dir: &Dir, path: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(&dir.file, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(dir.at(path, error)),
    }
}

fn is_hex(text: &str) -> bool {
    text.len() == HEX_DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn random_hex() -> io::Result<String> {
    let mut random = [0_u8; HEX_DIGITS / 2];
    // Reads of up to 256 bytes are never short.
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(hex::encode(random))
}
