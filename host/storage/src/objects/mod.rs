//! A [`Storage`] on top of any [`Bucket`]: objects in an object store.
//!
//! An upload passes through `put`, or through `uploads`, `blocks`, `session`, `leftovers` and
//! `commit`, which executes a `plan`. A download passes through `read`, with `manifest` for
//! segmented objects. `keys` has all names in the bucket, `journal` the records there,
//! `part_numbers` the order of parts, `memory` the memory budget, `runtime` the threads.
//!
//! Any number of processes may use one bucket, even for blocks of the same upload. The index is not
//! used here: the sweep finds objects without an entry by listing.

mod blocks;
mod body;
mod commit;
mod corrected_times;
mod identity;
mod janitor;
mod journal;
mod keys;
mod leftovers;
mod list;
mod manifest;
mod memory;
mod part_numbers;
mod part_size;
mod plan;
mod put;
mod read;
mod runtime;
mod session;
mod staging;
#[cfg(test)]
pub(crate) mod tests;
mod uploads;

use std::{
    ops::Range,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use larder_common::{TenantName, clock::Clock};

use self::{
    corrected_times::CorrectedTimes,
    memory::MemoryBudget,
    part_size::PartSizes,
    runtime::{IoRuntime, RuntimeBucket},
    uploads::Uploads,
};
use super::{
    BlockId, Content, FlushError, ObjectName, Page, Source, StagedBlock, Storage, StorageError, Stored,
    UploadName,
    bucket::Bucket,
    tenants::{Registration, TenantStates, not_for_default, not_of_default},
};

/// Settings of [`ObjectStorage`]. Only the memory needs to be configured.
#[derive(Clone, Debug)]
pub struct ObjectSettings {
    /// Memory budget of all uploads, in bytes. A body without an announced length takes up to one
    /// smallest part (5 MiB) on top of it.
    pub buffer_bytes: u64,
    /// How long an idle tail stays in memory only.
    pub spill_after: Duration,
    /// How long an upload waits for memory before it fails.
    pub acquire_timeout: Duration,
    /// Smallest part, where the service allows smaller ones.
    pub min_part_bytes: u64,
    /// Usual size of a part.
    pub part_bytes: u64,
}

impl ObjectSettings {
    /// The defaults, with a memory budget of `buffer_bytes`.
    #[must_use]
    pub fn new(buffer_bytes: u64) -> Self {
        Self {
            buffer_bytes,
            spill_after: Duration::from_secs(1),
            acquire_timeout: Duration::from_secs(60),
            min_part_bytes: part_size::MIN_PART_BYTES,
            part_bytes: part_size::PART_BYTES,
        }
    }
}

/// What the storages of several buckets can share: the memory budget of uploads, and threads.
#[derive(Clone)]
pub struct ObjectResources {
    memory: Arc<MemoryBudget>,
    runtime: Arc<IoRuntime>,
}

impl ObjectResources {
    /// Starts the threads.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(settings: &ObjectSettings) -> Result<Self, StorageError> {
        let memory = Arc::new(MemoryBudget::new(settings.buffer_bytes, settings.acquire_timeout));
        Ok(Self { memory, runtime: Arc::new(IoRuntime::start()?) })
    }
}

/// A [`Storage`] of a tenant, in a bucket. Other tenants are in the folder `tenants/<name>/` of it.
///
/// What `put` and `commit` return is durable. A staged block that is smaller than a part may be
/// lost when the process is killed within a second of it (see [`ObjectSettings::spill_after`]);
/// then the commit refuses it. Everything else that is staged survives, and other processes can
/// commit it.
pub struct ObjectStorage {
    shared: Arc<Shared>,
    /// `None` in the storage of a tenant: it has none below it.
    tenants: Option<Arc<TenantStates<Shared>>>,
}

/// The state of a tenant's storage.
struct Shared {
    bucket: RuntimeBucket,
    sizes: PartSizes,
    memory: Arc<MemoryBudget>,
    uploads: Uploads,
    corrected_times: CorrectedTimes,
    clock: Clock,
    spill_after: Duration,
    runtime: Arc<IoRuntime>,
    /// `None` for the tenant `default`.
    registration: Option<Registration<Self>>,
}

impl Shared {
    /// The state of another tenant in the same bucket, with its own uploads.
    fn of_tenant(&self, registration: Registration<Self>) -> Arc<Self> {
        let shared = Arc::new(Self {
            bucket: self.bucket.of_tenant(registration.name()),
            sizes: self.sizes,
            memory: Arc::clone(&self.memory),
            uploads: Uploads::default(),
            corrected_times: CorrectedTimes::default(),
            clock: self.clock.clone(),
            spill_after: self.spill_after,
            runtime: Arc::clone(&self.runtime),
            registration: Some(registration),
        });
        shared.bucket.detach(janitor::run(Arc::downgrade(&shared)));
        shared
    }

    fn is_of(&self, name: &TenantName) -> bool {
        self.registration.as_ref().map_or(name.is_default(), |registration| registration.name() == name)
    }

    /// Returns whether a body of this length is streamed through in one request. Smaller ones are
    /// buffered, so that the request can be repeated.
    fn is_streamed_through(&self, length: u64) -> bool {
        length > self.sizes.read_ahead() && self.bucket.send_limit().is_some_and(|limit| length <= limit)
    }
}

impl ObjectStorage {
    /// Opens the storage in a bucket, without a request; see [`Self::check`].
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn open(bucket: Arc<dyn Bucket>, settings: &ObjectSettings) -> Result<Self, StorageError> {
        Ok(Self::open_sharing(bucket, settings, &ObjectResources::start(settings)?))
    }

