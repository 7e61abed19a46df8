//! Storages and buckets that fail by plan, for tests.
//!
//! A [`Faults`] says which calls suffer what; it is shared by a wrapper and the test. What it does not name goes through.
#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod tests;

use std::{future::Future, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use super::{
    BlockId, Content, FlushError, ObjectName, Page, Source, StagedBlock, Storage, StorageError, Stored,
    UploadName,
    bucket::{Bucket, BucketPage, ListedKey, OpenMultipart, Part, PartLimits, Pieces},
};

/// What a call suffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not done, and says so.
    Fail,
    /// It is done, but its answer is lost.
    LoseAnswer,
    /// It takes so long.
    Delay(Duration),
    /// It finds nothing.
    Miss,
    /// There is no space for it.
    NoSpace,
    /// Of a flush: the object's bytes are lost. [`Fault::Fail`]: they may be flushed later.
    Lost,
    /// A bucket's client makes it twice, as after a lost answer, and tells what the second one said.
    Repeat,
    /// The content that it returns breaks off after so many bytes.
    Cut(u64),
}

struct Rule {
    /// The name of the method; every one, where it is empty.
    call: &'static str,
    skip: usize,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    is_down: bool,
    calls: Vec<&'static str>,
}

/// Which calls suffer what.
#[derive(Default)]
pub(crate) struct Faults(Mutex<State>);

impl Faults {
    pub(crate) fn none() -> Arc<Self> {
        Arc::default()
    }

    /// Lets the calls of a method suffer: after the first `skip` of them, so many `times`. A method of any name: `""`.
    pub(crate) fn add(&self, call: &'static str, skip: usize, times: usize, fault: Fault) {
        self.0.lock().rules.push(Rule { call, skip, times, fault });
    }

    /// Lets everything fail from now on, or no longer.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.0.lock().is_down = is_down;
    }

    /// Forgets all that is planned.
    pub(crate) fn clear(&self) {
        let mut state = self.0.lock();
        state.rules.clear();
        state.is_down = false;
    }

    /// Returns the calls so far, and forgets them.
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().calls)
    }

    fn next(&self, call: &'static str) -> Option<Fault> {
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

    async fn around<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        suffer(self.next(call), work).await
    }

    async fn around_content(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<Content, StorageError>>,
    ) -> Result<Content, StorageError> {
        match self.next(call) {
            Some(Fault::Cut(after)) => work.await.map(|content| cut_after(content, after)),
            fault => suffer(fault, work).await,
        }
    }
}

async fn suffer<T>(
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
    StorageError::unavailable("do as asked", "a fault was planned here")
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

/// A storage that fails by plan.
pub(crate) struct FaultyStorage {
    pub(crate) inner: Arc<dyn Storage>,
    pub(crate) faults: Arc<Faults>,
}

#[async_trait]
impl Storage for FaultyStorage {
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

    async fn has_room(&self) -> Result<bool, StorageError> {
        match self.faults.next("has_room") {
            Some(Fault::NoSpace) => Ok(false),
            fault => suffer(fault, self.inner.has_room()).await,
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

/// A bucket that fails by plan.
pub(crate) struct FaultyBucket {
    pub(crate) inner: Arc<dyn Bucket>,
    pub(crate) faults: Arc<Faults>,
}

#[async_trait]
impl Bucket for FaultyBucket {
    fn part_limits(&self) -> PartLimits {
        self.inner.part_limits()
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.faults.around("check", self.inner.check()).await
    }

    async fn head(&self, key: &str) -> Result<u64, StorageError> {
        self.faults.around("head", self.inner.head(key)).await
    }

    async fn get(
        &self,
        key: &str,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        self.faults.around_content("get", self.inner.get(key, size_bytes, range)).await
    }

    async fn read(&self, key: &str, limit: u64) -> Result<Bytes, StorageError> {
        self.faults.around("read", self.inner.read(key, limit)).await
    }

    async fn put(&self, key: &str, body: Pieces) -> Result<(), StorageError> {
        self.faults.around("put", self.inner.put(key, body)).await
    }

    fn send_limit(&self) -> Option<u64> {
        self.inner.send_limit()
    }

    async fn send(&self, key: &str, content: Content) -> Result<(), StorageError> {
        self.faults.around("send", self.inner.send(key, content)).await
    }

    async fn send_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        content: Content,
    ) -> Result<Part, StorageError> {
        self.faults.around("send_part", self.inner.send_part(key, multipart, number, content)).await
    }

    async fn put_new(&self, key: &str, body: Pieces) -> Result<bool, StorageError> {
        match self.faults.next("put_new") {
            Some(Fault::Repeat) => {
                self.inner.put_new(key, body.clone()).await?;
                self.inner.put_new(key, body).await
            }
            fault => suffer(fault, self.inner.put_new(key, body)).await,
        }
    }

    async fn remove(&self, keys: &[String]) -> Result<(), StorageError> {
        self.faults.around("remove", self.inner.remove(keys)).await
    }

    async fn list(&self, prefix: &str, from: Option<&str>) -> Result<BucketPage<ListedKey>, StorageError> {
        self.faults.around("list", self.inner.list(prefix, from)).await
    }

    async fn begin(&self, key: &str) -> Result<String, StorageError> {
        self.faults.around("begin", self.inner.begin(key)).await
    }

    async fn put_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        body: Pieces,
    ) -> Result<Part, StorageError> {
        self.faults.around("put_part", self.inner.put_part(key, multipart, number, body)).await
    }

    async fn complete(&self, key: &str, multipart: &str, parts: &[Part]) -> Result<(), StorageError> {
        match self.faults.next("complete") {
            Some(Fault::Repeat) => {
                self.inner.complete(key, multipart, parts).await?;
                self.inner.complete(key, multipart, parts).await
            }
            fault => suffer(fault, self.inner.complete(key, multipart, parts)).await,
        }
    }

    async fn abort(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        self.faults.around("abort", self.inner.abort(key, multipart)).await
    }

    async fn list_multiparts(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError> {
        self.faults.around("list_multiparts", self.inner.list_multiparts(prefix, from)).await
    }

    async fn presign(&self, key: &str, lifetime: Duration) -> Result<Option<String>, StorageError> {
        self.faults.around("presign", self.inner.presign(key, lifetime)).await
    }
}
