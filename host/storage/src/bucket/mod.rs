//! Buckets: object stores of clouds, with a flat space of keys and multipart uploads.
//!
//! [`Bucket`] is implemented once for each service (`s3/`, `gcs/`, `azblob/`). `objects/` makes a
//! [`Storage`](crate::Storage) of it, with names, staging, coalescing and the order of an upload's
//! blocks. It makes most calls on a runtime of its own, so connections live there. A bucket does
//! not know uploads or blocks.

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
use larder_common::TenantName;

use crate::{Content, StorageError};

/// The folder of all tenants but `default`.
const TENANTS: &str = "tenants/";

/// Returns the folder of a tenant's keys, with a slash at its end.
pub(crate) fn tenant_folder(name: &TenantName) -> String {
    format!("{TENANTS}{name}/")
}

/// Splits a key, or the prefix of keys, after the folder of its tenant, which is empty for `default`.
#[cfg_attr(not(feature = "gcs"), expect(dead_code, reason = "only this driver has keys of its own"))]
pub(crate) fn split_folder(key: &str) -> (&str, &str) {
    let end = key.strip_prefix(TENANTS).and_then(|rest| rest.find('/'));
    key.split_at(end.map_or(0, |end| TENANTS.len() + end + 1))
}

/// Limits of a service for the parts of a multipart upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLimits {
    /// Smallest part in bytes, except for the last one of an object.
    pub min_bytes: u64,
    /// Largest part number; the first is 1.
    pub max_number: u32,
}

/// A stored part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The part number. Parts are concatenated in the order of their numbers.
    pub number: u32,
    /// The service's name for it (an `ETag`, say): at most 128 bytes of printable ASCII without
    /// spaces.
    pub tag: String,
}

/// An object, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// Its key.
    pub key: String,
    /// Its length.
    pub size_bytes: u64,
    /// When it was written, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// A multipart upload that is neither completed nor aborted.
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
    /// In the order of keys. May be empty although more pages follow.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last one.
    pub next: Option<String>,
}

/// The bytes of a part or of a small object, in chunks that need not be copied together. Kept until
/// the service has stored them, so that the request can be repeated.
pub type Pieces = Vec<Bytes>;

/// A bucket (or container) of an object store.
///
/// Keys are made by `objects/`, of `a-z`, `0-9`, `-`, `.` and `/`, at most 255 bytes. Those of a
/// tenant begin with its folder (`tenant_folder`), and a listing is within one. All methods
/// may be called concurrently. Transient failures are retried for a bounded time and then returned
/// as [`StorageError::Unavailable`]. A missing object is always [`StorageError::NotFound`]. No
/// error text contains a secret.
#[async_trait]
pub trait Bucket: Send + Sync + 'static {
    /// The limits of the service.
    fn part_limits(&self) -> PartLimits;

    /// Returns the same bucket with connections of its own, for a thread that streams between a
    /// client and the bucket: a connection is served by the thread that opened it, and bytes that
    /// change threads cost twice the processor time. `None` if the driver has no connections. May
    /// take some tens of milliseconds.
    fn with_own_connections(&self) -> Result<Option<Arc<dyn Bucket>>, StorageError> {
        Ok(None)
    }

    /// Checks that the bucket exists and can be listed and written to. Called at the start.
    async fn check(&self) -> Result<(), StorageError>;

    /// Returns an object's size in bytes.
    async fn head(&self, key: &str) -> Result<u64, StorageError>;

    /// Opens an object of `size_bytes`, or a range of it, with one request. An object of another
    /// size is [`StorageError::NotFound`]. The chunks never end early without an error.
    async fn get(
        &self,
        key: &str,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError>;

    /// Reads an object of at most `limit` bytes into memory; a larger one is
    /// [`StorageError::Invalid`].
    async fn read(&self, key: &str, limit: u64) -> Result<Bytes, StorageError>;

    /// Stores an object from memory, and replaces an existing one. Durable when this returns.
    async fn put(&self, key: &str, body: Pieces) -> Result<(), StorageError>;

    /// Largest body, in bytes, that [`Self::send`] and [`Self::send_part`] accept; `None` if they
    /// are not supported.
    fn send_limit(&self) -> Option<u64> {
        None
    }

    /// Stores an object while its bytes arrive, with one request. It is not retried, because the
    /// bytes are not kept. Durable when this returns. Nothing is stored if the content fails or has
    /// another length than announced.
    async fn send(&self, _key: &str, _content: Content) -> Result<(), StorageError> {
        Err(StorageError::Invalid("this bucket has no streaming uploads".to_owned()))
    }

    /// Stores a part in the same way as [`Self::send`].
    async fn send_part(
        &self,
        _key: &str,
        _multipart: &str,
        _number: u32,
        _content: Content,
    ) -> Result<Part, StorageError> {
        Err(StorageError::Invalid("this bucket has no streaming uploads".to_owned()))
    }

    /// Stores a small object unless the key exists, and returns whether it did. Of concurrent calls
    /// one wins. Only if the service has no conditional requests may two calls at the same moment
    /// both return `true`; then the later object stays.
    async fn put_new(&self, key: &str, body: Pieces) -> Result<bool, StorageError>;

    /// Deletes objects. Succeeds for those that do not exist.
    async fn remove(&self, keys: &[String]) -> Result<(), StorageError>;

    /// Lists the objects whose keys start with `prefix`, in the order of keys, in pages of about a
    /// thousand.
    async fn list(&self, prefix: &str, from: Option<&str>) -> Result<BucketPage<ListedKey>, StorageError>;

    /// Begins a multipart upload and returns its id: at most 1,024 bytes of printable ASCII without
    /// spaces. The key does not exist until [`Self::complete`].
    async fn begin(&self, key: &str) -> Result<String, StorageError>;

    /// Stores a part. A part with the same number replaces it.
    async fn put_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        body: Pieces,
    ) -> Result<Part, StorageError>;

    /// Completes a multipart upload with these parts, in ascending order of their numbers; others
    /// are dropped. A repeat after success succeeds or is [`StorageError::NotFound`]. Durable when
    /// this returns.
    async fn complete(&self, key: &str, multipart: &str, parts: &[Part]) -> Result<(), StorageError>;

    /// Aborts a multipart upload and deletes its parts. Succeeds if it does not exist.
    async fn abort(&self, key: &str, multipart: &str) -> Result<(), StorageError>;

    /// Lists the open multipart uploads of keys with this prefix that the service would keep for
    /// ever. Empty if it deletes them itself.
    async fn list_multiparts(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError>;

    /// Returns a URL at which anyone can download the object for `lifetime`, with `GET` and
    /// `Range`; `None` if the service, or the credentials, cannot make one.
    async fn presign(&self, key: &str, lifetime: Duration) -> Result<Option<String>, StorageError>;
}
