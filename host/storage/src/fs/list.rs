//! Lists objects and uploads, in the order of their names.
//!
//! The cursor is the last name of the page before, so it stays valid when that is removed.

use std::{collections::BTreeMap, ffi::CStr, fs::File, io};

use rustix::fs::{AtFlags, OFlags};

use super::{
    dirs::{Dir, Dirs},
    errors,
    layout::{self, Kind, ObjectPath},
};
use crate::{Listed, ObjectName, Page, StorageError, UploadName};

const PAGE_ITEMS: usize = 1000;
const CONTEXT: &str = "listing a directory";

/// The unit of `st_blocks`, whatever the file system's block size.
const STAT_BLOCK_BYTES: u64 = 512;

/// Returns a page of objects. Blocks on the disk.
pub(super) fn objects(dirs: &Dirs, from: Option<&str>) -> Result<Page<ObjectName>, StorageError> {
    let after = from.map(|name| ObjectPath::parse(name).ok_or_else(bad_cursor)).transpose()?;
    let first = after.as_ref().map_or(0, |after| u8::from_str_radix(after.shard(), 16).unwrap_or(0));
    let mut items = Vec::new();
    for shard in first..=u8::MAX {
        let room = PAGE_ITEMS - items.len();
        let paths = shard_after(dirs, shard, after.as_ref()).map_err(errors::failed(CONTEXT))?;
        for path in paths.iter().take(room) {
            let file = file_status(&dirs.objects, path.as_str()).map_err(errors::failed(CONTEXT))?;
            items.extend(file.map(|file| {
                // The file of a segmented one has holes.
                let size_bytes = if path.kind == Kind::Plain { file.length } else { file.space() };
                Listed { name: path.name(), modified_ms: file.modified_ms, size_bytes }
            }));
        }
        if paths.len() >= room {
            let next = paths.get(room - 1).map(|path| path.name().as_str().to_owned());
            return Ok(Page { items, next });
        }
    }
    Ok(Page { items, next: None })
}

/// Returns the objects of one directory that come after `after`, sorted.
fn shard_after(dirs: &Dirs, shard: u8, after: Option<&ObjectPath>) -> io::Result<Vec<ObjectPath>> {
    let key = |path: &ObjectPath| (path.hex().to_owned(), path.name());
    let after = after.map(key);
    let shard = hex::encode([shard]);
    let dir = match layout::open(&dirs.objects, &shard, OFlags::DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        dir => dir?,
    };
    let mut paths = Vec::new();
    each_name(&dir, |name| {
        let path = ObjectPath::parse(name).filter(|path| path.shard() == shard);
        paths.extend(path.filter(|path| after.as_ref().is_none_or(|after| key(path) > *after)));
    })?;
    paths.sort_by_cached_key(key);
    Ok(paths)
}

/// Returns a page of uploads. Blocks on the disk.
pub(super) fn uploads(dirs: &Dirs, from: Option<&str>) -> Result<Page<UploadName>, StorageError> {
    let after = from.map(|name| UploadName::parse(name).map_err(|_| bad_cursor())).transpose()?;
    let mut files: BTreeMap<UploadName, Vec<String>> = BTreeMap::new();
    each_upload_file(dirs, |upload, file| {
        if Some(&upload) > after.as_ref() {
            files.entry(upload).or_default().push(file.to_owned());
        }
    })
    .map_err(errors::failed(CONTEXT))?;
    let next = files.keys().nth(PAGE_ITEMS - 1).filter(|_| files.len() > PAGE_ITEMS).map(ToString::to_string);
    let mut items = Vec::new();
    for (name, files) in files.into_iter().take(PAGE_ITEMS) {
        let files: Vec<FileStatus> = statuses(dirs, &files).map_err(errors::failed(CONTEXT))?;
        let size_bytes = files.iter().map(FileStatus::space).sum();
        let newest = files.iter().map(|file| file.modified_ms).max();
        items.extend(newest.map(|modified_ms| Listed { name, modified_ms, size_bytes }));
    }
    Ok(Page { items, next })
}

/// Returns the files of an upload.
pub(super) fn files_of(dirs: &Dirs, wanted: &UploadName) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    each_upload_file(dirs, |upload, file| {
        if upload == *wanted {
            files.push(file.to_owned());
        }
    })?;
    Ok(files)
}

fn each_upload_file(dirs: &Dirs, mut visit: impl FnMut(UploadName, &str)) -> io::Result<()> {
    let dir = match layout::open(&dirs.uploads, ".", OFlags::DIRECTORY) {
        // Made with the first upload.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        dir => dir?,
    };
    each_name(&dir, |file| {
        if let Some(upload) = layout::upload_of(file) {
            visit(upload, file);
        }
    })
}

fn statuses(dirs: &Dirs, files: &[String]) -> io::Result<Vec<FileStatus>> {
    files.iter().filter_map(|file| file_status(&dirs.uploads, file).transpose()).collect()
}

/// Calls `visit` with the name of each file in a directory.
pub(super) fn each_name(dir: &File, mut visit: impl FnMut(&str)) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        if let Ok(name) = CStr::to_str(entry?.file_name()) {
            visit(name);
        }
    }
    Ok(())
}

/// What a listing shows of a file.
struct FileStatus {
    modified_ms: u64,
    length: u64,
    /// Space on the disk, which may be less for holes, and more for the end of the last block.
    allocated: u64,
}

impl FileStatus {
    /// The space that a file with holes takes.
    fn space(&self) -> u64 {
        self.allocated.min(self.length)
    }
}

/// Returns `None` if the file does not exist.
fn file_status(dir: &Dir, path: &str) -> io::Result<Option<FileStatus>> {
    match rustix::fs::statat(&dir.file, &*dir.resolve(path), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
            Ok(Some(FileStatus {
                modified_ms: seconds.saturating_mul(1000).saturating_add(stat.st_mtime_nsec / 1_000_000),
                length: u64::try_from(stat.st_size).unwrap_or(0),
                allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(STAT_BLOCK_BYTES),
            }))
        }
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(dir.at(path, error)),
    }
}

fn bad_cursor() -> StorageError {
    StorageError::Invalid("invalid cursor of a listing".to_owned())
}
