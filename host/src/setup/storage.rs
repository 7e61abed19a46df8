//! Opens the configured storage.

#[cfg(feature = "azblob")]
mod azblob;
#[cfg(feature = "gcs")]
mod gcs;
mod own;
#[cfg(feature = "s3")]
mod s3;

use std::sync::Arc;

use larder_common::causes::chain;
use larder_storage::{
    Storage, StorageError,
    fs::{FileShares, FsSettings, FsStorage, budget::Budget},
};
#[cfg(feature = "bucket")]
use larder_storage::{
    bucket::Bucket,
    objects::{ObjectSettings, ObjectStorage},
};

pub(super) use self::own::OwnStorages;
use super::{orphan_grace_ms, outgoing::Outgoing, path_of, some};
use crate::{
    config::{Config, Settings, StorageDriver},
    error::StartError,
    sweep::{Ages, Ownership},
    tenant::Tenant,
};

/// Opens the configured storage, and checks that it works: a bucket that is missing or read-only
/// fails here, not at the first save.
#[cfg_attr(not(feature = "bucket"), expect(unused_variables, reason = "only buckets are elsewhere"))]
pub(super) async fn open_storage(
    settings: &Settings,
    outgoing: &Outgoing,
) -> Result<Arc<dyn Storage>, StartError> {
    match settings.storage.driver {
        StorageDriver::Filesystem => {
            let budget = Budget::new(settings.storage.buffer_bytes);
            Ok(Arc::new(open_folder(settings, budget, FileShares::default())?))
        }
        #[cfg(feature = "bucket")]
        _ => {
            let bucket = connect(settings, outgoing).await?;
            let objects = ObjectStorage::open(bucket, &ObjectSettings::new(settings.storage.buffer_bytes))?;
            objects.check().await?;
            Ok(Arc::new(objects))
        }
        #[cfg(not(feature = "bucket"))]
        driver => Err(StartError::NotBuilt { driver: driver.name() }),
    }
}

/// Opens the storage of a server that may be running, to look at objects. A bucket is not asked.
#[cfg_attr(not(feature = "bucket"), expect(unused_variables, reason = "only buckets are elsewhere"))]
pub(super) async fn open_storage_beside(
    settings: &Settings,
    outgoing: &Outgoing,
) -> Result<Arc<dyn Storage>, StartError> {
    match settings.storage.driver {
        StorageDriver::Filesystem => {
            let root = path_of(settings.storage.filesystem.path.as_ref());
            Ok(Arc::new(FsStorage::open_beside(&root)?))
        }
        #[cfg(feature = "bucket")]
        _ => {
            let bucket = connect(settings, outgoing).await?;
            Ok(Arc::new(ObjectStorage::open(bucket, &ObjectSettings::new(settings.storage.buffer_bytes))?))
        }
        #[cfg(not(feature = "bucket"))]
        driver => Err(StartError::NotBuilt { driver: driver.name() }),
    }
}

/// Connects to the configured bucket, without a request.
#[cfg(feature = "bucket")]
async fn connect(settings: &Settings, outgoing: &Outgoing) -> Result<Arc<dyn Bucket>, StartError> {
    match settings.storage.driver {
        #[cfg(feature = "s3")]
        StorageDriver::S3 => s3::connect(settings, outgoing).await,
        #[cfg(feature = "gcs")]
        StorageDriver::Gcs => gcs::connect(settings, outgoing).await,
        #[cfg(feature = "azblob")]
        StorageDriver::Azblob => azblob::connect(settings, outgoing),
        driver => Err(StartError::NotBuilt { driver: driver.name() }),
    }
}

/// Checks that a driver is built in.
fn check_built(driver: StorageDriver) -> Result<(), StartError> {
    let is_built = match driver {
        StorageDriver::Filesystem => true,
        StorageDriver::S3 => cfg!(feature = "s3"),
        StorageDriver::Gcs => cfg!(feature = "gcs"),
        StorageDriver::Azblob => cfg!(feature = "azblob"),
    };
    if is_built { Ok(()) } else { Err(StartError::NotBuilt { driver: driver.name() }) }
}

/// Opens the configured folder. Blocks on the disk.
fn open_folder(settings: &Settings, budget: Arc<Budget>, files: FileShares) -> Result<FsStorage, StartError> {
    let filesystem = &settings.storage.filesystem;
    let root = path_of(filesystem.path.as_ref());
    let settings = FsSettings { reserve_bytes: some(filesystem.reserve_bytes), files };
    FsStorage::open_with(root.clone(), budget, &settings).map_err(|error| match error {
        StorageError::NoSpace => StartError::Full { path: root },
        error => error.into(),
    })
}

/// Checks that the objects in the storage belong to the index, or adopts them if the operator wants
/// that. If they do not, or it cannot be checked, the server runs, and deletes no object without an
/// entry.
pub(crate) async fn claim_storage(tenant: &Tenant, config: &Config) {
    let (storage, index) = (&*tenant.storage, &*tenant.index);
    let claimed = if config.adopt_storage {
        Ownership::adopt(storage, index).await
    } else {
        let ages = Ages::new(tenant.clock.now_ms(), orphan_grace_ms(&config.settings));
        Ownership::determine(storage, index, ages).await.map(drop)
    };
    if let Err(error) = claimed {
        tracing::warn!(error = %chain(&error), "cannot check yet whether the objects in the storage belong to this database");
    }
}

/// A text that `config` has checked to be set.
#[cfg(feature = "bucket")]
fn given(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}
