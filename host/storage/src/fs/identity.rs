//! Whose objects these are: a file in the root says so.

use std::{
    io::{self, Read},
    os::unix::fs::FileExt,
};

use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::{
    errors,
    layout::{self, Dirs},
};
use crate::StorageError;

pub(super) const CONTEXT: &str = "read or write the identity of the storage";

const NAME: &str = "identity";
/// Where it is written before it counts.
const FRESH: &str = "identity.new";
/// No identity is longer; a file that is was not made here.
const MAX_BYTES: u64 = 256;

/// The directory belongs to this process, so it is enough that its threads take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Returns what the file says; `None` where there is none. Waits for the disk.
pub(super) fn read(dirs: &Dirs) -> Result<Option<String>, StorageError> {
    let file = match layout::open(&dirs.root, NAME, OFlags::RDONLY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(errors::failed(CONTEXT))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(errors::failed(CONTEXT))?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// Writes the file, where there is none or it is to be replaced; returns what it says then. Waits for the disk.
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
    rustix::fs::renameat(&root.file, FRESH, &root.file, NAME).map_err(|error| root.at(NAME, error))?;
    root.file.sync_all()
}
