//! Google Cloud Storage, over its JSON API.
//!
//! This API has no multipart uploads like those of S3. Parts are objects of their own, and
//! [`complete`](Bucket::complete) has the service compose them, at most 32 at a time, in rounds
//! (`parts.rs`). Every upload and composition is checked against the service's checksum.

mod calls;
mod list;
mod parts;
mod read;
mod send;
#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use gcloud_storage::{
    client::{Client, ClientConfig, google_cloud_auth::credentials::CredentialsFile},
    http::objects::{get::GetObjectRequest, list::ListObjectsRequest},
    sign::{PathStyle, SignedURLMethod, SignedURLOptions, URLStyle},
};
use larder_common::causes::chain;
use token_source::TokenSource;

use self::calls::{CallError, Calls, UploadOutcome};
use super::{
    Bucket, BucketPage, ListedKey, OpenMultipart, Part, PartLimits, Pieces,
    http::{BucketMissing, RetryPolicy, http_client, key_prefix, unavailable},
};
use crate::{Content, StorageError};

/// The public endpoint.
const PUBLIC_ENDPOINT: &str = "https://storage.googleapis.com";
/// Domain of Google's own endpoints, including those for private networks.
const OWN_DOMAIN: &str = ".googleapis.com";
/// Largest object in bytes.
const SEND_LIMIT: u64 = 5 << 40;
/// Concurrent deletes of one call.
const DELETES_AT_ONCE: usize = 16;

/// Settings of a bucket.
#[derive(Clone, Debug)]
pub struct GcsSettings {
    /// The name of the bucket.
    pub bucket: String,
    /// Prefix of all keys; empty, or folders with a slash between them.
    pub prefix: String,
    /// A service account key: its JSON, or the path of its file. Default: the application default
    /// credentials, or none for an endpoint that is not Google's.
    pub service_account_key: Option<String>,
    /// The URL of another server.
    pub endpoint: Option<String>,
    /// Longest time without a byte from the server.
    pub timeout: Duration,
    /// The trusted certificates.
    pub tls: rustls::ClientConfig,
    /// The configured proxies.
    pub proxies: larder_common::Proxies,
}

/// A bucket.
pub struct GcsBucket {
    calls: Calls,
    bucket: String,
    /// Prefix of all keys: empty, or ends with a slash.
    key_prefix: String,
    endpoint: String,
    signs: bool,
    identity: Identity,
    settings: GcsSettings,
}

/// The credentials of the requests.
#[derive(Clone)]
struct Identity {
    tokens: Option<Arc<dyn TokenSource>>,
    access_id: Option<String>,
    sign_by: Option<gcloud_storage::sign::SignBy>,
}

impl GcsBucket {
    /// Finds the credentials. [`Bucket::check`] checks the bucket itself.
    ///
    /// # Errors
    /// When there are no credentials, or they are invalid.
    pub async fn connect(settings: GcsSettings) -> Result<Self, StorageError> {
        let endpoint = settings.endpoint.clone().unwrap_or_else(|| PUBLIC_ENDPOINT.to_owned());
        let identity = identify(settings.service_account_key.as_deref(), &endpoint).await?;
        // The identity has it now.
        Self::connected(identity, GcsSettings { service_account_key: None, ..settings }, endpoint)
    }

    fn connected(identity: Identity, settings: GcsSettings, endpoint: String) -> Result<Self, StorageError> {
        let connection =
            connection(identity.clone(), http_client(&settings.tls, &settings.proxies)?, &endpoint);
        Ok(Self {
            calls: Calls::new(connection, RetryPolicy { timeout: settings.timeout }),
            bucket: settings.bucket.clone(),
            key_prefix: key_prefix(&settings.prefix),
            endpoint,
            signs: identity.sign_by.is_some() && identity.access_id.is_some(),
            identity,
            settings,
        })
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.key_prefix)
    }

    fn object(&self, key: &str) -> GetObjectRequest {
        GetObjectRequest {
            bucket: self.bucket.clone(),
            object: self.full(key),
            ..GetObjectRequest::default()
        }
    }

    /// Deletes objects by their full names, with the prefix.
    async fn remove_named(&self, names: Vec<String>) -> Result<(), StorageError> {
        let deletes: Vec<_> = names.into_iter().map(|name| self.calls.delete(&self.bucket, name)).collect();
        stream::iter(deletes).buffer_unordered(DELETES_AT_ONCE).try_collect().await
    }

    fn signing_options(&self, lifetime: Duration) -> SignedURLOptions {
        let (scheme, rest) = self.endpoint.split_once("://").unwrap_or(("https", &self.endpoint));
        let host = rest.split_once('/').map_or(rest, |(host, _)| host);
        SignedURLOptions {
            method: SignedURLMethod::GET,
            expires: lifetime,
            style: Box::new(HostUrlStyle(host.to_owned())),
            insecure: scheme == "http",
            ..SignedURLOptions::default()
        }
    }
}

