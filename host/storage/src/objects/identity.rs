//! Whose objects these are: a small object says so.

use bytes::Bytes;

use super::{Shared, keys};
use crate::{StorageError, bucket::Bucket};

/// No identity is longer; an object that is was not made here.
const MAX_BYTES: u64 = 256;

/// Returns what the object says; `None` where there is none.
pub(super) async fn read(shared: &Shared) -> Result<Option<String>, StorageError> {
    match shared.bucket.read(keys::IDENTITY, MAX_BYTES).await {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(StorageError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Stores the object, where there is none or it is to be replaced; returns what it says then.
pub(super) async fn write(shared: &Shared, identity: &str, replace: bool) -> Result<String, StorageError> {
    let bytes = || vec![Bytes::copy_from_slice(identity.as_bytes())];
    if replace {
        shared.bucket.put(keys::IDENTITY, bytes()).await?;
        return Ok(identity.to_owned());
    }
    if let Some(known) = read(shared).await? {
        return Ok(known);
    }
    // Of several at once one stores it; what it says then is what counts.
    shared.bucket.put_new(keys::IDENTITY, bytes()).await?;
    read(shared).await?.ok_or(StorageError::NotFound)
}
