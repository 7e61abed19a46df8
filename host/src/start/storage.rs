//! Picks the storage that is configured.

use std::sync::Arc;

use super::{StartError, path_of};
use crate::{
    config::{Settings, StorageDriver},
    storage::{Storage, StorageError, budget::Budget, fs::FsStorage},
};

/// Opens the storage that is configured, and makes sure that it can be used.
pub(super) async fn open_storage(settings: &Settings) -> Result<Arc<dyn Storage>, StartError> {
    let storage = &settings.storage;
    let budget = Budget::new(storage.buffer_bytes);
    match storage.driver {
        StorageDriver::Filesystem => {
            Ok(Arc::new(FsStorage::open(path_of(storage.filesystem.path.as_ref()), budget)?))
        }
        StorageDriver::S3 | StorageDriver::Gcs | StorageDriver::Azblob => {
            Err(StorageError::Invalid(format!("no driver {} yet", storage.driver.name())).into())
        }
    }
}
