//! Finds objects: their size, and what of their file is to be read.
//!
//! What the kernel has in memory is answered in place; only what has to wait for a disk goes to another thread.

use std::{fs::File, io, ops::Range, sync::Arc};

use rustix::fs::{AtFlags, FileType};

use super::{
    errors,
    kernel::{self, How},
    layout::{Dirs, Kind, ObjectPath},
    read,
    segments::Footer,
};
use crate::storage::{
    Content, ObjectName, StorageError,
    budget::Budget,
    extents::{self, Extent},
};

const CONTEXT: &str = "open an object";

/// An object, open.
struct Opened {
    file: File,
    size_bytes: u64,
    extents: Vec<Extent>,
}

/// Returns an object's size. Of a plain one that is one system call, made in place: it is on the path of every look-up, and
/// seldom waits.
pub(super) async fn stat(dirs: &Arc<Dirs>, object: &ObjectName) -> Result<u64, StorageError> {
    if let Some(path) = ObjectPath::parse(object.as_str()).filter(|path| path.kind == Kind::Plain) {
        return plain_size(dirs, &path);
    }
    look(dirs, object, |dirs, path, how| Ok(open(dirs, path, how)?.map(|(_, _, size_bytes)| size_bytes)))
        .await
}

fn plain_size(dirs: &Dirs, path: &ObjectPath) -> Result<u64, StorageError> {
    let found = rustix::fs::statat(&dirs.objects, path.as_str(), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| errors::missing_or(CONTEXT)(error.into()))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(StorageError::NotFound);
    }
    u64::try_from(found.st_size).map_err(|_| StorageError::NotFound)
}

/// Opens an object, or a range of it.
pub(super) async fn content(
    dirs: &Arc<Dirs>,
    budget: &Arc<Budget>,
    object: &ObjectName,
    size_bytes: u64,
    range: Option<Range<u64>>,
) -> Result<Content, StorageError> {
    let range = range.unwrap_or(0..size_bytes);
    if range.start > range.end || range.end > size_bytes {
        return Err(StorageError::Invalid("the range is not within the object".to_owned()));
    }
    let opened = look(dirs, object, open_extents).await?;
    if opened.size_bytes != size_bytes {
        return Err(StorageError::NotFound);
    }
    let pieces = extents::slice(&opened.extents, &range);
    read::content(opened.file, pieces, budget.transfer()).await
}

/// Asks in place; where that would have to wait, asks again on another thread.
async fn look<T: Send + 'static>(
    dirs: &Arc<Dirs>,
    object: &ObjectName,
    ask: fn(&Dirs, &ObjectPath, How) -> io::Result<Option<T>>,
) -> Result<T, StorageError> {
    let path = ObjectPath::parse(object.as_str()).ok_or(StorageError::NotFound)?;
    let answer = match ask(dirs, &path, How::Cached) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let dirs = Arc::clone(dirs);
            errors::blocking(CONTEXT, move || Ok(ask(&dirs, &path, How::Waiting))).await?
        }
        answer => answer,
    };
    match answer {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(StorageError::NotFound),
        // Cut off while it was read.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(StorageError::NotFound),
        Err(error) => Err(errors::missing_or(CONTEXT)(error)),
    }
}

/// Opens the file and reads its footer, if it has to have one; returns the content's size. `None` where it is no object.
fn open(dirs: &Dirs, path: &ObjectPath, how: How) -> io::Result<Option<(File, Option<Footer>, u64)>> {
    let file = kernel::open(&dirs.objects, path.as_str(), how)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    match path.kind {
        Kind::Plain => Ok(Some((file, None, metadata.len()))),
        Kind::Segmented => {
            let footer = Footer::read(&file, metadata.len(), how)?;
            Ok(footer.map(|footer| (file, Some(footer), footer.size_bytes)))
        }
    }
}

fn open_extents(dirs: &Dirs, path: &ObjectPath, how: How) -> io::Result<Option<Opened>> {
    let Some((file, footer, size_bytes)) = open(dirs, path, how)? else { return Ok(None) };
    let extents = match footer {
        None => Some(vec![Extent { offset: 0, length: size_bytes }]),
        Some(footer) => footer.extents(&file, how)?,
    };
    Ok(extents.map(|extents| Opened { file, size_bytes, extents }))
}