    /// The same with resources that others use, too. The memory budget is theirs.
    #[must_use]
    pub fn open_sharing(
        bucket: Arc<dyn Bucket>,
        settings: &ObjectSettings,
        resources: &ObjectResources,
    ) -> Self {
        let ObjectResources { memory, runtime } = resources.clone();
        let sizes = PartSizes::new(bucket.part_limits(), settings.min_part_bytes, settings.part_bytes);
        let shared = Arc::new(Shared {
            bucket: RuntimeBucket::new(bucket, runtime.handle()),
            sizes,
            memory,
            uploads: Uploads::default(),
            corrected_times: CorrectedTimes::default(),
            clock: Clock::system(),
            spill_after: settings.spill_after,
            runtime,
            registration: None,
        });
        shared.bucket.detach(janitor::run(Arc::downgrade(&shared)));
        Self { shared, tenants: Some(Arc::default()) }
    }

    /// Checks that the bucket exists and can be listed and written to.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn check(&self) -> Result<(), StorageError> {
        self.shared.bucket.check().await
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    fn tenant(&self, name: &TenantName) -> Result<Arc<dyn Storage>, StorageError> {
        if self.shared.is_of(name) {
            let (shared, tenants) = (Arc::clone(&self.shared), self.tenants.clone());
            return Ok(Arc::new(Self { shared, tenants }));
        }
        let tenants = self.tenants.as_ref().ok_or_else(not_of_default)?;
        // Calls may run on after their handle is dropped: as in another process, the bucket decides.
        let shared = tenants.get(name, |of| (self.shared.of_tenant(of), Weak::new()))?;
        Ok(Arc::new(Self { shared, tenants: None }))
    }

    async fn forget_tenant(&self) -> Result<bool, StorageError> {
        if self.tenants.is_some() {
            return Err(not_for_default());
        }
        if !list::is_empty(&self.shared).await? {
            return Ok(false);
        }
        identity::remove(&self.shared).await?;
        Ok(true)
    }

    async fn stat(&self, object: &ObjectName) -> Result<u64, StorageError> {
        read::stat(&self.shared, object).await
    }

    async fn open(
        &self,
        object: &ObjectName,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        read::open(&self.shared, object, size_bytes, range).await
    }

    async fn put(&self, upload: &UploadName, source: Source) -> Result<Stored, StorageError> {
        put::put(&self.shared, upload, source).await
    }

    async fn put_block(
        &self,
        upload: &UploadName,
        id: &BlockId,
        source: Source,
    ) -> Result<u64, StorageError> {
        blocks::put_block(&self.shared, upload, id, source).await
    }

    async fn commit(&self, upload: &UploadName, ids: &[BlockId]) -> Result<Stored, StorageError> {
        commit::commit(&self.shared, upload, ids).await
    }

    async fn blocks(&self, upload: &UploadName) -> Result<Vec<StagedBlock>, StorageError> {
        let blocks = commit::blocks(&self.shared, upload).await?;
        Ok(blocks.into_iter().map(|(id, size_bytes)| StagedBlock { id, size_bytes }).collect())
    }

    async fn presign(
        &self,
        object: &ObjectName,
        size_bytes: u64,
        lifetime: Duration,
    ) -> Result<Option<String>, StorageError> {
        read::presign(&self.shared, object, size_bytes, lifetime).await
    }

    async fn discard(&self, upload: &UploadName) -> Result<(), StorageError> {
        list::discard(&self.shared, upload).await?;
        self.shared.corrected_times.forget(upload.as_str());
        Ok(())
    }

    async fn erase(&self, upload: &UploadName, kept: Option<&ObjectName>) -> Result<(), StorageError> {
        list::erase(&self.shared, upload, kept).await?;
        self.shared.corrected_times.forget(upload.as_str());
        Ok(())
    }

    async fn remove(&self, object: &ObjectName) -> Result<(), StorageError> {
        read::remove(&self.shared, object).await?;
        self.shared.corrected_times.forget(object.as_str());
        Ok(())
    }

    async fn set_object_time(&self, object: &ObjectName, modified_ms: u64) -> Result<(), StorageError> {
        self.shared.corrected_times.set(object.as_str(), modified_ms);
        Ok(())
    }

    async fn set_upload_time(&self, upload: &UploadName, modified_ms: u64) -> Result<(), StorageError> {
        self.shared.corrected_times.set(upload.as_str(), modified_ms);
        Ok(())
    }

    async fn flush(&self, objects: &[ObjectName]) -> Vec<Result<(), FlushError>> {
        objects.iter().map(|_| Ok(())).collect()
    }

    async fn identity(&self) -> Result<Option<String>, StorageError> {
        identity::read(&self.shared).await
    }

    async fn set_identity(&self, identity: &str, replace: bool) -> Result<String, StorageError> {
        identity::write(&self.shared, identity, replace).await
    }

    fn is_durable_at_once(&self) -> bool {
        true
    }

    async fn settle(&self) -> Result<(), StorageError> {
        janitor::settle_all(&self.shared).await
    }

    async fn list_objects(&self, from: Option<&str>) -> Result<Page<ObjectName>, StorageError> {
        let mut page = list::objects(&self.shared, from).await?;
        self.shared.corrected_times.apply(&mut page.items, ObjectName::as_str);
        Ok(page)
    }

    async fn list_uploads(&self, from: Option<&str>) -> Result<Page<UploadName>, StorageError> {
        let mut page = list::uploads(&self.shared, from).await?;
        self.shared.corrected_times.apply(&mut page.items, UploadName::as_str);
        Ok(page)
    }
}
