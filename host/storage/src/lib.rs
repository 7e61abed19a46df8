//! Where the bytes of cache entries live.
//!
//! An *object* is an immutable, named sequence of bytes. An *upload* is the workplace of one object: blocks are staged in
//! it until [`Storage::commit`] makes them an object. The [`Storage`] trait states what every driver promises; each promise
//! has a conformance test that runs on every driver. Called by `interfaces/storage.rs` (for the guest) and by the sweep.
//! Knows nothing of HTTP, of WIT types, of the index, or of what an object is for.

#[cfg(feature = "azblob")]
pub mod azblob;
#[cfg(feature = "bucket")]
pub mod bucket;
pub mod budget;
#[cfg(test)]
pub(crate) mod conformance;
mod extents;
pub mod fs;
#[cfg(feature = "gcs")]
pub mod gcs;
#[cfg(feature = "bucket")]
pub mod objects;
#[cfg(feature = "cloud")]
mod outgoing;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "bucket")]
mod sending;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::{fmt, ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
#[cfg(feature = "bucket")]
use futures_util::TryStreamExt;
use futures_util::{StreamExt, future, stream::BoxStream};

/// The name of a stored object: 1 to 128 of `a-z`, `0-9` and `-`. Made by the driver, opaque to everyone else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

/// The name of an upload: 32 lower-case hexadecimal digits, made at random by the index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadName(String);

/// The id that a client gave a block. Opaque text of 1 to 256 bytes; never becomes part of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(String);

/// A name or id that is not of its form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a valid {0}")]
pub struct InvalidName(pub &'static str);

impl From<InvalidName> for StorageError {
    fn from(error: InvalidName) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl ObjectName {
    /// Longest name in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Checks the form.
    ///
    /// # Errors
    /// When the text is empty, too long, or holds anything but `a-z`, `0-9` and `-`.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let form = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(form) {
            Ok(Self(text))
        } else {
            Err(InvalidName("object name"))
        }
    }
}

impl UploadName {
    /// Checks the form.
    ///
    /// # Errors
    /// When the text is not 32 lower-case hexadecimal digits.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let form = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 32 && text.bytes().all(form) {
            Ok(Self(text))
        } else {
            Err(InvalidName("upload name"))
        }
    }
}

impl BlockId {
    /// Longest id in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Checks the length.
    ///
    /// # Errors
    /// When the text is empty or longer than [`Self::MAX_BYTES`].
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        if (1..=Self::MAX_BYTES).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(InvalidName("block id"))
        }
    }
}

macro_rules! text_newtype {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text_newtype!(ObjectName, UploadName, BlockId);

/// Most block ids in one commit (Azure's limit).
pub const MAX_BLOCKS: usize = 50_000;

/// Why a storage call failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The object, or the upload's blocks, are not there (any more), or the object has another size than the caller knows.
    #[error("not found")]
    NotFound,
    /// The storage is full, or a quota is reached.
    #[error("no space left")]
    NoSpace,
    /// More bytes came than the caller allows (`Source::within`).
    #[error("the body is too large")]
    TooLarge,
    /// What was asked cannot be done, whoever asks again.
    #[error("{0}")]
    Invalid(String),
    /// The storage did not answer as it should; trying again may help.
    #[error("storage unavailable: {context}")]
    Unavailable {
        /// What was being done.
        context: &'static str,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why it is not known that an object survives a loss of power.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// Bytes of it could not be written to the disk. The kernel says so once, so a later flush that succeeds proves nothing.
    #[error("bytes of an object were lost on their way to the disk")]
    Lost(#[source] StorageError),
    /// The disk was not asked yet, for want of a file descriptor or of memory, say. To be tried again.
    #[error("an object cannot be flushed yet")]
    Retry(#[source] StorageError),
}

impl StorageError {
    /// Makes an error that may pass.
    pub fn unavailable(
        context: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { context, source: source.into() }
    }
}

/// Why the bytes that are to be stored stopped coming.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The client broke off before the announced end.
    #[error("the body ended early")]
    CutShort,
    /// More bytes came than the caller allows.
    #[error("the body is too large")]
    TooLarge,
}

impl From<SourceError> for StorageError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::CutShort => Self::Invalid(error.to_string()),
            SourceError::TooLarge => Self::TooLarge,
        }
    }
}

/// Bytes on their way in.
pub struct Source {
    /// How many bytes will come, where that is known. A driver checks it.
    pub length: Option<u64>,
    /// The bytes, in chunks of any size.
    pub chunks: BoxStream<'static, Result<Bytes, SourceError>>,
}

impl Source {
    /// Ends a body of unknown length with an error once it is longer than `limit`, so that it does not fill the storage. One of known
    /// length is left as it is: that was looked at before.
    pub fn within(self, limit: Option<u64>) -> Self {
        let (None, Some(limit)) = (self.length, limit) else { return self };
        let counted = self.chunks.scan(0_u64, move |length, chunk| {
            let chunk = chunk.and_then(|bytes| {
                *length += bytes.len() as u64;
                if *length > limit { Err(SourceError::TooLarge) } else { Ok(bytes) }
            });
            future::ready(Some(chunk))
        });
        Self { length: None, chunks: counted.boxed() }
    }

