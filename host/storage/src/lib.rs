//! Where the bytes of cache entries live.
//!
//! An *object* is an immutable, named sequence of bytes. An *upload* is the workplace of one object: blocks are staged in
//! it until [`Storage::commit`] makes them an object. The [`Storage`] trait states what every driver promises; each promise
//! has a conformance test that runs on every driver. Called by `interfaces/storage.rs` (for the guest) and by the sweep.
//! Knows nothing of HTTP, of WIT types, of the index, or of what an object is for.

#[cfg(feature = "bucket")]
pub mod bucket;
#[cfg(test)]
pub(crate) mod conformance;
mod error;
mod extents;
pub mod fs;
mod names;
#[cfg(feature = "bucket")]
pub mod objects;
mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::{ops::Range, time::Duration};

use async_trait::async_trait;

pub use self::{
    error::{FlushError, SourceError, StorageError},
    names::{BlockId, InvalidName, ObjectName, UploadName},
    source::{Content, Source},
};

/// Most block ids in one commit (Azure's limit).
pub const MAX_BLOCKS: usize = 50_000;

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
