//! What the object stores of clouds have in common: a flat space of keys, and objects that are made of parts.
//!
//! [`Bucket`] is implemented once for each service (`s3/`, `gcs/`, `azblob/`). `objects/` makes a [`Storage`](crate::Storage)
//! of it: names, staging, coalescing, the order of an upload's blocks. It makes all calls on a runtime of its own, so
//! connections that are kept live there. A bucket knows nothing of uploads or blocks.

#[cfg(feature = "azblob")]
pub mod azblob;
#[cfg(test)]
pub(crate) mod conformance;
#[cfg(feature = "gcs")]
pub mod gcs;
#[cfg(feature = "cloud")]
mod http;
#[cfg(feature = "s3")]
pub mod s3;
pub(crate) mod stall;

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Content, StorageError};

/// What a service can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLimits {
    /// Smallest part in bytes, but for the last one of an object.
    pub min_bytes: u64,
    /// Largest number of a part; the first is 1.
    pub max_number: u32,
}

/// A part that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number. Objects are put together in the order of these.
    pub number: u32,
    /// What the service calls it (an `ETag`, say). At most 128 bytes of printable ASCII without spaces.
    pub tag: String,
}

/// What a listing says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// Its key.
    pub key: String,
    /// Its length.
    pub size_bytes: u64,
    /// When it was written, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// A multipart that was begun and neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMultipart {
    /// The key of its object.
    pub key: String,
    /// Its id.
    pub id: String,
    /// When it was begun, in milliseconds since 1970.
    pub begun_ms: u64,
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct BucketPage<T> {
    /// What is on it, in the order of keys. May be empty although more follow.
    pub items: Vec<T>,
    /// Where the next page starts; `None` after the last one.
    pub next: Option<String>,
}

/// The bytes of a part or of a small object, in pieces that need not be copied together. Kept until the service has them,
/// so that a request can be repeated.
pub type Pieces = Vec<Bytes>;

/// A bucket (or container) of an object store.
///
/// Keys are made by `objects/`: `a-z`, `0-9`, `-`, `.` and `/`, at most 255 bytes. All methods may be called concurrently.
/// Transient failures are retried inside, within a bound of time; what is left is [`StorageError::Unavailable`]. A missing
/// object is [`StorageError::NotFound`], never an error of another kind. No error text holds a secret.
#[async_trait]
pub trait Bucket: Send + Sync + 'static {
    /// What the service can do.
    fn part_limits(&self) -> PartLimits;

    /// Returns the same bucket with connections of its own, for one thread that reads and sends on what it read: a connection
    /// is served by the thread that opened it, and bytes that change threads cost twice the processor time. `None` where
    /// connections are nobody's. May take some tens of milliseconds.
    fn with_own_connections(&self) -> Result<Option<Arc<dyn Bucket>>, StorageError> {
        Ok(None)
    }

    /// Makes sure that the bucket is there and can be used, for a clear failure at the start.
    async fn check(&self) -> Result<(), StorageError>;

    /// Returns an object's size in bytes.
    async fn head(&self, key: &str) -> Result<u64, StorageError>;

    /// Opens an object of `size_bytes`, or the part of it in `range`, with one request. An object of another size is
    /// [`StorageError::NotFound`]. The chunks end with an error, never early.
    async fn get(
        &self,
        key: &str,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError>;

    /// Reads an object of at most `limit` bytes into memory; a larger one is [`StorageError::Invalid`].
    async fn read(&self, key: &str, limit: u64) -> Result<Bytes, StorageError>;

    /// Stores an object that fits into memory, in place of the one that was there. Durable when this returns.
    async fn put(&self, key: &str, body: Pieces) -> Result<(), StorageError>;

    /// Returns how many bytes one request can store while they come ([`Self::send`], [`Self::send_part`]); `None`: it stores only what
    /// is in memory.
    fn send_limit(&self) -> Option<u64> {
        None
    }

    /// Stores an object while its bytes come, with one request, which is not repeated: the bytes are nowhere else. Durable when this
    /// returns; nothing is stored where the bytes do not come, or are fewer or more than announced.
    async fn send(&self, _key: &str, _content: Content) -> Result<(), StorageError> {
        Err(StorageError::Invalid("nothing is stored while it comes".to_owned()))
    }

    /// Stores a part in the same way.
    async fn send_part(
        &self,
        _key: &str,
        _multipart: &str,
        _number: u32,
        _content: Content,
    ) -> Result<Part, StorageError> {
        Err(StorageError::Invalid("nothing is stored while it comes".to_owned()))
    }

    /// Stores a small object unless there is one at the key, and returns whether it did. Of concurrent calls one wins; only of
    /// a service that knows no conditions may two at the same moment both believe so, and then the later one's object stays.
    async fn put_new(&self, key: &str, body: Pieces) -> Result<bool, StorageError>;

    /// Deletes objects. Harmless where they are gone.
    async fn remove(&self, keys: &[String]) -> Result<(), StorageError>;

    /// Lists the objects whose keys start with `prefix`, in the order of keys, in pages of about a thousand.
    async fn list(&self, prefix: &str, from: Option<&str>) -> Result<BucketPage<ListedKey>, StorageError>;

    /// Begins an object that is made of parts, and returns the id of this attempt: at most 1,024 bytes of printable ASCII
    /// without spaces. Nothing is at the key until [`Self::complete`].
    async fn begin(&self, key: &str) -> Result<String, StorageError>;

    /// Stores a part. The same number again replaces it.
    async fn put_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        body: Pieces,
    ) -> Result<Part, StorageError>;

    /// Makes the object of these parts, in ascending order of their numbers; parts that are not named are dropped. A repeat
    /// after success is either harmless or [`StorageError::NotFound`]. Durable when this returns.
    async fn complete(&self, key: &str, multipart: &str, parts: &[Part]) -> Result<(), StorageError>;

    /// Drops a multipart and its parts. Harmless where it is gone.
    async fn abort(&self, key: &str, multipart: &str) -> Result<(), StorageError>;

    /// Lists multiparts that were begun for keys with this prefix and that the service would keep for ever. Empty where it
    /// drops them itself.
    async fn list_multiparts(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError>;

    /// Returns a URL at which anyone gets the object for so long, with plain `GET` and `Range`; `None` where the service, or
    /// the credentials, cannot make one. Asks nobody.
    async fn presign(&self, key: &str, lifetime: Duration) -> Result<Option<String>, StorageError>;
}