    /// Returns the bytes as something to send on, of which so many were announced.
    #[cfg(feature = "bucket")]
    fn into_content(self, length: u64) -> Content {
        Content { length, chunks: self.chunks.map_err(StorageError::from).boxed() }
    }
}

/// Bytes on their way out.
pub struct Content {
    /// How many bytes will come.
    pub length: u64,
    /// The bytes, in chunks of any size. Ends with an error, never early, where the storage cannot deliver them all.
    pub chunks: BoxStream<'static, Result<Bytes, StorageError>>,
}

/// A finished object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub object: ObjectName,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// A block that is staged in an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedBlock {
    /// The client's id.
    pub id: BlockId,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// What a listing says of an object or an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<Name> {
    /// Its name.
    pub name: Name,
    /// When it was last written, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Page<Name> {
    /// What is on it. May be empty although more pages follow.
    pub items: Vec<Listed<Name>>,
    /// Where the next page starts; `None` after the last one. Stays valid when listed things are removed.
    pub next: Option<String>,
}

/// A place for objects.
///
/// All methods may be called concurrently, also for the same names. Memory use does not depend on the size of objects.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Returns the object's size in bytes, without reading its content.
    async fn stat(&self, object: &ObjectName) -> Result<u64, StorageError>;

    /// Opens an object of `size_bytes`, or the part of it in `range`, for reading. An object of another size is
    /// [`StorageError::NotFound`]. The reader keeps what it opened when the object is removed meanwhile, or ends with an
    /// error.
    async fn open(
        &self,
        object: &ObjectName,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError>;

    /// Stores a whole object. A source that fails, or does not have its length, stores nothing:
    /// [`StorageError::Invalid`], or [`StorageError::TooLarge`] where that is how it fails. The upload's blocks are not touched.
    async fn put(&self, upload: &UploadName, source: Source) -> Result<Stored, StorageError>;

    /// Stages a block and returns its length. The same id again replaces the block, once the new one is complete; a source
    /// that fails changes nothing. After [`Self::commit`]: [`StorageError::Invalid`].
    async fn put_block(&self, upload: &UploadName, id: &BlockId, source: Source)
    -> Result<u64, StorageError>;

    /// Makes an object of the staged blocks in the given order; an id may stand in it more than once, and blocks that are
    /// not in it do not count. An id that is not staged: [`StorageError::Invalid`], nothing changes. An empty list makes an
    /// empty object. No content is copied through the process. A repeat with the same list returns the same object, also
    /// after a restart; with another list it is [`StorageError::Invalid`].
    async fn commit(&self, upload: &UploadName, ids: &[BlockId]) -> Result<Stored, StorageError>;

    /// Returns the complete blocks of an upload, each id once, in no order; none where nothing is staged. After
    /// [`Self::commit`] they are still told, until [`Self::discard`].
    async fn blocks(&self, upload: &UploadName) -> Result<Vec<StagedBlock>, StorageError>;

    /// Returns a URL at which a client gets an object of `size_bytes` from the storage itself, for so long; `None` where
    /// this driver, or this object, has none. An object that is gone or of another size is [`StorageError::NotFound`], in
    /// drivers that have such URLs.
    async fn presign(
        &self,
        _object: &ObjectName,
        _size_bytes: u64,
        _lifetime: Duration,
    ) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    /// Forgets what is staged in an upload. A committed object stays. Harmless where there is nothing.
    async fn discard(&self, upload: &UploadName) -> Result<(), StorageError>;

    /// Deletes an object. Harmless where there is none.
    async fn remove(&self, object: &ObjectName) -> Result<(), StorageError>;

    /// Makes sure that the objects survive a loss of power, and returns what became of each, in their order; the failure of one
    /// does not keep it from the others. An object that is gone needs no flush. An object of which it is not known after a
    /// restart of the machine is taken as lost. Returns at once where [`Self::is_durable_at_once`].
    async fn flush(&self, objects: &[ObjectName]) -> Vec<Result<(), FlushError>>;

    /// Returns whether there is room for bodies. Where there is none they are refused: [`StorageError::NoSpace`].
    async fn has_room(&self) -> Result<bool, StorageError> {
        Ok(true)
    }

    /// Returns the identity that the storage carries; `None` where it was given none yet.
    async fn identity(&self) -> Result<Option<String>, StorageError>;

    /// Gives the storage an identity, of 1 to 64 of `a-z`, `0-9` and `-`, and returns the one that it carries then: where it
    /// had one that is the old one, unless it is to `replace` it. Of concurrent calls that do not replace, all return the same.
    async fn set_identity(&self, identity: &str, replace: bool) -> Result<String, StorageError>;

    /// Returns whether `put` and `commit` return only when the object survives a loss of power.
    fn is_durable_at_once(&self) -> bool;

    /// Writes down what is staged in the memory of this process only. Called before it ends.
    async fn settle(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Lists all objects, in pages of about a thousand. Objects made or removed meanwhile may or may not be on it; all
    /// others are, exactly once.
    async fn list_objects(&self, from: Option<&str>) -> Result<Page<ObjectName>, StorageError>;

    /// Lists all uploads that have something staged, likewise.
    async fn list_uploads(&self, from: Option<&str>) -> Result<Page<UploadName>, StorageError>;
}
