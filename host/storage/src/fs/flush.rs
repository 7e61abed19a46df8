//! Makes objects durable against a loss of power.
//!
//! The kernel reports a failed write once, to the next caller of `fsync`: a second flush that
//! succeeds proves nothing. So an object is lost if its `fsync` fails like a failed write
//! ([`is_lost_write`]). Failures of earlier steps, such as opening the file, are retried.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs::File, io};

use rustix::{fs::OFlags, io::Errno};

use super::{
    dirs::Dirs,
    errors,
    layout::{self, ObjectPath},
};
use crate::{FlushError, ObjectName, StorageError};

const CONTEXT: &str = "flushing an object";

/// Why an object may not be on the disk.
#[derive(Debug, thiserror::Error)]
#[error("{object} may not be on the disk: {cause}")]
struct NotFlushed {
    object: String,
    cause: String,
}

/// Flushes a file or directory.
pub(super) type Sync = fn(&File) -> io::Result<()>;

/// Flushes the objects and their directories, and returns a result for each object. Objects that do
/// not exist were removed and are `Ok`. Blocks on the disk.
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
            // A name that this driver did not make.
            None => Ok(()),
        };
        outcomes.push(flushed.or_else(|failure| failure.outcome(object)));
    }
    // The names of these may not be on the disk either.
    let mut fail = |flushed: Vec<usize>, failure: &Failure| {
        flushed.into_iter().for_each(|at| outcomes[at] = failure.outcome(&objects[at]));
    };
    let mut named = Vec::new();
    for (shard, flushed) in shards {
        match sync(dirs, &shard, OFlags::DIRECTORY, sync_directory) {
            Ok(()) => named.extend(flushed),
            Err(failure) => fail(flushed, &failure),
        }
    }
    if !named.is_empty()
        && let Err(failure) = sync_made(dirs, sync_directory)
    {
        fail(named, &failure);
    }
    outcomes
}

/// Flushes the directories that were made with the files in them.
fn sync_made(dirs: &Dirs, sync: Sync) -> Result<(), Failure> {
    dirs.objects.made_with_files().into_iter().try_for_each(|path| {
        let directory = dirs.objects.open_made(path).map_err(Failure::Open)?;
        sync(&directory).map_err(Failure::Sync)
    })
}

/// The step that failed.
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

/// Whether this error of an `fsync` means that bytes could not be written.
fn is_lost_write(error: &io::Error) -> bool {
    let lost = [Errno::IO, Errno::NOSPC, Errno::DQUOT].map(|errno| Some(errno.raw_os_error()));
    lost.contains(&error.raw_os_error())
}

/// The result of all objects if there was no thread for them.
pub(super) fn not_tried(objects: &[ObjectName], error: &StorageError) -> Vec<Result<(), FlushError>> {
    let retry = |_| Err(FlushError::Retry(errors::unavailable(CONTEXT, error.to_string())));
    objects.iter().map(retry).collect()
}