#[async_trait]
impl Bucket for GcsBucket {
    fn part_limits(&self) -> PartLimits {
        PartLimits { min_bytes: 1, max_number: parts::MAX_NUMBER }
    }

    fn with_own_connections(&self) -> Result<Option<Arc<dyn Bucket>>, StorageError> {
        let connected = Self::connected(self.identity.clone(), self.settings.clone(), self.endpoint.clone())?;
        Ok(Some(Arc::new(connected)))
    }

    async fn check(&self) -> Result<(), StorageError> {
        let request = ListObjectsRequest {
            bucket: self.bucket.clone(),
            prefix: Some(self.key_prefix.clone()),
            max_results: Some(1),
            ..ListObjectsRequest::default()
        };
        match self.calls.list(request).await {
            Err(StorageError::NotFound) => {
                let (name, server) = (self.bucket.clone(), self.endpoint.clone());
                let missing = BucketMissing { kind: "the bucket", name, server };
                return Err(unavailable("looking for the bucket", missing));
            }
            other => other?,
        };
        // A key that may read but not write would otherwise fail only at the first save.
        let probe = format!("_check/{}", uuid::Uuid::new_v4().simple());
        self.put(&probe, vec![Bytes::from_static(b"larder")]).await?;
        self.remove(&[probe]).await
    }

    async fn head(&self, key: &str) -> Result<u64, StorageError> {
        self.calls.size(self.object(key)).await
    }

    async fn get(
        &self,
        key: &str,
        size_bytes: u64,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        self.calls.open(&self.endpoint, &self.bucket, &self.full(key), size_bytes, range).await
    }

    async fn read(&self, key: &str, limit: u64) -> Result<Bytes, StorageError> {
        self.calls.read(&self.endpoint, &self.bucket, &self.full(key), limit).await
    }

    async fn put(&self, key: &str, body: Pieces) -> Result<(), StorageError> {
        self.calls.upload(&self.bucket, self.full(key), &body, false).await.map(drop)
    }

    fn send_limit(&self) -> Option<u64> {
        Some(SEND_LIMIT)
    }

    async fn send(&self, key: &str, content: Content) -> Result<(), StorageError> {
        self.calls.send(&self.endpoint, &self.bucket, self.full(key), content).await.map(drop)
    }

    async fn send_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        content: Content,
    ) -> Result<Part, StorageError> {
        self.send_as_part(key, multipart, number, content).await
    }

    async fn put_new(&self, key: &str, body: Pieces) -> Result<bool, StorageError> {
        let stored = self.calls.upload(&self.bucket, self.full(key), &body, true).await?;
        Ok(stored != UploadOutcome::Exists)
    }

    async fn remove(&self, keys: &[String]) -> Result<(), StorageError> {
        self.remove_named(keys.iter().map(|key| self.full(key)).collect()).await
    }

    async fn list(&self, prefix: &str, from: Option<&str>) -> Result<BucketPage<ListedKey>, StorageError> {
        self.list_keys(prefix, from).await
    }

    async fn begin(&self, _key: &str) -> Result<String, StorageError> {
        Ok(parts::new_multipart())
    }

    async fn put_part(
        &self,
        key: &str,
        multipart: &str,
        number: u32,
        body: Pieces,
    ) -> Result<Part, StorageError> {
        self.upload_part(key, multipart, number, &body).await
    }

    async fn complete(&self, key: &str, multipart: &str, parts: &[Part]) -> Result<(), StorageError> {
        self.compose_parts(key, multipart, parts).await?;
        if let Err(error) = self.drop_parts(key, multipart).await {
            tracing::warn!(error = %chain(&error), key, "cannot delete the parts of a complete object; the sweep deletes them");
        }
        Ok(())
    }

    async fn abort(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        self.drop_parts(key, multipart).await
    }

    async fn list_multiparts(
        &self,
        prefix: &str,
        from: Option<&str>,
    ) -> Result<BucketPage<OpenMultipart>, StorageError> {
        self.list_open(prefix, from).await
    }

    async fn presign(&self, key: &str, lifetime: Duration) -> Result<Option<String>, StorageError> {
        if !self.signs {
            return Ok(None);
        }
        let (client, name) = (&self.calls.connection.client, &self.full(key));
        let signed = self
            .calls
            .call("signing a URL", 0, || async move {
                let options = self.signing_options(lifetime);
                client.signed_url(&self.bucket, name, None, None, options).await.map_err(CallError::from)
            })
            .await;
        // With workload identity the service signs, which needs a permission. Without it downloads
        // go through this server.
        signed.map(Some).or_else(|error| {
            tracing::warn!(error = %chain(&error), "cannot sign a URL of the bucket; the download goes through this server");
            Ok(None)
        })
    }
}

