//! The directory that everything is stored in, as the rest of the provider sees it: the calls of
//! WASI that are atomic, and nothing else.
//!
//! Several instances use one directory at once, and WASI has no locks. So every decision is made by
//! one call of which the file system lets exactly one caller succeed: [`Directory::create`],
//! [`Directory::link`], [`Directory::unlink`], and [`Directory::rename`] of a name that nobody ever
//! makes again, or of a folder to a name where none is or an empty one.

#[cfg(test)]
pub(crate) mod native;
#[cfg(target_arch = "wasm32")]
pub(crate) mod wasi;

/// Why a call failed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum FileError {
    /// The disk is full, or a quota is reached.
    #[error("no space left")]
    NoSpace,
    /// Anything else that is not a result. The text is the call and the cause.
    #[error("{0}")]
    Failed(String),
}

pub(crate) type Result<T> = std::result::Result<T, FileError>;

/// The content of a small file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// When it was last changed, in milliseconds since 1970.
    pub(crate) modified_ms: u64,
}

/// What is known of a file or folder without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Length in bytes; of no meaning for a folder.
    pub(crate) size_bytes: u64,
    /// When it was last changed, in milliseconds since 1970.
    pub(crate) modified_ms: u64,
}

/// The outcome of [`Directory::rename`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renamed {
    Done,
    /// The old name does not exist, or the folder of the new one.
    Missing,
    /// The new name is a folder that is not empty.
    Taken,
}

/// A directory. Paths are relative to it, of names without `..`.
pub(crate) trait Directory {
    /// Returns a file's content, or `None` if there is none.
    async fn read(&self, path: &str) -> Result<Option<Content>>;

    /// Returns the size and time of a file or folder, or `None` if there is none.
    async fn stat(&self, path: &str) -> Result<Option<Stat>>;

    /// Returns the names in a folder, in no order; none if there is no folder.
    async fn list(&self, path: &str) -> Result<Vec<String>>;

    /// Makes a file of a name that is free. Returns `None` if the folder is missing, `false` if the
    /// name is taken. Others may see the file before its content. On a failure nothing is left.
    async fn create(&self, path: &str, bytes: &[u8]) -> Result<Option<bool>>;

    /// Gives a file a second name, if that is free. Returns `None` if the file or the folder of the
    /// new name is missing.
    async fn link(&self, from: &str, to: &str) -> Result<Option<bool>>;

    /// Renames a file, replacing one of the new name, or a folder.
    async fn rename(&self, from: &str, to: &str) -> Result<Renamed>;

    /// Deletes a name of a file. Returns whether this call did.
    async fn unlink(&self, path: &str) -> Result<bool>;

    /// Makes a folder, and those above it, where they are missing.
    async fn make_folder(&self, path: &str) -> Result<()>;

    /// Deletes a folder if it is empty.
    async fn remove_folder(&self, path: &str) -> Result<()>;

    /// Sets the time of a file's last change. Returns `false` if there is none.
    async fn set_modified(&self, path: &str, ms: u64) -> Result<bool>;

    /// Makes a file's content durable, or the names in a folder. Succeeds if it is gone.
    async fn sync(&self, path: &str) -> Result<()>;
}

/// Makes a file as [`Directory::create`], and the folders above it where they are missing.
pub(crate) async fn create<D: Directory>(directory: &D, path: &str, bytes: &[u8]) -> Result<bool> {
    for _ in 0..ATTEMPTS {
        if let Some(made) = directory.create(path, bytes).await? {
            return Ok(made);
        }
        directory.make_folder(parent(path)).await?;
    }
    Err(FileError::Failed(format!("the folder of {path} is removed all the time")))
}

/// Makes a folder's names durable, and those of the folders above it.
pub(crate) async fn sync_up<D: Directory>(directory: &D, folder: &str) -> Result<()> {
    let mut path = folder;
    while !path.is_empty() {
        directory.sync(path).await?;
        path = parent(path);
    }
    directory.sync(".").await
}

/// How often a call is repeated that others' calls disturb.
pub(crate) const ATTEMPTS: usize = 64;

/// The folder of a path; empty for a name in the directory itself.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
