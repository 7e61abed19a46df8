//! Calls of the service, with timeouts and retries.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use gcloud_storage::{
    client::Client,
    http::{
        Error,
        objects::{
            Object,
            compose::ComposeObjectRequest,
            delete::DeleteObjectRequest,
            get::GetObjectRequest,
            list::{ListObjectsRequest, ListObjectsResponse},
            upload::{Media, UploadObjectRequest, UploadType},
        },
    },
    sign::SignedURLError,
};
use reqwest::{RequestBuilder, header::AUTHORIZATION};
use token_source::TokenSource;
use tokio::time::timeout;

use crate::{
    StorageError,
    bucket::{
        Pieces,
        http::{RetryPolicy, is_transient, unavailable},
        stall::{StallDetector, TimedOut, UploadBody},
    },
};

pub(super) const STORING: &str = "storing an object";

/// The clients of the service.
pub(super) struct Connection {
    pub(super) client: Client,
    /// The same HTTP client, for downloads: the library does not return the heads of their
    /// responses.
    pub(super) http: reqwest::Client,
    pub(super) tokens: Option<Arc<dyn TokenSource>>,
}

impl Connection {
    /// Adds the credentials to a request.
    pub(super) async fn authorized(&self, request: RequestBuilder) -> Result<RequestBuilder, CallError> {
        let Some(tokens) = &self.tokens else { return Ok(request) };
        let token = tokens.token().await.map_err(CallError::Transient)?;
        Ok(request.header(AUTHORIZATION, token))
    }
}

/// Calls the service.
pub(super) struct Calls {
    pub(super) connection: Connection,
    pub(super) retry_policy: RetryPolicy,
}

/// Why one attempt failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// No such object, or bucket.
    NotFound,
    /// The precondition failed: the object exists.
    Exists,
    /// A retry may succeed.
    Transient(Box<dyn std::error::Error + Send + Sync>),
    /// A retry cannot succeed.
    Permanent(Box<dyn std::error::Error + Send + Sync>),
}

/// The CRC32C and size of stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) crc: u32,
    pub(super) size_bytes: u64,
}

/// The result of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadOutcome {
    /// The object was stored, with these bytes.
    Now(Sum),
    /// There was an object already.
    Exists,
}

/// The service stored other bytes than were sent.
#[derive(Debug, thiserror::Error)]
#[error("checksum mismatch: sent {expected:?}, stored {found:?}")]
struct ChecksumMismatch {
    expected: Sum,
    found: Option<Sum>,
}

impl Sum {
    /// Of no bytes.
    pub(super) const NOTHING: Self = Self { crc: 0, size_bytes: 0 };

    fn of(body: &[Bytes]) -> Self {
        body.iter().fold(Self::NOTHING, |sum, piece| sum.and(piece))
    }

    /// The sum of this content followed by `bytes`.
    pub(super) fn and(self, bytes: &[u8]) -> Self {
        let crc = crc32c::crc32c_append(self.crc, bytes);
        Self { crc, size_bytes: self.size_bytes + bytes.len() as u64 }
    }

    /// The sum of two contents, concatenated.
    pub(super) fn then(self, next: Self) -> Self {
        let length = usize::try_from(next.size_bytes).unwrap_or(usize::MAX);
        let crc = crc32c::crc32c_combine(self.crc, next.crc, length);
        Self { crc, size_bytes: self.size_bytes + next.size_bytes }
    }

    /// Reads the sum of an object from its metadata.
    fn of_object(object: &Object) -> Option<Self> {
        let crc = BASE64_STANDARD.decode(object.crc32c.as_ref()?).ok()?;
        let crc = u32::from_be_bytes(crc.try_into().ok()?);
        Some(Self { crc, size_bytes: u64::try_from(object.size).ok()? })
    }

    pub(super) fn check(self, object: &Object) -> Result<(), CallError> {
        let found = Self::of_object(object);
        if found == Some(self) {
            return Ok(());
        }
        Err(CallError::Transient(Box::new(ChecksumMismatch { expected: self, found })))
    }
}

impl Calls {
    pub(super) fn new(connection: Connection, retry_policy: RetryPolicy) -> Self {
        Self { connection, retry_policy }
    }

