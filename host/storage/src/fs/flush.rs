//! Makes objects survive a loss of power.
//!
//! The kernel reports a failed write to who flushes next, and only once: a second flush that succeeds proves nothing. So an `fsync`
//! that fails with what a failed write is reported as ([`is_lost_write`]) gives the object up. Everything before it, such as
//! opening the file, says nothing of the bytes, and is tried again.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs::File, io};

use rustix::{fs::OFlags, io::Errno};

use super::{
    errors,
    layout::{self, Dirs, ObjectPath},
};
use crate::{FlushError, ObjectName, StorageError};

const CONTEXT: &str = "flush an object";

/// Why an object may not be on the disk.
#[derive(Debug, thiserror::Error)]
#[error("{object} may not be on the disk: {cause}")]
struct NotFlushed {
    object: String,
    cause: String,
}

/// Flushes a file or directory.
pub(super) type Sync = fn(&File) -> io::Result<()>;

/// Writes the objects and the directories that they are in to the disk, and says of each what became of it. Objects that are
/// not there are passed over: they were removed meanwhile. Waits for the disk.
pub(super) fn flush(dirs: &Dirs, objects: &[ObjectName]) -> Vec<Result<(), FlushError>> {
    flush_with(dirs, objects, File::sync_data, File::sync_all)
}

fn flush_with(
    dirs: &Dirs,
    objects: &[ObjectName],
    sync_file: Sync,
    sync_directory: Sync,
) -> Vec<Result<(), FlushError>> {
    let mut shards: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(objects.len());
    for (at, object) in objects.iter().enumerate() {
        let flushed = match ObjectPath::parse(object.as_str()) {
            Some(path) => sync(dirs, path.as_str(), OFlags::RDONLY, sync_file)
                .map(|()| shards.entry(path.shard().to_owned()).or_default().push(at)),
            // A name that was not made here names nothing.
            None => Ok(()),
        };
        outcomes.push(flushed.or_else(|failure| failure.outcome(object)));
    }
    for (shard, flushed) in shards {
        if let Err(failure) = sync(dirs, &shard, OFlags::DIRECTORY, sync_directory) {
            // Whether the names of these are on the disk is not known either.
            flushed.into_iter().for_each(|at| outcomes[at] = failure.outcome(&objects[at]));
        }
    }
    outcomes
}

/// At which step it failed.
enum Failure {
    Open(io::Error),
    Sync(io::Error),
}

fn sync(dirs: &Dirs, path: &str, access: OFlags, sync: Sync) -> Result<(), Failure> {
    let file = layout::open(&dirs.objects, path, access).map_err(Failure::Open)?;
    sync(&file).map_err(Failure::Sync)
}

impl Failure {
    fn outcome(&self, object: &ObjectName) -> Result<(), FlushError> {
        let not_flushed = |error: &io::Error| {
            let not_flushed = NotFlushed { object: object.to_string(), cause: error.to_string() };
            errors::unavailable(CONTEXT, not_flushed)
        };
        match self {
            Self::Open(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Self::Sync(error) if is_lost_write(error) => Err(FlushError::Lost(not_flushed(error))),
            Self::Open(error) | Self::Sync(error) => Err(FlushError::Retry(not_flushed(error))),
        }
    }
}

/// Whether an error of an `fsync` says that bytes were lost on their way to the disk.
fn is_lost_write(error: &io::Error) -> bool {
    let lost = [Errno::IO, Errno::NOSPC, Errno::DQUOT].map(|errno| Some(errno.raw_os_error()));
    lost.contains(&error.raw_os_error())
}

/// What is said of objects for which there was no thread.
pub(super) fn not_tried(objects: &[ObjectName], error: &StorageError) -> Vec<Result<(), FlushError>> {
    let retry = |_| Err(FlushError::Retry(errors::unavailable(CONTEXT, error.to_string())));
    objects.iter().map(retry).collect()
}
