//! Makes objects survive a loss of power.

use std::{collections::BTreeSet, io};

use rustix::fs::OFlags;

use super::{
    errors,
    layout::{self, Dirs, ObjectPath},
};
use crate::storage::{ObjectName, StorageError};

const CONTEXT: &str = "flush an object";

/// Why an object may be lost.
#[derive(Debug, thiserror::Error)]
#[error("{object} may not be on the disk")]
struct NotFlushed {
    object: String,
    #[source]
    source: io::Error,
}

/// Writes the objects and the directories that they are in to the disk. Objects that are not there are passed over: they
/// were removed meanwhile. Waits for the disk.
pub(super) fn flush(dirs: &Dirs, objects: &[ObjectName]) -> Result<(), StorageError> {
    let paths: Vec<ObjectPath> =
        objects.iter().filter_map(|object| ObjectPath::parse(object.as_str())).collect();
    let mut shards = BTreeSet::new();
    for path in &paths {
        if flush_file(dirs, path).map_err(|error| not_flushed(path.name().as_str(), error))? {
            shards.insert(path.shard());
        }
    }
    for shard in shards {
        let flushed = layout::open(&dirs.objects, shard, OFlags::DIRECTORY).and_then(|dir| dir.sync_all());
        flushed.map_err(|error| not_flushed(shard, error))?;
    }
    Ok(())
}

/// The kernel reports a failed write to the next one who asks, even if that is not the one who wrote; and only once.
fn flush_file(dirs: &Dirs, path: &ObjectPath) -> io::Result<bool> {
    match layout::open(&dirs.objects, path.as_str(), OFlags::RDONLY) {
        Ok(file) => file.sync_data().map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn not_flushed(object: &str, source: io::Error) -> StorageError {
    errors::unavailable(CONTEXT, NotFlushed { object: object.to_owned(), source })
}