    /// Makes a call and retries transient failures. The timeout of each attempt depends on `bytes`.
    pub(super) async fn call<T, F>(
        &self,
        context: &'static str,
        bytes: usize,
        attempt: impl Fn() -> F + Send + Sync,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, CallError>> + Send,
    {
        let limit = self.retry_policy.for_bytes(bytes);
        let bounded = || bounded(limit, attempt());
        let outcome =
            self.retry_policy.retry(bounded, |failure| matches!(failure, CallError::Transient(_))).await;
        outcome.map_err(|failure| failure.into_storage_error(context))
    }

    /// Stores an object and compares the service's checksum; with `new`, only if there is none,
    /// else [`UploadOutcome::Exists`]. The emulator honours `ifGenerationMatch` only on multipart
    /// uploads, so `new` objects are stored that way and the tests cover the production path.
    pub(super) async fn upload(
        &self,
        bucket: &str,
        name: String,
        body: &Pieces,
        new: bool,
    ) -> Result<UploadOutcome, StorageError> {
        let sum = Sum::of(body);
        let request = UploadObjectRequest {
            bucket: bucket.to_owned(),
            // Generation 0: there must be no object.
            if_generation_match: new.then_some(0),
            ..UploadObjectRequest::default()
        };
        let kind = if new {
            UploadType::Multipart(Box::new(Object { name, ..Object::default() }))
        } else {
            UploadType::Simple(Media { content_length: Some(sum.size_bytes), ..Media::new(name) })
        };
        let bytes = usize::try_from(sum.size_bytes).unwrap_or(usize::MAX);
        let client = &self.connection.client;
        let (request, kind) = (&request, &kind);
        self.call(STORING, bytes, || async move {
            let stall = StallDetector::new(self.retry_policy.stall_timeouts());
            let content = reqwest::Body::wrap(UploadBody::pieces(body.clone(), &stall));
            let uploaded = stall.run(STORING, client.upload_object(request, content, kind)).await;
            match uploaded.map_err(CallError::from_storage_error)?.map_err(CallError::from) {
                Ok(stored) => sum.check(&stored).map(|()| UploadOutcome::Now(sum)),
                Err(CallError::Exists) => Ok(UploadOutcome::Exists),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    /// Composes a new object and checks that it has the bytes of all sources.
    pub(super) async fn compose(&self, request: ComposeObjectRequest, sum: Sum) -> Result<(), StorageError> {
        let (client, request) = (&self.connection.client, &request);
        self.call(
            "composing an object",
            0,
            || async move { sum.check(&client.compose_object(request).await?) },
        )
        .await
    }

    pub(super) async fn size(&self, request: GetObjectRequest) -> Result<u64, StorageError> {
        let (client, request) = (&self.connection.client, &request);
        let found =
            self.call("looking for an object", 0, || async move { Ok(client.get_object(request).await?) });
        Ok(u64::try_from(found.await?.size).unwrap_or_default())
    }

    /// Deletes an object. Succeeds if it does not exist.
    pub(super) async fn delete(&self, bucket: &str, name: String) -> Result<(), StorageError> {
        let request =
            DeleteObjectRequest { bucket: bucket.to_owned(), object: name, ..DeleteObjectRequest::default() };
        let (client, request) = (&self.connection.client, &request);
        let deleted = self
            .call("deleting an object", 0, || async move { Ok(client.delete_object(request).await?) })
            .await;
        match deleted {
            Ok(()) | Err(StorageError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list(
        &self,
        request: ListObjectsRequest,
    ) -> Result<ListObjectsResponse, StorageError> {
        let (client, request) = (&self.connection.client, &request);
        self.call("listing objects", 0, || async move { Ok(client.list_objects(request).await?) }).await
    }
}

async fn bounded<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    match timeout(limit, attempt).await {
        Ok(outcome) => outcome,
        Err(_) => Err(CallError::Transient(Box::new(TimedOut(limit)))),
    }
}

/// Classifies a status: only those in the service's guide to retries are transient.
pub(super) fn classify(status: Option<u16>, error: Box<dyn std::error::Error + Send + Sync>) -> CallError {
    match status {
        Some(404) => CallError::NotFound,
        Some(412) => CallError::Exists,
        Some(status) if !is_transient(status) => CallError::Permanent(error),
        _ => CallError::Transient(error),
    }
}

impl CallError {
    /// Converts an error of a `StallDetector`.
    fn from_storage_error(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable { source, .. } => Self::Transient(source),
            error => Self::Permanent(Box::new(error)),
        }
    }

    /// Converts the failure for the caller.
    pub(super) fn into_storage_error(self, context: &'static str) -> StorageError {
        match self {
            Self::NotFound => StorageError::NotFound,
            Self::Exists => {
                unavailable(context, "the service reported a failed precondition of a request without one")
            }
            Self::Transient(source) | Self::Permanent(source) => unavailable(context, source),
        }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Response(response) => Some(response.code),
            Error::HttpClient(error) | Error::RawResponse(error, _) => error.status().map(|s| s.as_u16()),
            Error::HttpMiddleware(_) | Error::TokenSource(_) => None,
            Error::InvalidRangeHeader(_) => Some(400),
        };
        classify(status, Box::new(error))
    }
}

impl From<SignedURLError> for CallError {
    fn from(error: SignedURLError) -> Self {
        match error {
            SignedURLError::SignBlob(error) => error.into(),
            // The text may contain parts of the key.
            SignedURLError::CertError(_) => Self::Permanent("the key cannot sign".into()),
            SignedURLError::InvalidOption(_) | SignedURLError::ParseError(_) => {
                Self::Permanent(Box::new(error))
            }
        }
    }
}
