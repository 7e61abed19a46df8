//! The same calls on a native file system, for tests, with crashes at any call.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

use std::{
    cell::Cell,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Content, Directory, FileError, Renamed, Result, Stat};

/// A directory, and the number of calls that change something until it fails for good.
pub(crate) struct NativeDirectory {
    root: PathBuf,
    left: Cell<usize>,
}

impl NativeDirectory {
    pub(crate) fn new(root: &Path) -> Self {
        Self::crashing_after(root, usize::MAX)
    }

    /// A directory whose calls fail after this many changes, as if the process had been killed.
    pub(crate) fn crashing_after(root: &Path, changes: usize) -> Self {
        Self { root: root.to_owned(), left: Cell::new(changes) }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Counts a change.
    fn change(&self) -> Result<()> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| FileError::Failed("killed".to_owned()))?;
        self.left.set(left);
        Ok(())
    }
}

/// Runs a future that never waits.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("native calls do not wait"),
    }
}

fn failed(error: io::Error) -> FileError {
    FileError::Failed(error.to_string())
}

fn modified_ms(metadata: &fs::Metadata) -> u64 {
    let since = metadata.modified().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

/// `None` for what does not exist.
fn found<T>(result: io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// `Some(false)` for what exists already.
fn fresh(result: io::Result<()>) -> Result<Option<bool>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Some(false)),
        result => Ok(found(result)?.map(|()| true)),
    }
}

impl Directory for NativeDirectory {
    async fn read(&self, path: &str) -> Result<Option<Content>> {
        let Some(bytes) = found(fs::read(self.path(path)))? else { return Ok(None) };
        let stat = found(fs::metadata(self.path(path)))?;
        Ok(stat.map(|stat| Content { bytes, modified_ms: modified_ms(&stat) }))
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>> {
        let stat = found(fs::metadata(self.path(path)))?;
        Ok(stat.map(|stat| Stat { size_bytes: stat.len(), modified_ms: modified_ms(&stat) }))
    }

    async fn list(&self, path: &str) -> Result<Vec<String>> {
        let Some(entries) = found(fs::read_dir(self.path(path)))? else { return Ok(Vec::new()) };
        Ok(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
    }

    async fn create(&self, path: &str, bytes: &[u8]) -> Result<Option<bool>> {
        self.change()?;
        let mut file = match fs::File::create_new(self.path(path)) {
            Ok(file) => file,
            Err(error) => return fresh(Err(error)),
        };
        file.write_all(bytes).map_err(failed)?;
        Ok(Some(true))
    }

    async fn link(&self, from: &str, to: &str) -> Result<Option<bool>> {
        self.change()?;
        fresh(fs::hard_link(self.path(from), self.path(to)))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<Renamed> {
        self.change()?;
        match fs::rename(self.path(from), self.path(to)) {
            Ok(()) => Ok(Renamed::Done),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Renamed::Missing),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(Renamed::Taken),
            Err(error) => Err(failed(error)),
        }
    }

    async fn unlink(&self, path: &str) -> Result<bool> {
        self.change()?;
        Ok(found(fs::remove_file(self.path(path)))?.is_some())
    }

    async fn make_folder(&self, path: &str) -> Result<()> {
        self.change()?;
        fs::create_dir_all(self.path(path)).map_err(failed)
    }

    async fn remove_folder(&self, path: &str) -> Result<()> {
        self.change()?;
        match fs::remove_dir(self.path(path)) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                found(Err(error)).map(|_: Option<()>| ())
            }
            _ => Ok(()),
        }
    }

    async fn set_modified(&self, path: &str, ms: u64) -> Result<bool> {
        self.change()?;
        let Some(file) = found(fs::File::open(self.path(path)))? else { return Ok(false) };
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)).map_err(failed)?;
        Ok(true)
    }

    async fn sync(&self, _path: &str) -> Result<()> {
        Ok(())
    }
}
