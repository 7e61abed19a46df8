//! The identity of the storage, in a small object.

use bytes::Bytes;

use super::{Shared, keys};
use crate::{StorageError, bucket::Bucket};

/// Longer than any identity.
const MAX_BYTES: u64 = 256;

/// Reads the identity; `None` if there is none.
pub(super) async fn read(shared: &Shared) -> Result<Option<String>, StorageError> {
    match shared.bucket.read(keys::IDENTITY, MAX_BYTES).await {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(StorageError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes the identity.
pub(super) async fn remove(shared: &Shared) -> Result<(), StorageError> {
    shared.bucket.remove(&[keys::IDENTITY.to_owned()]).await
}

/// Stores the identity if there is none or `replace` is set; returns the one that it has then.
pub(super) async fn write(shared: &Shared, identity: &str, replace: bool) -> Result<String, StorageError> {
    let bytes = || vec![Bytes::copy_from_slice(identity.as_bytes())];
    if replace {
        shared.bucket.put(keys::IDENTITY, bytes()).await?;
        return Ok(identity.to_owned());
    }
    if let Some(known) = read(shared).await? {
        return Ok(known);
    }
    // Of concurrent calls one stores it, and all return that one.
    shared.bucket.put_new(keys::IDENTITY, bytes()).await?;
    read(shared).await?.ok_or(StorageError::NotFound)
}
