//! Storages of tenants' own.
//!
//! In each the tenant is below `tenants/NAME/`, as in the server's storage: whatever a section says,
//! nothing of another tenant can be named there.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use larder_common::TenantName;
#[cfg(feature = "bucket")]
use larder_common::causes::chain;
use larder_storage::{
    Storage,
    fs::{FileShares, WeakFsStorage, budget::Budget},
};
#[cfg(feature = "bucket")]
use larder_storage::{
    bucket::Bucket,
    objects::{ObjectResources, ObjectSettings, ObjectStorage},
};
use parking_lot::Mutex;

#[cfg(feature = "bucket")]
use super::connect;
use super::{check_built, open_folder};
use crate::{
    config::{Settings, StorageDriver},
    error::StartError,
    setup::{outgoing::Outgoing, path_of},
};

/// Files of uploads that a folder keeps open: two each.
const OPEN_UPLOADS: usize = 2;

/// What storages of tenants' own share: one memory budget of `storage.buffer_bytes` for folders, and
/// one for buckets, with their threads.
pub(in crate::setup) struct OwnStorages {
    #[cfg(feature = "bucket")]
    buffer_bytes: u64,
    budget: Arc<Budget>,
    /// A folder can be opened once. It is closed with its last use.
    folders: Mutex<HashMap<PathBuf, Folder>>,
    #[cfg(feature = "bucket")]
    objects: Mutex<Option<ObjectResources>>,
}

/// The folder of a tenant.
#[derive(Clone)]
struct Folder {
    tenant: TenantName,
    storage: WeakFsStorage,
}

impl OwnStorages {
    pub(in crate::setup) fn new(buffer_bytes: u64) -> Self {
        Self {
            #[cfg(feature = "bucket")]
            buffer_bytes,
            budget: Budget::new(buffer_bytes),
            folders: Mutex::default(),
            #[cfg(feature = "bucket")]
            objects: Mutex::default(),
        }
    }

    /// Checks what can be checked without opening it.
    ///
    /// # Errors
    /// When the driver is not built in.
    pub(in crate::setup) fn check(settings: &Settings) -> Result<(), StartError> {
        check_built(settings.storage.driver)
    }

    /// Opens the storage of these settings of a tenant. A bucket is not waited for: that it cannot be
    /// used is logged, and its calls fail until it can.
    ///
    /// # Errors
    /// When a folder cannot be used, or the settings of a bucket.
    #[cfg_attr(not(feature = "bucket"), expect(unused_variables, reason = "only buckets are elsewhere"))]
    pub(in crate::setup) async fn open(
        self: &Arc<Self>,
        name: &TenantName,
        settings: &Settings,
        outgoing: &Outgoing,
    ) -> Result<Arc<dyn Storage>, StartError> {
        match settings.storage.driver {
            StorageDriver::Filesystem => {
                let (this, name, settings) = (self.clone(), name.clone(), settings.clone());
                match tokio::task::spawn_blocking(move || this.open_folder(&name, &settings)).await {
                    Ok(opened) => opened,
                    Err(panicked) => Err(StartError::Thread(panicked.into())),
                }
            }
            #[cfg(feature = "bucket")]
            _ => self.open_bucket(name, connect(settings, outgoing).await?),
            #[cfg(not(feature = "bucket"))]
            driver => Err(StartError::NotBuilt { driver: driver.name() }),
        }
    }

    /// Opens a folder, unless the tenant has it open. Blocks on the disk.
    fn open_folder(&self, name: &TenantName, settings: &Settings) -> Result<Arc<dyn Storage>, StartError> {
        let root = path_of(settings.storage.filesystem.path.as_ref());
        let mut folders = self.folders.lock();
        folders.retain(|_, folder| folder.storage.upgrade().is_some());
        let known = folders.get(&root).filter(|folder| folder.tenant == *name);
        if let Some(storage) = known.and_then(|folder| folder.storage.upgrade()) {
            return Ok(Arc::new(storage));
        }
        let files = FileShares { uploads: OPEN_UPLOADS, ..FileShares::default() };
        let storage = open_folder(settings, self.budget.clone(), files)?.of_tenant(name)?;
        folders.insert(root, Folder { tenant: name.clone(), storage: storage.downgrade() });
        Ok(Arc::new(storage))
    }

    #[cfg(feature = "bucket")]
    fn open_bucket(
        &self,
        name: &TenantName,
        bucket: Arc<dyn Bucket>,
    ) -> Result<Arc<dyn Storage>, StartError> {
        let settings = ObjectSettings::new(self.buffer_bytes);
        let resources = {
            let mut objects = self.objects.lock();
            match &*objects {
                Some(resources) => resources.clone(),
                None => objects.insert(ObjectResources::start(&settings)?).clone(),
            }
        };
        let objects = ObjectStorage::open_sharing(bucket, &settings, &resources);
        let storage = objects.tenant(name)?;
        let name = name.clone();
        tokio::spawn(async move {
            if let Err(error) = objects.check().await {
                tracing::error!(tenant = %name, error = chain(&error), "the tenant's own storage does not work");
            }
        });
        Ok(storage)
    }
}
