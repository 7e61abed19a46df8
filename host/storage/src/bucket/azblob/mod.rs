//! Azure Blob Storage.
//!
//! Parts are the blocks of one blob. The service deletes uncommitted blocks after a week, so there
//! are no multipart uploads to list. Blocks belong to the blob and not to an attempt: a commit
//! drops what other attempts have staged for the same key. So `objects/` gives each attempt a key
//! of its own.

mod account;
mod http;
mod send;
#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc, time::Duration};

use ::http::Method;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use larder_common::causes::{causes, chain};
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig,
    azure::MicrosoftAzure,
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::Path,
    signer::Signer,
};
use tokio::time::timeout;

use self::account::Account;
pub use self::account::{AzblobAccount, AzblobSettings};
use super::{
    Bucket, BucketPage, ListedKey, OpenMultipart, Part, PartLimits, Pieces,
    http::{BucketMissing, RETRY_FACTOR, RetryPolicy, http_client, key_prefix, unavailable},
    stall::TimedOut,
};
use crate::{Content, StorageError};

/// Largest part number: most blocks of a blob (the service's limit).
const MAX_NUMBER: u32 = 50_000;
/// Largest block in bytes. A blob that is stored with one request may be larger.
const SEND_LIMIT: u64 = 4000 << 20;
/// Items per page of a listing.
const PAGE: usize = 1000;
/// Concurrent deletes of one call.
const DELETES_AT_ONCE: usize = 16;
/// Most retries of a call.
const MAX_RETRIES: usize = 3;
/// Error code for a block list with an unknown block.
const UNKNOWN_BLOCK: &str = "InvalidBlockList";
/// Error code for a missing container.
const UNKNOWN_CONTAINER: &str = "ContainerNotFound";

/// A container.
pub struct AzblobBucket {
    store: MicrosoftAzure,
    /// The same connections, for requests that the library does not support.
    http: reqwest::Client,
    account: String,
    container: String,
    /// The URL of the service without credentials, for messages.
    service_url: String,
    /// Prefix of all keys: empty, or ends with a slash.
    key_prefix: String,
    retry_policy: RetryPolicy,
    settings: AzblobSettings,
}

impl AzblobBucket {
    /// Reads the account. [`Bucket::check`] checks the container itself.
    ///
    /// # Errors
    /// When the connection string is malformed, or there are no credentials.
    pub fn connect(settings: AzblobSettings) -> Result<Self, StorageError> {
        let retry_policy = RetryPolicy { timeout: settings.timeout };
        let retry = RetryConfig {
            max_retries: MAX_RETRIES,
            retry_timeout: settings.timeout * RETRY_FACTOR,
            ..RetryConfig::default()
        };
        let Account { builder, name, service_url } = settings.account.read()?;
        let http = http_client(&settings.tls, &settings.proxies)?;
        let store = builder
            .with_container_name(&settings.container)
            .with_retry(retry)
            .with_http_connector(http::Connector::new(http.clone()))
            .build()
            .map_err(|error| unavailable("set up Azure Blob Storage", error))?;
        let (container, key_prefix) = (settings.container.clone(), key_prefix(&settings.prefix));
        Ok(Self { store, http, account: name, container, service_url, key_prefix, retry_policy, settings })
    }

    fn path(&self, key: &str) -> Result<Path, StorageError> {
        Path::parse(format!("{}{key}", self.key_prefix))
            .map_err(|_| StorageError::Invalid(format!("the key {key}")))
    }

    /// Waits for a call without a body; the library retries it.
    async fn call<T>(
        &self,
        context: &'static str,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StorageError> {
        self.call_with(0, context, call).await
    }

    /// Waits for a call with a body of `bytes`.
    async fn call_with<T>(
        &self,
        bytes: usize,
        context: &'static str,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StorageError> {
        let limit = self.retry_policy.for_bytes(bytes) * RETRY_FACTOR;
        match timeout(limit, call).await {
            Ok(response) => response.map_err(|error| failure(context, error)),
            Err(_) => Err(unavailable(context, TimedOut(limit))),
        }
    }

