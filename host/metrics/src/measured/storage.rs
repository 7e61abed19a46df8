//! A storage whose calls are measured.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use larder_common::TenantName;
use larder_storage::{
    BlockId, Content, DiskUsage, FlushError, ObjectName, Page, Source, StagedBlock, Storage, StorageError,
    Stored, UploadName,
};

use super::measured;
use crate::{Health, Metrics, calls::Meters};

/// A storage that measures each call of another one. Handles of tenants count with it. The time of a
/// download is not in it: [`Storage::open`] ends when the content is open.
pub struct MeasuredStorage {
    inner: Arc<dyn Storage>,
    meters: Arc<Meters>,
}

impl MeasuredStorage {
    /// Measures a storage. `backend` is the name of its driver. Where nothing is counted, the storage
    /// is returned as it is.
    #[must_use]
    pub fn around(
        inner: Arc<dyn Storage>,
        backend: &str,
        metrics: &Metrics,
        health: &Health,
    ) -> Arc<dyn Storage> {
        if !metrics.is_enabled() {
            return inner;
        }
        let families = &metrics.families.storage_calls;
        Arc::new(Self { inner, meters: Meters::new(families, backend, CALLS, health.storage()) })
    }
}

measured! {
    impl Storage for MeasuredStorage, StorageError, own {
        fn tenant(&self, name: &TenantName) -> Result<Arc<dyn Storage>, StorageError> {
            Ok(Arc::new(Self { inner: self.inner.tenant(name)?, meters: self.meters.clone() }))
        }

        async fn flush(&self, objects: &[ObjectName]) -> Vec<Result<(), FlushError>> {
            self.inner.flush(objects).await
        }

        fn is_durable_at_once(&self) -> bool {
            self.inner.is_durable_at_once()
        }
    },
    fn forget_tenant(&self) -> bool;
    fn stat(&self, object: &ObjectName) -> u64;
    fn open(&self, object: &ObjectName, size_bytes: u64, range: Option<Range<u64>>) -> Content;
    fn put(&self, upload: &UploadName, source: Source) -> Stored;
    fn put_block(&self, upload: &UploadName, id: &BlockId, source: Source) -> u64;
    fn commit(&self, upload: &UploadName, ids: &[BlockId]) -> Stored;
    fn blocks(&self, upload: &UploadName) -> Vec<StagedBlock>;
    fn presign(&self, object: &ObjectName, size_bytes: u64, lifetime: Duration) -> Option<String>;
    fn discard(&self, upload: &UploadName) -> ();
    fn erase(&self, upload: &UploadName, kept: Option<&ObjectName>) -> ();
    fn remove(&self, object: &ObjectName) -> ();
    fn set_object_time(&self, object: &ObjectName, modified_ms: u64) -> ();
    fn set_upload_time(&self, upload: &UploadName, modified_ms: u64) -> ();
    fn has_room(&self) -> bool;
    fn disk_usage(&self) -> Option<DiskUsage>;
    fn identity(&self) -> Option<String>;
    fn set_identity(&self, identity: &str, replace: bool) -> String;
    fn settle(&self) -> ();
    fn list_objects(&self, from: Option<&str>) -> Page<ObjectName>;
    fn list_uploads(&self, from: Option<&str>) -> Page<UploadName>;
}
