//! Corrects the times of files that were written while a clock was wrong.

use std::io;

use rustix::{
    fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT},
    io::Errno,
};

use super::{
    dirs::{Dir, Dirs},
    errors,
    layout::ObjectPath,
    list,
};
use crate::{ObjectName, StorageError, UploadName};

pub(super) const CONTEXT: &str = "correcting the time of a file";

/// See [`Storage::set_object_time`](crate::Storage::set_object_time). Blocks on the disk.
pub(super) fn set_of_object(dirs: &Dirs, object: &ObjectName, modified_ms: u64) -> Result<(), StorageError> {
    // Another name was not made by this driver.
    let Some(path) = ObjectPath::parse(object.as_str()) else { return Ok(()) };
    set(&dirs.objects, path.as_str(), modified_ms).map_err(errors::failed(CONTEXT))
}

/// The same for all files of an upload. Blocks on the disk.
pub(super) fn set_of_upload(dirs: &Dirs, upload: &UploadName, modified_ms: u64) -> Result<(), StorageError> {
    let set_all =
        || list::files_of(dirs, upload)?.iter().try_for_each(|f| set(&dirs.uploads, f, modified_ms));
    set_all().map_err(errors::failed(CONTEXT))
}

fn set(dir: &Dir, path: &str, modified_ms: u64) -> io::Result<()> {
    let modified = Timespec {
        tv_sec: i64::try_from(modified_ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(modified_ms % 1000 * 1_000_000).unwrap_or_default(),
    };
    let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access: unchanged, last_modification: modified };
    match rustix::fs::utimensat(&dir.file, &*dir.resolve(path), &times, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(dir.at(path, error)),
    }
}
