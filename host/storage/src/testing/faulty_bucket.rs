//! A bucket that fails as a test plans.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::faulty::{Fault, Faults, apply};
use crate::{
    Content, StorageError,
    bucket::{Bucket, BucketPage, ListedKey, OpenMultipart, Part, PartLimits, Pieces},
};

/// A bucket that fails as planned.
pub struct FaultyBucket {
    /// The wrapped bucket.
    pub inner: Arc<dyn Bucket>,
    /// The planned faults.
    pub faults: Arc<Faults>,
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
            fault => apply(fault, self.inner.put_new(key, body)).await,
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
            fault => apply(fault, self.inner.complete(key, multipart, parts)).await,
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
