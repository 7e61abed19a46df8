//! What tells that a file is another one than before, without reading it.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// When a file was written, its length and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp(i64, i64, u64, u64);

impl FileStamp {
    /// Returns the stamp of a file; `None` if it cannot be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let of = |file: Metadata| Self(file.mtime(), file.mtime_nsec(), file.len(), file.ino());
        fs::metadata(path).ok().map(of)
    }
}
