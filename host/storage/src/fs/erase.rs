//! Deletes all that is stored of an upload.

use std::io;

use rustix::fs::OFlags;

use super::{
    dirs::Dirs,
    errors,
    layout::{self, ObjectPath},
    list,
};
use crate::{ObjectName, StorageError, UploadName};

const CONTEXT: &str = "erasing an upload";

/// Deletes the files of an upload that was discarded, such as blocks that were being received, and the
/// objects that were made of it, except `kept`. Blocks on the disk: reads the directory that they are in.
pub(super) fn erase(dirs: &Dirs, upload: &UploadName, kept: Option<&ObjectName>) -> Result<(), StorageError> {
    let erase = || {
        for file in list::files_of(dirs, upload)? {
            layout::delete(&dirs.uploads, &file)?;
        }
        for path in objects_of(dirs, upload)? {
            if kept != Some(&path.name()) {
                layout::delete(&dirs.objects, path.as_str())?;
            }
        }
        Ok(())
    };
    erase().map_err(errors::failed(CONTEXT))
}

fn objects_of(dirs: &Dirs, upload: &UploadName) -> io::Result<Vec<ObjectPath>> {
    let shard = layout::shard_of(upload);
    let dir = match layout::open(&dirs.objects, shard, OFlags::DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        dir => dir?,
    };
    let mut paths = Vec::new();
    list::each_name(&dir, |name| {
        paths.extend(ObjectPath::parse(name).filter(|path| path.is_of(upload)));
    })?;
    Ok(paths)
}
