//! The storage of cache entries.
//!
//! An *object* is an immutable, named sequence of bytes. An *upload* collects the blocks of one
//! object: they are staged in it until [`Storage::commit`] makes them an object. A storage is one
//! tenant's ([`Storage::tenant`]): what others have does not exist for it. The [`Storage`]
//! trait has the promises of all drivers, each with a conformance test that runs on every driver.
//! Nothing here depends on HTTP, WIT types, the index, or the purpose of an object.

#[cfg(feature = "bucket")]
pub mod bucket;
mod chunk_buffer;
#[cfg(test)]
pub(crate) mod conformance;
mod digest;
mod error;
mod extents;
pub mod fs;
mod names;
#[cfg(feature = "bucket")]
pub mod objects;
mod source;
mod tenants;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use larder_common::TenantName;

pub use self::{
    digest::{
        Digest, Hasher, InvalidDigest, MAX_DIGEST_TEXT_BYTES, MAX_RUNS, Sha256, Verifier,
        has_sha256_instructions, sha256,
    },
    error::{FlushError, SourceError, StorageError},
    names::{BlockId, InvalidName, ObjectName, UploadName},
    source::{Content, Source},
};

/// Most block ids in one commit (Azure's limit).
pub const MAX_BLOCKS: usize = 50_000;

/// A complete object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub object: ObjectName,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// What is known of its bytes. `None` unless all of it came from sources that were asked to record it
    /// ([`Source::recording_digest`]), or if the lengths of its blocks are too many ([`Digest::of_blocks`]).
    pub digest: Option<Digest>,
}

/// A block that is staged in an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedBlock {
    /// The client's id.
    pub id: BlockId,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// An object or upload, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<Name> {
    /// Its name.
    pub name: Name,
    /// When it was last written, in milliseconds since 1970.
    pub modified_ms: u64,
    /// The space that it takes, in bytes. Without what the listing does not show: in a bucket the parts
    /// of an upload that are not an object yet.
    pub size_bytes: u64,
}

/// The disk of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// Its size in bytes.
    pub total_bytes: u64,
    /// What this process may still use of it.
    pub free_bytes: u64,
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Page<Name> {
    /// May be empty although more pages follow.
    pub items: Vec<Listed<Name>>,
    /// The cursor of the next page; `None` on the last one. Stays valid when listed items are
    /// removed.
    pub next: Option<String>,
}

