//! A storage that fails as a test plans.
//!
//! A [`Faults`] is shared by the wrapper and the test, and has the calls that fail. All other calls
//! pass through.

#[cfg(test)]
mod tests;

use std::{future::Future, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use larder_common::TenantName;
use parking_lot::Mutex;

use crate::{
    BlockId, Content, DiskUsage, FlushError, ObjectName, Page, Source, StagedBlock, Storage, StorageError,
    Stored, UploadName,
};

/// The fault of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not made, and fails.
    Fail,
    /// It is made, but its result is lost.
    LoseAnswer,
    /// It is delayed.
    Delay(Duration),
    /// It returns [`StorageError::NotFound`].
    Miss,
    /// It returns [`StorageError::NoSpace`].
    NoSpace,
    /// A flush loses the object's bytes. With [`Fault::Fail`] they may be flushed later.
    Lost,
    /// A bucket's client makes it twice, as after a lost response, and returns the second result.
    Repeat,
    /// The content that it returns fails after this many bytes.
    Cut(u64),
}

struct Rule {
    /// The name of the method; empty for all.
    call: &'static str,
    skip: usize,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct FaultState {
    rules: Vec<Rule>,
    is_down: bool,
    calls: Vec<&'static str>,
}

/// The planned faults.
#[derive(Default)]
pub struct Faults(Mutex<FaultState>);

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// Plans a fault for `times` calls of a method, after the first `skip`. Any method: `""`.
    pub fn add(&self, call: &'static str, skip: usize, times: usize, fault: Fault) {
        self.0.lock().rules.push(Rule { call, skip, times, fault });
    }

    /// Makes all calls fail from now on, or no longer.
    pub fn set_down(&self, is_down: bool) {
        self.0.lock().is_down = is_down;
    }

    /// Removes all planned faults.
    pub fn clear(&self) {
        let mut state = self.0.lock();
        state.rules.clear();
        state.is_down = false;
    }

    /// Returns the names of the calls so far, and clears them.
    pub fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().calls)
    }

    pub(super) fn next(&self, call: &'static str) -> Option<Fault> {
        let mut state = self.0.lock();
        state.calls.push(call);
        if state.is_down {
            return Some(Fault::Fail);
        }
        for rule in state.rules.iter_mut().filter(|rule| rule.call.is_empty() || rule.call == call) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                return Some(rule.fault.clone());
            }
        }
        None
    }

    pub(super) async fn around<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        apply(self.next(call), work).await
    }

    pub(super) async fn around_content(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<Content, StorageError>>,
    ) -> Result<Content, StorageError> {
        match self.next(call) {
            Some(Fault::Cut(after)) => work.await.map(|content| cut_after(content, after)),
            fault => apply(fault, work).await,
        }
    }
}

pub(super) async fn apply<T>(
    fault: Option<Fault>,
    work: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    match fault {
        None | Some(Fault::Cut(_) | Fault::Repeat | Fault::Lost) => work.await,
        Some(Fault::Fail) => Err(injected()),
        Some(Fault::LoseAnswer) => work.await.and_then(|_| Err(injected())),
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            work.await
        }
        Some(Fault::Miss) => Err(StorageError::NotFound),
        Some(Fault::NoSpace) => Err(StorageError::NoSpace),
    }
}

fn injected() -> StorageError {
    StorageError::unavailable("making a call", "a planned fault")
}

fn cut_after(content: Content, after: u64) -> Content {
    let Content { length, chunks } = content;
    let whole = chunks.scan(after, |left, chunk| {
        let chunk = chunk.map(|mut bytes| {
            let kept = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            *left -= kept as u64;
            bytes.truncate(kept);
            bytes
        });
        let goes_on = !matches!(&chunk, Ok(bytes) if bytes.is_empty());
        async move { goes_on.then_some(chunk) }
    });
    Content { length, chunks: whole.chain(stream::iter([Err(injected())])).boxed() }
}

/// A storage that fails as planned.
pub struct FaultyStorage {
    /// The wrapped storage.
    pub inner: Arc<dyn Storage>,
    /// The planned faults.
    pub faults: Arc<Faults>,
}

#[async_trait]
impl Storage for FaultyStorage {
    /// The faults are planned for all tenants together.
    fn tenant(&self, name: &TenantName) -> Result<Arc<dyn Storage>, StorageError> {
        let (inner, faults) = (self.inner.tenant(name)?, Arc::clone(&self.faults));
        Ok(Arc::new(Self { inner, faults }))
    }

