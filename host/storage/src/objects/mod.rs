//! A [`Storage`] on top of any [`Bucket`]: objects in an object store.
//!
//! The parts, along the way of an upload and a download: `put`, or `uploads`, `blocks`, `session`, `leftovers` and
//! `commit`, which follows a `plan`; then `read`, with `manifest` for what lies in pieces. `keys` alone knows the names in
//! the bucket, `journal` what is remembered there, `numbers` the order of parts, `memory` the memory, `hosted` the threads.
//!
//! Any number of processes may use one bucket, also for blocks of the same upload. Knows nothing of the index: objects to
//! which nothing refers are left for the sweep to find by listing.

mod blocks;
mod body;
mod commit;
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

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;

use self::{
    memory::MemoryBudget,
    part_size::PartSizes,
    runtime::{IoRuntime, RuntimeBucket},
    uploads::Uploads,
};
use super::{
    BlockId, Content, FlushError, ObjectName, Page, Source, StagedBlock, Storage, StorageError, Stored,
    UploadName, bucket::Bucket,
};
use larder_common::clock::Clock;

/// How the layer works. The defaults are right but for the memory.
#[derive(Clone, Debug)]
pub struct ObjectSettings {
    /// How many bytes of uploads may be in memory at once. Bodies that announce no length come with up to one smallest
    /// part (5 MiB) each on top of it.
    pub buffer_bytes: u64,
    /// How long blocks that are too few for a part stay in memory only, after the last of them.
    pub spill_after: Duration,
    /// How long an upload waits for memory before that is an error.
    pub acquire_timeout: Duration,
    /// Smallest part, where the service allows smaller ones.
    pub min_part_bytes: u64,
    /// What a part should have.
    pub part_bytes: u64,
}

impl ObjectSettings {
    /// Settings for so much memory.
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

/// A [`Storage`] in a bucket.
///
/// What `put` and `commit` return is durable. A staged block that is smaller than a part may be lost when the process is
/// killed within a second of it (see [`ObjectSettings::spill_after`]); then the commit refuses it. Everything else that is
/// staged survives, and other processes can commit it.
pub struct ObjectStorage {
    shared: Arc<Shared>,
}

/// What all calls share.
struct Shared {
    bucket: RuntimeBucket,
    sizes: PartSizes,
    memory: Arc<MemoryBudget>,
    uploads: Uploads,
    clock: Clock,
    spill_after: Duration,
    _runtime: IoRuntime,
}

impl Shared {
    /// Returns whether a body of this length is sent on while it comes: what is small is kept in memory, so that a request can be
    /// repeated.
    fn is_streamed_through(&self, length: u64) -> bool {
        length > self.sizes.read_ahead() && self.bucket.send_limit().is_some_and(|limit| length <= limit)
    }
}

impl ObjectStorage {
    /// Opens the storage in a bucket. Asks the bucket for nothing; see [`Bucket::check`].
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn open(bucket: Arc<dyn Bucket>, settings: &ObjectSettings) -> Result<Self, StorageError> {
        let runtime = IoRuntime::start()?;
        let handle = runtime.handle();
        let sizes = PartSizes::new(bucket.part_limits(), settings.min_part_bytes, settings.part_bytes);
        let shared = Arc::new(Shared {
            bucket: RuntimeBucket::new(bucket, handle),
            sizes,
            memory: Arc::new(MemoryBudget::new(settings.buffer_bytes, settings.acquire_timeout)),
            uploads: Uploads::default(),
            clock: Clock::system(),
            spill_after: settings.spill_after,
            _runtime: runtime,
        });
        shared.bucket.detach(janitor::work(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    /// Makes sure that the bucket is there and can be used, for a clear failure at the start.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn check(&self) -> Result<(), StorageError> {
        self.shared.bucket.check().await
    }
}

#[async_trait]
impl Storage for ObjectStorage {
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
        list::discard(&self.shared, upload).await
    }

    async fn remove(&self, object: &ObjectName) -> Result<(), StorageError> {
        read::remove(&self.shared, object).await
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
        list::objects(&self.shared, from).await
    }

    async fn list_uploads(&self, from: Option<&str>) -> Result<Page<UploadName>, StorageError> {
        list::uploads(&self.shared, from).await
    }
}