/// The URL style of a server whose path has the bucket's name.
struct HostUrlStyle(String);

impl URLStyle for HostUrlStyle {
    fn host(&self, _bucket: &str) -> String {
        self.0.clone()
    }

    fn path(&self, bucket: &str, object: &str) -> String {
        PathStyle {}.path(bucket, object)
    }
}

fn is_of_google(endpoint: &str) -> bool {
    endpoint.trim_end_matches('/').ends_with(OWN_DOMAIN)
}

async fn identify(key: Option<&str>, endpoint: &str) -> Result<Identity, StorageError> {
    let refused = |error| unavailable("find the credentials of Google Cloud Storage", error);
    let config = match key {
        Some(json) if json.trim_start().starts_with('{') => {
            let key = CredentialsFile::new_from_str(json)
                .await
                .map_err(|_| refused(BadKey("is not a service account key")))?;
            ClientConfig::default()
                .with_credentials(key)
                .await
                .map_err(|error| refused(BadKey::of(&error)))?
        }
        Some(path) => {
            let key = CredentialsFile::new_from_file(path.to_owned()).await;
            let key =
                key.map_err(|_| refused(BadKey("is not the path of a readable service account key")))?;
            ClientConfig::default()
                .with_credentials(key)
                .await
                .map_err(|error| refused(BadKey::of(&error)))?
        }
        None if is_of_google(endpoint) => ClientConfig::default()
            .with_auth()
            .await
            .map_err(|error| unavailable("finding the application default credentials", error))?,
        None => return Ok(Identity { tokens: None, access_id: None, sign_by: None }),
    };
    Ok(Identity {
        tokens: config.token_source_provider.as_ref().map(|provider| provider.token_source()),
        access_id: config.default_google_access_id,
        sign_by: config.default_sign_by,
    })
}

/// What is wrong with a key. The library's errors may quote the key, so they are not included.
#[derive(Debug, thiserror::Error)]
#[error("storage.gcs.service_account_key (STORAGE_GCS_SERVICE_ACCOUNT_KEY) {0}")]
struct BadKey(&'static str);

impl BadKey {
    fn of(_error: &gcloud_storage::client::google_cloud_auth::error::Error) -> Self {
        Self("is refused, or its token server does not respond")
    }
}

fn connection(identity: Identity, http: reqwest::Client, endpoint: &str) -> calls::Connection {
    let frame = reqwest_middleware::ClientBuilder::new(http.clone()).build();
    let config = ClientConfig {
        http: Some(frame),
        storage_endpoint: endpoint.to_owned(),
        token_source_provider: identity.tokens.clone().map(|tokens| Box::new(Tokens(tokens)) as _),
        default_google_access_id: identity.access_id,
        default_sign_by: identity.sign_by,
        ..ClientConfig::default()
    };
    calls::Connection { client: Client::new(config), http, tokens: identity.tokens }
}

/// Provides an existing token source.
#[derive(Debug)]
struct Tokens(Arc<dyn TokenSource>);

impl token_source::TokenSourceProvider for Tokens {
    fn token_source(&self) -> Arc<dyn TokenSource> {
        self.0.clone()
    }
}
