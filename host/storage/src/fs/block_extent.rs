//! The extent of one block in the data file of an upload, while it is received.
//!
//! A block that does not complete takes no space: its extent is cut off the end of the file, or
//! punched out of its middle, as soon as the block has failed.

use std::{
    fmt,
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    errors,
    files::UploadFiles,
    staging::{self, OpenUpload, UploadState},
    sys,
    uploads::UploadHandle,
    writer::WriteTarget,
};
use crate::{StorageError, extents::Extent};

/// The extent of a block. Freed on drop unless the block is complete.
pub(super) struct BlockExtent {
    pub(super) handle: UploadHandle,
    pub(super) files: Arc<UploadFiles>,
    pub(super) extent: Extent,
    pub(super) is_complete: AtomicBool,
}

impl fmt::Debug for BlockExtent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("extent", &self.extent).finish_non_exhaustive()
    }
}

impl WriteTarget for BlockExtent {
    fn file(&self) -> Result<Arc<File>, StorageError> {
        self.files.data().map_err(|error| match error.kind() {
            // The upload was committed or discarded.
            io::ErrorKind::NotFound => staging::closed(),
            _ => errors::failed(staging::CONTEXT)(error),
        })
    }

    fn is_open(&self) -> bool {
        self.files.is_open()
    }
}

impl Drop for BlockExtent {
    fn drop(&mut self) {
        if self.is_complete.load(Relaxed) {
            return;
        }
        // No one writes there any more: writers hold the place.
        let (files, extent) = (Arc::clone(&self.files), self.extent);
        let locked =
            Arc::clone(&self.handle).try_lock_owned().ok().filter(|phase| is_last(phase, &files, extent));
        let Some(mut locked) = locked else { return free(&self.handle, &files, extent) };
        // The last extent is given to the next block, so that one failed transfer does not make the
        // object segmented. The upload is locked until the file ends there: the next block's bytes
        // must not be cut off.
        self.files.in_background(move || {
            if let UploadState::Open(staging) = &mut *locked
                && files.data().and_then(|data| sys::cut(&data, extent.offset)).is_ok()
            {
                staging.end = extent.offset;
            }
        });
    }
}

fn is_last(phase: &UploadState, files: &Arc<UploadFiles>, extent: Extent) -> bool {
    let is_last = |staging: &OpenUpload| staging.owns(files) && staging.end == extent.end();
    matches!(phase, UploadState::Open(staging) if is_last(staging))
}

/// Frees space that nothing refers to. Until that is done the upload is not forgotten: if it were
/// read back, it could use the extent again.
pub(super) fn free(handle: &UploadHandle, files: &Arc<UploadFiles>, extent: Extent) {
    let (handle, owned) = (Arc::clone(handle), Arc::clone(files));
    files.in_background(move || {
        // A deleted file has freed its space.
        if let Ok(data) = owned.data() {
            sys::punch(&data, extent.offset, extent.length);
        }
        drop(handle);
    });
}