    async fn remove_one(&self, key: &str) -> Result<(), StorageError> {
        let path = self.path(key)?;
        match self.call("deleting an object", self.store.delete(&path)).await {
            Ok(()) | Err(StorageError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn page(
        &self,
        prefix: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<BucketPage<ListedKey>, StorageError> {
        let options = PaginatedListOptions {
            max_keys: Some(limit),
            page_token: from.map(str::to_owned),
            ..PaginatedListOptions::default()
        };
        let prefix = format!("{}{prefix}", self.key_prefix);
        let found = self.call("listing objects", self.store.list_paginated(Some(&prefix), options)).await?;
        let items = found.result.objects.iter().filter_map(|object| self.listed(object));
        Ok(BucketPage { items: items.collect(), next: found.page_token })
    }

    fn listed(&self, object: &ObjectMeta) -> Option<ListedKey> {
        Some(ListedKey {
            key: object.location.as_ref().strip_prefix(&self.key_prefix)?.to_owned(),
            size_bytes: object.size,
            modified_ms: u64::try_from(object.last_modified.timestamp_millis()).unwrap_or_default(),
        })
    }
}

#[async_trait]
impl Bucket for AzblobBucket {
    fn part_limits(&self) -> PartLimits {
        PartLimits { min_bytes: 1, max_number: MAX_NUMBER }
    }

    fn with_own_connections(&self) -> Result<Option<Arc<dyn Bucket>>, StorageError> {
        Ok(Some(Arc::new(Self::connect(self.settings.clone())?)))
    }

    async fn check(&self) -> Result<(), StorageError> {
        let missing = |error: &StorageError| match error {
            StorageError::NotFound => true,
            StorageError::Unavailable { source, .. } => mentions(&**source, UNKNOWN_CONTAINER),
            StorageError::NoSpace | StorageError::TooLarge | StorageError::Invalid(_) => false,
        };
        if let Err(error) = self.page("", None, 1).await {
            if !missing(&error) {
                return Err(error);
            }
            let (name, service_url) = (self.container.clone(), self.service_url.clone());
            let missing = BucketMissing { kind: "the container", name, server: service_url };
            return Err(unavailable("looking for the container", missing));
        }
        // A key that may read but not write would otherwise fail only at the first save.
        let probe = format!("_check/{}", uuid::Uuid::new_v4().simple());
        self.put(&probe, vec![Bytes::from_static(b"larder")]).await?;
        self.remove(&[probe]).await
    }

    async fn head(&self, key: &str) -> Result<u64, StorageError> {
        let path = self.path(key)?;
        Ok(self.call("looking for an object", self.store.head(&path)).await?.size)
    }

    async fn get(
        &self,
        key: &str,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        let path = self.path(key)?;
        let length = range.as_ref().map_or(size_bytes, |range| range.end - range.start);
        let ranged = range.is_some();
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let opened = self.call("reading an object", self.store.get_opts(&path, options)).await;
        let opened = match opened {
            // The library does not distinguish an unsatisfiable range from other failures.
            Err(StorageError::Unavailable { .. }) if ranged && self.head(key).await? != size_bytes => {
                return Err(StorageError::NotFound);
            }
            opened => opened?,
        };
        if opened.meta.size != size_bytes || opened.range.end - opened.range.start != length {
            return Err(StorageError::NotFound);
        }
        Ok(self.retry_policy.content(length, opened.into_stream()))
    }

    async fn read(&self, key: &str, limit: u64) -> Result<Bytes, StorageError> {
        let path = self.path(key)?;
        let opened = self.call("reading an object", self.store.get(&path)).await?;
        let length = opened.meta.size;
        self.retry_policy.read(length, limit, opened.into_stream()).await
    }

    async fn put(&self, key: &str, body: Pieces) -> Result<(), StorageError> {
        self.put_blob(key, &body).await
    }

    fn send_limit(&self) -> Option<u64> {
        Some(SEND_LIMIT)
    }

    async fn send(&self, key: &str, content: Content) -> Result<(), StorageError> {
        self.send_blob(key, content).await
    }

    async fn send_part(
        &self,
        key: &str,
        _multipart: &str,
        number: u32,
        content: Content,
    ) -> Result<Part, StorageError> {
        Ok(Part { number, tag: self.send_block(key, content).await? })
    }

    async fn put_new(&self, key: &str, body: Pieces) -> Result<bool, StorageError> {
        let (path, body) = (self.path(key)?, PutPayload::from_iter(body));
        let (bytes, new) = (body.content_length(), PutOptions::from(PutMode::Create));
        let stored = self.store.put_opts(&path, body, new);
        let exists = async {
            match stored.await {
                Ok(_) => Ok(true),
                Err(Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.call_with(bytes, "storing an object", exists).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), StorageError> {
        let deletes: Vec<_> = keys.iter().map(|key| self.remove_one(key)).collect();
        stream::iter(deletes).buffer_unordered(DELETES_AT_ONCE).try_collect().await
    }

    async fn list(&self, prefix: &str, from: Option<&str>) -> Result<BucketPage<ListedKey>, StorageError> {
        self.page(prefix, from, PAGE).await
    }

    async fn begin(&self, _key: &str) -> Result<String, StorageError> {
        // The service has no multipart ids; the ids of blocks are random.
        Ok(uuid::Uuid::new_v4().simple().to_string())
    }

    async fn put_part(
        &self,
        key: &str,
        _multipart: &str,
        number: u32,
        body: Pieces,
    ) -> Result<Part, StorageError> {
        Ok(Part { number, tag: self.put_block(key, &body).await? })
    }

    async fn complete(&self, key: &str, multipart: &str, parts: &[Part]) -> Result<(), StorageError> {
        let (path, id) = (self.path(key)?, multipart.to_owned());
        let parts = parts.iter().map(|part| PartId { content_id: part.tag.clone() }).collect();
        match self.call("committing blocks", self.store.complete_multipart(&path, &id, parts)).await {
            Err(StorageError::Unavailable { source, .. }) if mentions(&*source, UNKNOWN_BLOCK) => {
                Err(StorageError::NotFound)
            }
            outcome => outcome.map(drop),
        }
    }

    /// The service cannot drop blocks; it deletes them after a week.
    async fn abort(&self, _key: &str, _multipart: &str) -> Result<(), StorageError> {
        Ok(())
    }

    async fn list_multiparts(
        &self,
        _prefix: &str,
        _from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError> {
        Ok(BucketPage { items: Vec::new(), next: None })
    }

    async fn presign(&self, key: &str, lifetime: Duration) -> Result<Option<String>, StorageError> {
        let path = self.path(key)?;
        let signed = self.call("signing a URL", self.store.signed_url(Method::GET, &path, lifetime)).await;
        match signed {
            Ok(url) => Ok(Some(url.into())),
            // A shared access signature cannot sign URLs, and an identity may lack the permission.
            // Then downloads go through this server.
            Err(error) => {
                tracing::debug!(error = %chain(&error), "cannot sign a URL of the container; the download goes through this server");
                Ok(None)
            }
        }
    }
}

fn failure(context: &'static str, error: Error) -> StorageError {
    match error {
        Error::NotFound { .. } => StorageError::NotFound,
        error => unavailable(context, error),
    }
}

/// Returns whether the text of an error, or of one of its causes, contains `words`.
fn mentions(error: &(dyn std::error::Error + 'static), words: &str) -> bool {
    causes(error).any(|cause| cause.to_string().contains(words))
}
