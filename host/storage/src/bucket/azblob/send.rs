//! Stores blobs and blocks: streamed with one request, or from memory with retries.
//!
//! The library sends only bytes in memory, and its only timeout covers the whole request. So the
//! requests are made here; the library signs them.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Request, header::CONTENT_LENGTH, request::Builder};
use object_store::{
    azure::AzureAuthorizer,
    client::{HttpRequest, HttpRequestBody},
};
use reqwest::{Body, Response, StatusCode, Url};

use super::{AzblobBucket, failure};
use crate::{
    Content, StorageError,
    bucket::{
        Pieces,
        http::{is_transient, unavailable},
        stall::{StallDetector, UploadBody, in_memory},
    },
};

const STORING: &str = "storing an object";
const STAGING: &str = "staging a block";

/// Header with the service's error code.
const ERROR_CODE: &str = "x-ms-error-code";

/// An error response to an upload.
#[derive(Debug, thiserror::Error)]
#[error("the service responded {status} {code}")]
struct ErrorResponse {
    status: StatusCode,
    code: String,
}

/// Why one attempt failed.
#[derive(Debug)]
enum AttemptError {
    /// A retry may succeed.
    Transient(StorageError),
    /// A retry cannot succeed.
    Permanent(StorageError),
}

impl From<AttemptError> for StorageError {
    fn from(failed: AttemptError) -> Self {
        match failed {
            AttemptError::Transient(error) | AttemptError::Permanent(error) => error,
        }
    }
}

impl AzblobBucket {
    /// Stores a blob from a stream.
    pub(super) async fn send_blob(&self, key: &str, content: Content) -> Result<(), StorageError> {
        Ok(self.send_body(STORING, blob(&self.url(key)?), content).await?)
    }

    /// Stores a blob from memory.
    pub(super) async fn put_blob(&self, key: &str, body: &Pieces) -> Result<(), StorageError> {
        let url = self.url(key)?;
        self.send_pieces(STORING, || blob(&url), body).await
    }

    /// Stages a block from a stream; returns its id.
    pub(super) async fn send_block(&self, key: &str, content: Content) -> Result<String, StorageError> {
        let (id, url) = self.block(key)?;
        self.send_body(STAGING, Request::put(url.as_str()), content).await?;
        Ok(id)
    }

    /// Stages a block from memory; returns its id.
    pub(super) async fn put_block(&self, key: &str, body: &Pieces) -> Result<String, StorageError> {
        let (id, url) = self.block(key)?;
        self.send_pieces(STAGING, || Request::put(url.as_str()), body).await?;
        Ok(id)
    }

    /// Makes a block id, as long as the library's, and the block's URL.
    fn block(&self, key: &str) -> Result<(String, Url), StorageError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let mut url = self.url(key)?;
        url.query_pairs_mut()
            .append_pair("comp", "block")
            .append_pair("blockid", &BASE64_STANDARD.encode(&id));
        Ok((id, url))
    }

    fn url(&self, key: &str) -> Result<Url, StorageError> {
        let bad = |why: &str| unavailable("make the container's URL", why.to_owned());
        let mut url = Url::parse(&self.service_url).map_err(|error| bad(&error.to_string()))?;
        let path = self.path(key)?;
        let mut segments = url.path_segments_mut().map_err(|()| bad("it has no path"))?;
        segments
            .pop_if_empty()
            .push(&self.container)
            .extend(path.parts().map(|part| part.as_ref().to_owned()));
        drop(segments);
        Ok(url)
    }

    /// Sends a body from memory, with retries.
    async fn send_pieces(
        &self,
        context: &'static str,
        request: impl Fn() -> Builder,
        pieces: &Pieces,
    ) -> Result<(), StorageError> {
        let attempt = || self.send_body(context, request(), in_memory(pieces.clone()));
        Ok(self.retry_policy.retry(attempt, |failed| matches!(failed, AttemptError::Transient(_))).await?)
    }

    async fn send_body(
        &self,
        context: &'static str,
        request: Builder,
        content: Content,
    ) -> Result<(), AttemptError> {
        let lasting = |error| AttemptError::Permanent(unavailable(context, error));
        let request = request.header(CONTENT_LENGTH, content.length).body(HttpRequestBody::empty());
        let mut request = request.map_err(|error| lasting(error.to_string()))?;
        self.sign(&mut request).await.map_err(|error| AttemptError::Transient(failure(context, error)))?;
        let (head, _) = request.into_parts();
        let stall = StallDetector::new(self.retry_policy.stall_timeouts());
        let body = Body::wrap(UploadBody::new(content, &stall));
        let sent = self.http.put(head.uri.to_string()).headers(head.headers).body(body).send();
        let response = stall.run(context, sent).await.map_err(AttemptError::Transient)?;
        let response =
            response.map_err(|error| AttemptError::Transient(unavailable(context, error.without_url())))?;
        accepted(context, &response)
    }

    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        let credential = self.store.credentials().get_credential().await?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(request)
    }
}

fn blob(url: &Url) -> Builder {
    Request::put(url.as_str()).header("x-ms-blob-type", "BlockBlob")
}

fn accepted(context: &'static str, response: &Response) -> Result<(), AttemptError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let code = response.headers().get(ERROR_CODE).and_then(|code| code.to_str().ok()).unwrap_or_default();
    let refused = unavailable(context, ErrorResponse { status, code: code.to_owned() });
    Err(if is_transient(status.as_u16()) {
        AttemptError::Transient(refused)
    } else {
        AttemptError::Permanent(refused)
    })
}
