//! The directory on `wasi:filesystem`: the one that `--dir` preopens.

use super::{Content, Directory, FileError, Renamed, Result, Stat, parent};
use crate::bindings::{
    wasi::filesystem::{
        preopens,
        types::{Descriptor, DescriptorFlags, DescriptorStat, ErrorCode, NewTimestamp, OpenFlags, PathFlags},
    },
    wit_stream,
};

/// What an operator reads who gave no directory.
const NO_DIRECTORY: &str =
    "there is no directory to store in: run `wasmtime serve` with --dir DIRECTORY::/data";

/// How often a folder is listed until no name in it was renamed or deleted meanwhile: wasmtime looks
/// at each file that it lists, and a listing ends with an error at one that is gone.
const LIST_ATTEMPTS: u32 = 100;

/// A preopened directory.
#[derive(Clone, Copy)]
pub(crate) struct WasiDirectory(&'static Descriptor);

impl WasiDirectory {
    /// Returns the directory that was preopened; `/data` if there are several. Leaked: it lives as
    /// long as the instance.
    ///
    /// # Errors
    /// When there is none, or several and none is `/data`. The text is for the operator.
    pub(crate) fn preopened() -> std::result::Result<Self, String> {
        let mut given = preopens::get_directories();
        let place = match given.iter().position(|(_, name)| name == "/data") {
            Some(place) => place,
            None if given.len() == 1 => 0,
            None if given.is_empty() => return Err(NO_DIRECTORY.to_owned()),
            None => return Err(format!("{NO_DIRECTORY} (several are given, and none is /data)")),
        };
        Ok(Self(Box::leak(Box::new(given.swap_remove(place).0))))
    }

    /// Opens a file for reading, or returns `None` if there is none.
    pub(crate) async fn open(&self, path: &str) -> Result<Option<Descriptor>> {
        let opened =
            self.0.open_at(PathFlags::empty(), path.to_owned(), OpenFlags::empty(), DescriptorFlags::READ);
        found("open", path, opened.await)
    }

    /// Makes a file for writing. Returns `None` if the folder is missing.
    pub(crate) async fn create_new(&self, path: &str) -> Result<Option<Descriptor>> {
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let opened = self.0.open_at(PathFlags::empty(), path.to_owned(), flags, DescriptorFlags::WRITE);
        found("create", path, opened.await)
    }
}

pub(crate) fn failed(call: &str, path: &str, error: ErrorCode) -> FileError {
    match error {
        ErrorCode::InsufficientSpace | ErrorCode::Quota => FileError::NoSpace,
        error => FileError::Failed(format!("{call} {path}: {error:?}")),
    }
}

fn found<T>(call: &str, path: &str, result: std::result::Result<T, ErrorCode>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ErrorCode::NoEntry) => Ok(None),
        Err(error) => Err(failed(call, path, error)),
    }
}

fn fresh(call: &str, path: &str, result: std::result::Result<(), ErrorCode>) -> Result<Option<bool>> {
    match result {
        Err(ErrorCode::Exist) => Ok(Some(false)),
        result => Ok(found(call, path, result)?.map(|()| true)),
    }
}

pub(crate) fn stat_of(stat: &DescriptorStat) -> Stat {
    let modified = stat.data_modification_timestamp.as_ref();
    let ms = |seconds: i64, nanoseconds: u32| {
        u64::try_from(seconds).unwrap_or(0).saturating_mul(1000) + u64::from(nanoseconds / 1_000_000)
    };
    Stat { size_bytes: stat.size, modified_ms: modified.map_or(0, |at| ms(at.seconds, at.nanoseconds)) }
}

/// Writes bytes to the beginning of a file.
async fn write(file: &Descriptor, bytes: &[u8]) -> std::result::Result<(), ErrorCode> {
    let (mut writer, reader) = wit_stream::new::<u8>();
    let done = file.write_via_stream(reader, 0);
    let left = writer.write_all(bytes.to_vec()).await;
    drop(writer);
    done.await?;
    if left.is_empty() { Ok(()) } else { Err(ErrorCode::Io) }
}