/// Stores objects.
///
/// All methods may be called concurrently, even for the same names. Memory use does not depend on
/// the size of objects.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Returns the storage of another tenant, below this one: `tenants/<name>/` with the same layout.
    /// No call of it finds, lists or changes what is another tenant's, whatever names and cursors it
    /// is given; and none of this one's finds, lists or changes what is below `tenants/`. It shares
    /// threads, connections, memory and descriptors, so their limits are for all tenants together. It
    /// makes nothing before the first write, and costs up to 1 KiB until then. Handles of one name
    /// share what they remember; that is dropped with the last one, with its background work.
    /// [`Self::settle`] and [`Self::identity`] are of one tenant.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if the storage has no tenants, or if it is that of another tenant than
    /// `default`: such a handle returns itself only. [`StorageError::Unavailable`] while calls run on
    /// whose handle was dropped before they ended.
    fn tenant(&self, _name: &TenantName) -> Result<Arc<dyn Storage>, StorageError> {
        Err(StorageError::Invalid("this storage has no tenants".to_owned()))
    }

    /// Deletes what is left of a tenant that has neither objects nor uploads: its identity, and what
    /// is made for it. Returns `false` if anything else is left; then nothing was deleted, unless a
    /// concurrent call has stored it.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if it is the tenant `default`, or the storage has no tenants.
    async fn forget_tenant(&self) -> Result<bool, StorageError> {
        Err(StorageError::Invalid("this storage has no tenants".to_owned()))
    }

    /// Returns the object's size in bytes, without reading its content.
    async fn stat(&self, object: &ObjectName) -> Result<u64, StorageError>;

    /// Opens an object of `size_bytes`, or a range of it, for reading. An object of another size is
    /// [`StorageError::NotFound`]. If the object is removed while it is read, the reader gets the
    /// rest, or an error.
    async fn open(
        &self,
        object: &ObjectName,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError>;

    /// Stores a whole object. A source that fails, or has another length than it announced, stores
    /// nothing: [`StorageError::Invalid`], or [`StorageError::TooLarge`] if it exceeded its limit.
    /// The upload's blocks are not touched.
    async fn put(&self, upload: &UploadName, source: Source) -> Result<Stored, StorageError>;

    /// Stages a block and returns its length in bytes. A block with the same id replaces the
    /// earlier one once it is complete; a source that fails changes nothing. After
    /// [`Self::commit`]: [`StorageError::Invalid`].
    async fn put_block(&self, upload: &UploadName, id: &BlockId, source: Source)
    -> Result<u64, StorageError>;

    /// Makes an object of the staged blocks, in the order of `ids`. An id may be listed more than
    /// once, and blocks that are not listed are dropped. If an id is not staged:
    /// [`StorageError::Invalid`], and nothing changes. An empty list makes an empty object. No
    /// content is copied through the process. A repeat with the same list returns the same object,
    /// with its digest, even after a restart; with another list it is [`StorageError::Invalid`].
    async fn commit(&self, upload: &UploadName, ids: &[BlockId]) -> Result<Stored, StorageError>;

    /// Returns the complete blocks of an upload, each id once, in no order; none if nothing is
    /// staged. They are returned after [`Self::commit`], too, until [`Self::discard`].
    async fn blocks(&self, upload: &UploadName) -> Result<Vec<StagedBlock>, StorageError>;

    /// Returns a URL at which clients can download an object of `size_bytes` from the storage
    /// itself for `lifetime`; `None` if this driver, or this object, has none. In drivers that have
    /// such URLs, an object that is gone or of another size is [`StorageError::NotFound`].
    async fn presign(
        &self,
        _object: &ObjectName,
        _size_bytes: u64,
        _lifetime: Duration,
    ) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    /// Deletes the staged blocks of an upload. A committed object stays. Succeeds if there is
    /// nothing.
    async fn discard(&self, upload: &UploadName) -> Result<(), StorageError>;

    /// Deletes all that is stored of an upload: what is staged, and all objects that [`Self::put`] and
    /// [`Self::commit`] have made of it, except `kept`. What a call that is under way stores later stays.
    /// Succeeds if there is nothing. Objects that releases before this method have made stay.
    ///
    /// A driver that does not know which objects it made of an upload deletes what is staged.
    async fn erase(&self, upload: &UploadName, _kept: Option<&ObjectName>) -> Result<(), StorageError> {
        self.discard(upload).await
    }

    /// Deletes an object. Succeeds if there is none.
    async fn remove(&self, object: &ObjectName) -> Result<(), StorageError>;

    /// Sets when an object was last written, as it is listed. The sweep does so where the time cannot
    /// be right, because a clock was wrong. Succeeds if there is no such object. A driver whose service
    /// keeps the time remembers it in memory, for a bounded number of names; what it forgets is listed
    /// with the service's time again.
    async fn set_object_time(&self, _object: &ObjectName, _modified_ms: u64) -> Result<(), StorageError> {
        Ok(())
    }

    /// Sets when the staged blocks of an upload were last written, in the same way.
    async fn set_upload_time(&self, _upload: &UploadName, _modified_ms: u64) -> Result<(), StorageError> {
        Ok(())
    }

    /// Makes the objects durable against a loss of power. Returns a result for each, in order; a
    /// failure of one does not affect the others. An object that is gone is `Ok`. After a restart
    /// of the machine, an object whose state is unknown is [`FlushError::Lost`]. Returns at once if
    /// [`Self::is_durable_at_once`].
    async fn flush(&self, objects: &[ObjectName]) -> Vec<Result<(), FlushError>>;

    /// Returns whether there is space for bodies. If not, they are refused:
    /// [`StorageError::NoSpace`].
    async fn has_room(&self) -> Result<bool, StorageError> {
        Ok(true)
    }

    /// Returns how full the disk is, measured now; `None` if the storage is on none.
    async fn disk_usage(&self) -> Result<Option<DiskUsage>, StorageError> {
        Ok(None)
    }

    /// Returns the identity of the storage; `None` if it has none yet.
    async fn identity(&self) -> Result<Option<String>, StorageError>;

    /// Sets the identity of the storage, 1 to 64 of `a-z`, `0-9` and `-`, and returns the identity
    /// that it has then: an existing one is kept, unless `replace` is set. Concurrent calls without
    /// `replace` all return the same.
    async fn set_identity(&self, identity: &str, replace: bool) -> Result<String, StorageError>;

    /// Returns whether objects are durable when `put` and `commit` return.
    fn is_durable_at_once(&self) -> bool;

    /// Writes staged blocks that are only in the memory of this process. Called before the process
    /// ends.
    async fn settle(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Lists all objects, in pages of about a thousand. Objects that are made or removed meanwhile
    /// may be missing; all others are listed exactly once.
    async fn list_objects(&self, from: Option<&str>) -> Result<Page<ObjectName>, StorageError>;

    /// Lists all uploads with staged blocks, in the same way.
    async fn list_uploads(&self, from: Option<&str>) -> Result<Page<UploadName>, StorageError>;
}
