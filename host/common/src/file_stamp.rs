//! What tells that a file is another one than before, without reading it.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// When a file was written, its length and its number. Links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp(i64, i64, u64, u64);

impl FileStamp {
    /// Returns the stamp of a file; `None` if it cannot be looked at.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self(file.mtime(), file.mtime_nsec(), file.len(), file.ino()))
    }
}
