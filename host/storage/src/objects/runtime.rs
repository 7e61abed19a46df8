//! Runs the calls to a bucket on a runtime of their own, except for those that stream bytes to or
//! from a client.
//!
//! Each of the server's threads has a runtime that ends with the thread, and an HTTP connection
//! lives in the runtime that opened it. Buffered bytes may be sent after their thread has ended, so
//! they are sent from the runtime here. Streams between a client and the bucket stay on the
//! client's thread, over connections of that thread.

use std::{future::Future, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use larder_common::TenantName;
use thread_local::ThreadLocal;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

use crate::{
    Content, StorageError,
    bucket::{Bucket, BucketPage, ListedKey, OpenMultipart, Part, PartLimits, Pieces, tenant_folder},
};

/// Separates the folder and the bucket's cursor. In no folder.
const FOLDER_END: char = ':';

/// Threads of the runtime, mostly for encryption.
const THREADS: usize = 2;

/// The runtime. Dropping it stops all of its tasks.
#[derive(Debug)]
pub(super) struct IoRuntime {
    /// Always `Some` until it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl IoRuntime {
    pub(super) fn start() -> Result<Self, StorageError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("larder-objects")
            .enable_all()
            .build()
            .map_err(|error| StorageError::unavailable("start a thread", error))?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for IoRuntime {
    fn drop(&mut self) {
        // A plain drop would block the thread.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A task that is aborted when this is dropped.
pub(super) struct Task<T>(JoinHandle<Result<T, StorageError>>);

impl<T> Task<T> {
    pub(super) async fn join(mut self) -> Result<T, StorageError> {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) => Err(StorageError::unavailable("reach the storage", error)),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A bucket whose calls run on the [`IoRuntime`], except for streams; or a tenant's folder of it, with
/// the same connections.
#[derive(Clone)]
pub(super) struct RuntimeBucket {
    bucket: Arc<dyn Bucket>,
    handle: Handle,
    per_thread: Arc<ThreadLocal<Arc<dyn Bucket>>>,
    /// The beginning of all keys, which callers neither see nor write: empty, or ends with a slash.
    folder: Arc<str>,
}

impl RuntimeBucket {
    pub(super) fn new(bucket: Arc<dyn Bucket>, handle: Handle) -> Self {
        Self { bucket, handle, per_thread: Arc::default(), folder: "".into() }
    }

    /// The folder of a tenant.
    pub(super) fn of_tenant(&self, name: &TenantName) -> Self {
        Self { folder: format!("{}{}", self.folder, tenant_folder(name)).into(), ..self.clone() }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.folder)
    }

    /// Returns a listed key as callers know it. `None` for a key of another folder.
    fn without_folder(&self, key: &str) -> Option<String> {
        key.strip_prefix(&*self.folder).map(str::to_owned)
    }

    /// Returns the bucket with this thread's connections.
    async fn for_this_thread(&self) -> Result<Arc<dyn Bucket>, StorageError> {
        if let Some(local) = self.per_thread.get() {
            return Ok(Arc::clone(local));
        }
        let bucket = Arc::clone(&self.bucket);
        let made = self.handle.spawn_blocking(move || bucket.with_own_connections()).await;
        let own = made.map_err(|error| StorageError::unavailable("reach the storage", error))??;
        Ok(Arc::clone(self.per_thread.get_or(|| own.unwrap_or_else(|| Arc::clone(&self.bucket)))))
    }

    /// Runs `work` on the runtime until the task is dropped.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
    ) -> Task<T> {
        Task(self.handle.spawn(work))
    }

    /// Runs `work` on the runtime to its end.
    pub(super) fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(work));
    }

    async fn call<T: Send + 'static, F>(
        &self,
        call: impl FnOnce(Arc<dyn Bucket>) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>> + Send + 'static,
    {
        self.spawn(call(Arc::clone(&self.bucket))).join().await
    }

    /// Returns the bucket's cursor. One of another folder is refused.
    fn bucket_cursor(&self, from: Option<&str>) -> Result<Option<String>, StorageError> {
        let own = |from: &str| match from.split_once(FOLDER_END) {
            Some((folder, cursor)) if folder == &*self.folder => Ok(cursor.to_owned()),
            _ => Err(StorageError::Invalid("the cursor is one of another listing".to_owned())),
        };
        from.map(own).transpose()
    }

    /// Returns a page as callers know it. Its cursor names the folder.
    fn own_page<T>(&self, page: BucketPage<T>, own: impl Fn(T) -> Option<T>) -> BucketPage<T> {
        BucketPage {
            items: page.items.into_iter().filter_map(own).collect(),
            next: page.next.map(|next| format!("{}{FOLDER_END}{next}", self.folder)),
        }
    }
}

#[async_trait]
impl Bucket for RuntimeBucket {
    fn part_limits(&self) -> PartLimits {
        self.bucket.part_limits()
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.call(|bucket| async move { bucket.check().await }).await
    }

    async fn head(&self, key: &str) -> Result<u64, StorageError> {
        self.for_this_thread().await?.head(&self.key(key)).await
    }

    async fn get(
        &self,
        key: &str,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        self.for_this_thread().await?.get(&self.key(key), size_bytes, range).await
    }

    async fn read(&self, key: &str, limit: u64) -> Result<bytes::Bytes, StorageError> {
        let key = self.key(key);
        self.call(move |bucket| async move { bucket.read(&key, limit).await }).await
    }

    async fn put(&self, key: &str, body: Pieces) -> Result<(), StorageError> {
        let key = self.key(key);
        self.call(|bucket| async move { bucket.put(&key, body).await }).await
    }

    fn send_limit(&self) -> Option<u64> {
        self.bucket.send_limit()
    }

    async fn send(&self, key: &str, content: Content) -> Result<(), StorageError> {
        self.for_this_thread().await?.send(&self.key(key), content).await
    }

    async fn send_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        content: Content,
    ) -> Result<Part, StorageError> {
        self.for_this_thread().await?.send_part(&self.key(key), multipart, number, content).await
    }

    async fn put_new(&self, key: &str, body: Pieces) -> Result<bool, StorageError> {
        let key = self.key(key);
        self.call(|bucket| async move { bucket.put_new(&key, body).await }).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), StorageError> {
        let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
        self.call(|bucket| async move { bucket.remove(&keys).await }).await
    }

    async fn list(&self, prefix: &str, from: Option<&str>) -> Result<BucketPage<ListedKey>, StorageError> {
        let (prefix, from) = (self.key(prefix), self.bucket_cursor(from)?);
        let page = self.call(|bucket| async move { bucket.list(&prefix, from.as_deref()).await }).await?;
        let own = |item: ListedKey| Some(ListedKey { key: self.without_folder(&item.key)?, ..item });
        Ok(self.own_page(page, own))
    }

    async fn begin(&self, key: &str) -> Result<String, StorageError> {
        let key = self.key(key);
        self.call(|bucket| async move { bucket.begin(&key).await }).await
    }

    async fn put_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        body: Pieces,
    ) -> Result<Part, StorageError> {
        let (key, multipart) = (self.key(key), multipart.to_owned());
        self.call(move |bucket| async move { bucket.put_part(&key, &multipart, number, body).await }).await
    }

    async fn complete(&self, key: &str, multipart: &str, parts: &[Part]) -> Result<(), StorageError> {
        let (key, multipart, parts) = (self.key(key), multipart.to_owned(), parts.to_vec());
        self.call(|bucket| async move { bucket.complete(&key, &multipart, &parts).await }).await
    }

    async fn abort(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        let (key, multipart) = (self.key(key), multipart.to_owned());
        self.call(|bucket| async move { bucket.abort(&key, &multipart).await }).await
    }

    async fn list_multiparts(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError> {
        let (prefix, from) = (self.key(prefix), self.bucket_cursor(from)?);
        let page =
            self.call(|bucket| async move { bucket.list_multiparts(&prefix, from.as_deref()).await }).await?;
        let own = |item: OpenMultipart| Some(OpenMultipart { key: self.without_folder(&item.key)?, ..item });
        Ok(self.own_page(page, own))
    }

    async fn presign(&self, key: &str, lifetime: Duration) -> Result<Option<String>, StorageError> {
        let key = self.key(key);
        self.call(move |bucket| async move { bucket.presign(&key, lifetime).await }).await
    }
}