impl Directory for WasiDirectory {
    async fn read(&self, path: &str) -> Result<Option<Content>> {
        let Some(file) = self.open(path).await? else { return Ok(None) };
        let stat = file.stat().await.map_err(|error| failed("stat", path, error))?;
        let stat = stat_of(&stat);
        let (stream, end) = file.read_via_stream(0);
        let bytes = stream.collect().await;
        end.await.map_err(|error| failed("read", path, error))?;
        Ok(Some(Content { bytes, modified_ms: stat.modified_ms }))
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>> {
        let stat = found("stat", path, self.0.stat_at(PathFlags::empty(), path.to_owned()).await)?;
        Ok(stat.as_ref().map(stat_of))
    }

    async fn list(&self, path: &str) -> Result<Vec<String>> {
        let mut left = LIST_ATTEMPTS;
        loop {
            let flags = OpenFlags::DIRECTORY;
            let opened = self.0.open_at(PathFlags::empty(), path.to_owned(), flags, DescriptorFlags::READ);
            let Some(folder) = found("open", path, opened.await)? else { return Ok(Vec::new()) };
            let (stream, end) = folder.read_directory();
            let entries = stream.collect().await;
            left -= 1;
            match end.await {
                Ok(()) => return Ok(entries.into_iter().map(|entry| entry.name).collect()),
                Err(ErrorCode::NoEntry) if left > 0 => {}
                Err(error) => return Err(failed("list", path, error)),
            }
        }
    }

    async fn create(&self, path: &str, bytes: &[u8]) -> Result<Option<bool>> {
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let opened = self.0.open_at(PathFlags::empty(), path.to_owned(), flags, DescriptorFlags::WRITE);
        let file = match opened.await {
            Ok(file) => file,
            Err(error) => return fresh("create", path, Err(error)),
        };
        if bytes.is_empty() {
            return Ok(Some(true));
        }
        if let Err(error) = write(&file, bytes).await {
            let _ = self.unlink(path).await;
            return Err(failed("write", path, error));
        }
        Ok(Some(true))
    }

    async fn link(&self, from: &str, to: &str) -> Result<Option<bool>> {
        fresh("link", to, self.0.link_at(PathFlags::empty(), from.to_owned(), self.0, to.to_owned()).await)
    }

    async fn rename(&self, from: &str, to: &str) -> Result<Renamed> {
        match self.0.rename_at(from.to_owned(), self.0, to.to_owned()).await {
            Ok(()) => Ok(Renamed::Done),
            Err(ErrorCode::NoEntry) => Ok(Renamed::Missing),
            Err(ErrorCode::NotEmpty | ErrorCode::Exist) => Ok(Renamed::Taken),
            Err(error) => Err(failed("rename", to, error)),
        }
    }

    async fn unlink(&self, path: &str) -> Result<bool> {
        Ok(found("unlink", path, self.0.unlink_file_at(path.to_owned()).await)?.is_some())
    }

    async fn make_folder(&self, path: &str) -> Result<()> {
        let mut missing = vec![path];
        while let Some(folder) = missing.last().copied().filter(|folder| !folder.is_empty()) {
            match self.0.create_directory_at(folder.to_owned()).await {
                Ok(()) | Err(ErrorCode::Exist) => drop(missing.pop()),
                Err(ErrorCode::NoEntry) if !parent(folder).is_empty() => missing.push(parent(folder)),
                Err(error) => return Err(failed("make folder", folder, error)),
            }
        }
        Ok(())
    }

    async fn remove_folder(&self, path: &str) -> Result<()> {
        match self.0.remove_directory_at(path.to_owned()).await {
            Ok(()) | Err(ErrorCode::NoEntry | ErrorCode::NotEmpty | ErrorCode::Exist) => Ok(()),
            Err(error) => Err(failed("remove folder", path, error)),
        }
    }

    async fn set_modified(&self, path: &str, ms: u64) -> Result<bool> {
        let at = crate::bindings::wasi::clocks::system_clock::Instant {
            seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            nanoseconds: (ms % 1000) as u32 * 1_000_000,
        };
        let set = self.0.set_times_at(
            PathFlags::empty(),
            path.to_owned(),
            NewTimestamp::NoChange,
            NewTimestamp::Timestamp(at),
        );
        Ok(found("set the time of", path, set.await)?.is_some())
    }

    async fn sync(&self, path: &str) -> Result<()> {
        let Some(file) = self.open(path).await? else { return Ok(()) };
        file.sync().await.map_err(|error| failed("sync", path, error))
    }
}
