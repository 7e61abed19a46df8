//! The names of all files and directories below the root.
//!
//! ```text
//! lock                           held by the process that uses the root
//! identity                       which index the objects belong to
//! objects/3f/p-3f07…-<random>    plain: the file is the content
//! objects/3f/s-3f9c…-<random>    segmented: content, then a trailer (see `segments`)
//! uploads/<name>.data            the blocks of an upload, in the order of arrival
//! uploads/<name>.journal         which of them are complete (see `journal`)
//! uploads/<name>.spool-<random>  a block of unknown length, while it is received
//! tenants/<tenant>/              the same for another tenant, without a lock
//! ```
//!
//! An object's name begins with that of the upload that it was made of. Those of older releases are
//! random, without a second part.
//!
//! Only names that are checked here become paths. Files with other names are ignored.

use std::{fs::File, io};

use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};

use super::dirs::Dir;
use crate::{ObjectName, UploadName};

const HEX_DIGITS: usize = 32;
/// Digits that tell the objects of one upload apart.
const RANDOM_DIGITS: usize = 16;
pub(super) const FILE_MODE: Mode = Mode::from_raw_mode(0o600);

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

    /// Makes a name for an object of this upload.
    pub(super) fn of_upload(kind: Kind, upload: &UploadName) -> io::Result<Self> {
        Ok(Self::new(kind, &format!("{upload}-{}", random_hex(RANDOM_DIGITS)?)))
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
        let is_ours = match hex.split_once('-') {
            Some((upload, random)) => is_hex(upload, HEX_DIGITS) && is_hex(random, RANDOM_DIGITS),
            None => is_hex(hex, HEX_DIGITS),
        };
        is_ours.then(|| Self::new(kind, hex))
    }

    /// Returns whether it was made of this upload.
    pub(super) fn is_of(&self, upload: &UploadName) -> bool {
        self.hex().strip_prefix(upload.as_str()).is_some_and(|rest| rest.starts_with('-'))
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
        // At most 51 of the allowed characters, so it is valid.
        ObjectName(self.path[Self::NAME_AT..].to_owned())
    }
}

/// The directory of the objects of an upload.
pub(super) fn shard_of(upload: &UploadName) -> &str {
    &upload.as_str()[..2]
}

/// The directories of objects, relative to `objects`.
pub(super) fn shards() -> impl Iterator<Item = String> {
    (0..=u8::MAX).map(|shard| hex::encode([shard]))
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
    Ok(format!("{upload}.spool-{}", random_hex(HEX_DIGITS)?))
}

/// Returns the upload that a file in `uploads` belongs to.
pub(super) fn upload_of(file_name: &str) -> Option<UploadName> {
    let (upload, rest) = file_name.split_once('.')?;
    let ours = matches!(rest, "data" | "journal")
        || rest.strip_prefix("spool-").is_some_and(|random| is_hex(random, HEX_DIGITS));
    if ours { UploadName::parse(upload).ok() } else { None }
}

/// Creates a file that must not exist, and the directories that it needs.
pub(super) fn create(dir: &Dir, path: &str) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let create = || rustix::fs::openat(&dir.file, &*dir.resolve(path), flags, FILE_MODE);
    let created = match create() {
        Err(Errno::NOENT) if dir.make_parents(path)? => create(),
        created => created,
    };
    created.map(File::from).map_err(|error| dir.at(path, error))
}

/// Renames a file, and makes the directories that it needs. Returns whether there was one.
pub(super) fn rename(from: &Dir, old: &str, to: &Dir, new: &str) -> io::Result<bool> {
    let (old, resolved) = (from.resolve(old), to.resolve(new));
    let rename = || rustix::fs::renameat(&from.file, &*old, &to.file, &*resolved);
    let renamed = match rename() {
        // Either the file or the directory is missing.
        Err(Errno::NOENT) if to.make_parents(new)? => rename(),
        renamed => renamed,
    };
    match renamed {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(to.at(new, error)),
    }
}

/// Opens an existing file for writing.
pub(super) fn open(dir: &Dir, path: &str, access: OFlags) -> io::Result<File> {
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(&dir.file, &*dir.resolve(path), flags, Mode::empty());
    opened.map(File::from).map_err(|error| dir.at(path, error))
}

/// Deletes a file, if it exists.
pub(super) fn delete(dir: &Dir, path: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(&dir.file, &*dir.resolve(path), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(dir.at(path, error)),
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn random_hex(digits: usize) -> io::Result<String> {
    let mut random = [0_u8; HEX_DIGITS / 2];
    let random = &mut random[..digits / 2];
    // Reads of up to 256 bytes are never short.
    rustix::rand::getrandom(&mut *random, rustix::rand::GetRandomFlags::empty())?;
    Ok(hex::encode(random))
}