    async fn forget_tenant(&self) -> Result<bool, StorageError> {
        self.faults.around("forget_tenant", self.inner.forget_tenant()).await
    }

    async fn stat(&self, object: &ObjectName) -> Result<u64, StorageError> {
        self.faults.around("stat", self.inner.stat(object)).await
    }

    async fn open(
        &self,
        object: &ObjectName,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        self.faults.around_content("open", self.inner.open(object, size_bytes, range)).await
    }

    async fn put(&self, upload: &UploadName, source: Source) -> Result<Stored, StorageError> {
        self.faults.around("put", self.inner.put(upload, source)).await
    }

    async fn put_block(
        &self,
        upload: &UploadName,
        id: &BlockId,
        source: Source,
    ) -> Result<u64, StorageError> {
        self.faults.around("put_block", self.inner.put_block(upload, id, source)).await
    }

    async fn commit(&self, upload: &UploadName, ids: &[BlockId]) -> Result<Stored, StorageError> {
        self.faults.around("commit", self.inner.commit(upload, ids)).await
    }

    async fn blocks(&self, upload: &UploadName) -> Result<Vec<StagedBlock>, StorageError> {
        self.faults.around("blocks", self.inner.blocks(upload)).await
    }

    async fn presign(
        &self,
        object: &ObjectName,
        size_bytes: u64,
        lifetime: Duration,
    ) -> Result<Option<String>, StorageError> {
        self.faults.around("presign", self.inner.presign(object, size_bytes, lifetime)).await
    }

    async fn discard(&self, upload: &UploadName) -> Result<(), StorageError> {
        self.faults.around("discard", self.inner.discard(upload)).await
    }

    async fn remove(&self, object: &ObjectName) -> Result<(), StorageError> {
        self.faults.around("remove", self.inner.remove(object)).await
    }

    async fn set_object_time(&self, object: &ObjectName, modified_ms: u64) -> Result<(), StorageError> {
        self.faults.around("set_object_time", self.inner.set_object_time(object, modified_ms)).await
    }

    async fn set_upload_time(&self, upload: &UploadName, modified_ms: u64) -> Result<(), StorageError> {
        self.faults.around("set_upload_time", self.inner.set_upload_time(upload, modified_ms)).await
    }

    /// Faults are planned for each object.
    async fn flush(&self, objects: &[ObjectName]) -> Vec<Result<(), FlushError>> {
        let mut outcomes = Vec::new();
        for object in objects {
            match self.faults.next("flush") {
                Some(Fault::Fail) => outcomes.push(Err(FlushError::Retry(injected()))),
                Some(Fault::Lost) => outcomes.push(Err(FlushError::Lost(injected()))),
                _ => outcomes.extend(self.inner.flush(std::slice::from_ref(object)).await),
            }
        }
        outcomes
    }

    async fn erase(&self, upload: &UploadName, kept: Option<&ObjectName>) -> Result<(), StorageError> {
        self.faults.around("erase", self.inner.erase(upload, kept)).await
    }

    async fn disk_usage(&self) -> Result<Option<DiskUsage>, StorageError> {
        self.faults.around("disk_usage", self.inner.disk_usage()).await
    }

    async fn has_room(&self) -> Result<bool, StorageError> {
        match self.faults.next("has_room") {
            Some(Fault::NoSpace) => Ok(false),
            fault => apply(fault, self.inner.has_room()).await,
        }
    }

    async fn identity(&self) -> Result<Option<String>, StorageError> {
        self.faults.around("identity", self.inner.identity()).await
    }

    async fn set_identity(&self, identity: &str, replace: bool) -> Result<String, StorageError> {
        self.faults.around("set_identity", self.inner.set_identity(identity, replace)).await
    }

    fn is_durable_at_once(&self) -> bool {
        self.inner.is_durable_at_once()
    }

    async fn settle(&self) -> Result<(), StorageError> {
        self.faults.around("settle", self.inner.settle()).await
    }

    async fn list_objects(&self, from: Option<&str>) -> Result<Page<ObjectName>, StorageError> {
        self.faults.around("list_objects", self.inner.list_objects(from)).await
    }

    async fn list_uploads(&self, from: Option<&str>) -> Result<Page<UploadName>, StorageError> {
        self.faults.around("list_uploads", self.inner.list_uploads(from)).await
    }
}
