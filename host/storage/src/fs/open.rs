//! Opens objects: their sizes, and the extents of their content.
//!
//! Results that the kernel has in memory are returned in place; only calls that wait for the disk
//! go to another thread (`disk`).

use std::{fs::File, io, ops::Range, sync::Arc};

use rustix::fs::{AtFlags, FileType};

use super::{
    budget::Budget,
    dirs::Dirs,
    disk::Disk,
    errors,
    layout::{Kind, ObjectPath},
    read,
    segments::Footer,
    sys::{self, MayBlock},
};
use crate::{
    Content, ObjectName, StorageError,
    extents::{self, Extent},
};

const CONTEXT: &str = "opening an object";

/// An open object.
struct Opened {
    file: File,
    size_bytes: u64,
    extents: Vec<Extent>,
}

/// Returns an object's size. For a plain one that is one system call, made in place while the disk
/// is fast: it is on the path of every lookup.
pub(super) async fn stat(disk: &Arc<Disk>, object: &ObjectName) -> Result<u64, StorageError> {
    query(disk, object, |dirs, path, may_block| match path.kind {
        Kind::Plain => plain_size(dirs, path),
        Kind::Segmented => Ok(open(dirs, path, may_block)?.map(|(_, _, size_bytes)| size_bytes)),
    })
    .await
}

fn plain_size(dirs: &Dirs, path: &ObjectPath) -> io::Result<Option<u64>> {
    let found = rustix::fs::statat(
        &dirs.objects.file,
        &*dirs.objects.resolve(path.as_str()),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(|error| dirs.objects.at(path.as_str(), error))?;
    let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    Ok(u64::try_from(found.st_size).ok().filter(|_| is_file))
}

/// Opens an object, or a range of it.
pub(super) async fn content(
    disk: &Arc<Disk>,
    budget: &Arc<Budget>,
    object: &ObjectName,
    size_bytes: u64,
    range: Option<Range<u64>>,
) -> Result<Content, StorageError> {
    let range = range.unwrap_or(0..size_bytes);
    if range.start > range.end || range.end > size_bytes {
        return Err(StorageError::Invalid("the range is outside the object".to_owned()));
    }
    let descriptor = disk.download_descriptor().await?;
    let opened = query(disk, object, open_extents).await?;
    if opened.size_bytes != size_bytes {
        return Err(StorageError::NotFound);
    }
    let pieces = extents::slice(&opened.extents, &range);
    read::content(disk, opened.file, descriptor, pieces, budget.transfer()).await
}

/// Runs a query about an object; what is no object is [`StorageError::NotFound`].
async fn query<T: Send + 'static>(
    disk: &Arc<Disk>,
    object: &ObjectName,
    call: fn(&Dirs, &ObjectPath, MayBlock) -> io::Result<Option<T>>,
) -> Result<T, StorageError> {
    let path = ObjectPath::parse(object.as_str()).ok_or(StorageError::NotFound)?;
    match disk.query(CONTEXT, move |dirs, may_block| call(dirs, &path, may_block)).await? {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(StorageError::NotFound),
        // Truncated while it was read.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(StorageError::NotFound),
        Err(error) => Err(errors::missing_or(CONTEXT)(error)),
    }
}

/// Opens the file and reads its footer, if it is segmented; returns the content's size. `None` if
/// it is no object.
fn open(
    dirs: &Dirs,
    path: &ObjectPath,
    may_block: MayBlock,
) -> io::Result<Option<(File, Option<Footer>, u64)>> {
    let file = sys::open(&dirs.objects, path.as_str(), may_block)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    match path.kind {
        Kind::Plain => Ok(Some((file, None, metadata.len()))),
        Kind::Segmented => {
            let footer = Footer::read(&file, metadata.len(), may_block)?;
            Ok(footer.map(|footer| (file, Some(footer), footer.size_bytes)))
        }
    }
}

fn open_extents(dirs: &Dirs, path: &ObjectPath, may_block: MayBlock) -> io::Result<Option<Opened>> {
    let Some((file, footer, size_bytes)) = open(dirs, path, may_block)? else { return Ok(None) };
    let extents = match footer {
        None => Some(vec![Extent { offset: 0, length: size_bytes }]),
        Some(footer) => footer.extents(&file, may_block)?,
    };
    Ok(extents.map(|extents| Opened { file, size_bytes, extents }))
}
