//! A place in the data file of an upload, for one block on its way in.
//!
//! What does not become a complete block takes no space: its place is cut off at the end of the file, or punched out of its middle,
//! as soon as the block has broken off or was refused.

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
    staging::{self, Phase, Staging},
    sys,
    uploads::UploadHandle,
    writer::Target,
};
use crate::{StorageError, extents::Extent};

/// A place for one block. Given back when the block does not become complete.
pub(super) struct Place {
    pub(super) handle: UploadHandle,
    pub(super) files: Arc<UploadFiles>,
    pub(super) extent: Extent,
    pub(super) is_complete: AtomicBool,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("extent", &self.extent).finish_non_exhaustive()
    }
}

impl Target for Place {
    fn file(&self) -> Result<Arc<File>, StorageError> {
        self.files.data().map_err(|error| match error.kind() {
            // The upload became an object, or is no more.
            io::ErrorKind::NotFound => staging::closed(),
            _ => errors::failed(staging::CONTEXT)(error),
        })
    }

    fn is_open(&self) -> bool {
        self.files.is_open()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_complete.load(Relaxed) {
            return;
        }
        // Nobody writes there any more: writers keep their place.
        let (files, extent) = (Arc::clone(&self.files), self.extent);
        let locked =
            Arc::clone(&self.handle).try_lock_owned().ok().filter(|phase| is_last(phase, &files, extent));
        let Some(mut locked) = locked else { return free(&self.handle, &files, extent) };
        // The last place can be given to another block, so that one broken transfer does not make the object segmented. It is
        // locked until the file ends there: bytes of the next block must not be cut off.
        self.files.in_background(move || {
            if let Phase::Open(staging) = &mut *locked
                && files.data().and_then(|data| sys::cut(&data, extent.offset)).is_ok()
            {
                staging.end = extent.offset;
            }
        });
    }
}

fn is_last(phase: &Phase, files: &Arc<UploadFiles>, extent: Extent) -> bool {
    let is_last = |staging: &Staging| staging.owns(files) && staging.end == extent.end();
    matches!(phase, Phase::Open(staging) if is_last(staging))
}

/// Gives space back that nothing refers to. As long as that is not done the upload is not forgotten: what is read back of it may
/// use the place again.
pub(super) fn free(handle: &UploadHandle, files: &Arc<UploadFiles>, extent: Extent) {
    let (handle, owned) = (Arc::clone(handle), Arc::clone(files));
    files.in_background(move || {
        // A file that is gone gave its space back.
        if let Ok(data) = owned.data() {
            sys::punch(&data, extent.offset, extent.length);
        }
        drop(handle);
    });
}
