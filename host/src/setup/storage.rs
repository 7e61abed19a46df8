//! Opens the configured storage.

#[cfg(feature = "azblob")]
mod azblob;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(feature = "s3")]
mod s3;

use std::{path::PathBuf, sync::Arc};

use larder_common::causes::chain;
use larder_storage::{
    Storage, StorageError,
    fs::{FsSettings, FsStorage, budget::Budget},
};
#[cfg(feature = "bucket")]
use larder_storage::{
    bucket::Bucket,
    objects::{ObjectSettings, ObjectStorage},
};

use super::{orphan_grace_ms, outgoing::Outgoing, path_of, some};
use crate::{
    config::{Config, Filesystem, Settings, StorageDriver},
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
            let root = path_of(settings.storage.filesystem.path.as_ref());
            Ok(Arc::new(open_folder(root, budget, &settings.storage.filesystem)?))
        }
        #[cfg(feature = "s3")]
        StorageDriver::S3 => in_bucket(s3::connect(settings, outgoing).await?, settings).await,
        #[cfg(feature = "gcs")]
        StorageDriver::Gcs => in_bucket(gcs::connect(settings, outgoing).await?, settings).await,
        #[cfg(feature = "azblob")]
        StorageDriver::Azblob => in_bucket(azblob::connect(settings, outgoing)?, settings).await,
        #[allow(unreachable_patterns, reason = "where every driver is built in")]
        driver => Err(StartError::NotBuilt { driver: driver.name() }),
    }
}

#[cfg(feature = "bucket")]
async fn in_bucket(bucket: Arc<dyn Bucket>, settings: &Settings) -> Result<Arc<dyn Storage>, StartError> {
    let objects = ObjectStorage::open(bucket, &ObjectSettings::new(settings.storage.buffer_bytes))?;
    objects.check().await?;
    Ok(Arc::new(objects))
}

fn open_folder(root: PathBuf, budget: Arc<Budget>, filesystem: &Filesystem) -> Result<FsStorage, StartError> {
    let settings = FsSettings { reserve_bytes: some(filesystem.reserve_bytes), ..FsSettings::default() };
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
