//! The identity of the storage, in a file in its root.

use std::{
    io::{self, Read},
    os::unix::fs::FileExt,
};

use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::{dirs::Dirs, errors, layout};
use crate::StorageError;

pub(super) const CONTEXT: &str = "reading or writing the identity of the storage";

const NAME: &str = "identity";
/// The temporary file, renamed when it is complete.
const FRESH: &str = "identity.new";
/// Longest identity that Larder writes, and more.
const MAX_BYTES: u64 = 256;

/// Only this process uses the directory, so a lock of its threads suffices.
static TURN: Mutex<()> = Mutex::new(());

/// Reads the identity; `None` if there is no file. Blocks on the disk.
pub(super) fn read(dirs: &Dirs) -> Result<Option<String>, StorageError> {
    let file = match layout::open(&dirs.root, NAME, OFlags::RDONLY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(errors::failed(CONTEXT))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(errors::failed(CONTEXT))?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// Writes the identity if there is none or `replace` is set; returns the one that it has then.
/// Blocks on the disk.
pub(super) fn write(dirs: &Dirs, identity: &str, replace: bool) -> Result<String, StorageError> {
    let _turn = TURN.lock();
    if let Some(known) = read(dirs)?.filter(|_| !replace) {
        return Ok(known);
    }
    replace_file(dirs, identity).map_err(errors::failed(CONTEXT))?;
    Ok(identity.to_owned())
}

fn replace_file(dirs: &Dirs, identity: &str) -> io::Result<()> {
    let root = &dirs.root;
    layout::delete(root, FRESH)?;
    let file = layout::create(root, FRESH)?;
    file.write_all_at(identity.as_bytes(), 0)
        .and_then(|()| file.sync_all())
        .map_err(|error| root.at(FRESH, error))?;
    layout::rename(root, FRESH, root, NAME)?;
    root.sync()
}

/// Deletes it. Blocks on the disk.
pub(super) fn remove(dirs: &Dirs) -> io::Result<()> {
    let _turn = TURN.lock();
    layout::delete(&dirs.root, FRESH)?;
    layout::delete(&dirs.root, NAME)
}
