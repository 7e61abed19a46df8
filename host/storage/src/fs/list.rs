//! Lists objects and uploads, in the order of their names.
//!
//! The cursor is the last name of the page before, so it stays valid when that is removed.

use std::{collections::BTreeMap, ffi::CStr, fs::File, io};

use rustix::fs::{AtFlags, OFlags};

use super::{
    dirs::{Dir, Dirs},
    errors,
    layout::{self, ObjectPath},
};
use crate::{Listed, ObjectName, Page, StorageError, UploadName};

const PAGE_ITEMS: usize = 1000;
const CONTEXT: &str = "listing a directory";

/// Returns a page of objects. Blocks on the disk.
pub(super) fn objects(dirs: &Dirs, from: Option<&str>) -> Result<Page<ObjectName>, StorageError> {
    let after = from.map(|name| ObjectPath::parse(name).ok_or_else(bad_cursor)).transpose()?;
    let first = after.as_ref().map_or(0, |after| u8::from_str_radix(after.shard(), 16).unwrap_or(0));
    let mut items = Vec::new();
    for shard in first..=u8::MAX {
        let room = PAGE_ITEMS - items.len();
        let paths = shard_after(dirs, shard, after.as_ref()).map_err(errors::failed(CONTEXT))?;
        for path in paths.iter().take(room) {
            let modified = modified_ms(&dirs.objects, path.as_str()).map_err(errors::failed(CONTEXT))?;
            items.extend(modified.map(|modified_ms| Listed { name: path.name(), modified_ms }));
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
        let modified = newest(dirs, &files).map_err(errors::failed(CONTEXT))?;
        items.extend(modified.map(|modified_ms| Listed { name, modified_ms }));
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

fn newest(dirs: &Dirs, files: &[String]) -> io::Result<Option<u64>> {
    let times: Vec<Option<u64>> =
        files.iter().map(|file| modified_ms(&dirs.uploads, file)).collect::<io::Result<_>>()?;
    Ok(times.into_iter().flatten().max())
}

fn each_name(dir: &File, mut visit: impl FnMut(&str)) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        if let Ok(name) = CStr::to_str(entry?.file_name()) {
            visit(name);
        }
    }
    Ok(())
}

/// When a file was last written, in milliseconds since 1970; `None` if it does not exist.
fn modified_ms(dir: &Dir, path: &str) -> io::Result<Option<u64>> {
    match rustix::fs::statat(&dir.file, &*dir.resolve(path), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
            Ok(Some(seconds.saturating_mul(1000).saturating_add(stat.st_mtime_nsec / 1_000_000)))
        }
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(dir.at(path, error)),
    }
}

fn bad_cursor() -> StorageError {
    StorageError::Invalid("invalid cursor of a listing".to_owned())
}
