//! Fetches small documents, within limits of size and time.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use larder_common::causes::chain;
use rustls::ClientConfig;

use super::{ClientOptions, HttpsClient, Proxies, https_client};
use crate::config::allowed_url;

/// Longest response that is read. Key sets have a few KiB.
pub(crate) const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// How long a fetch may take, from name resolution to the last byte.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The URL is neither `https` nor `http` to a loopback address.
    #[error("the URL must be https (http only to a loopback address)")]
    Url,
    /// A status other than 200. Redirects are not followed.
    #[error("the server responded with {0}")]
    Status(StatusCode),
    /// The response is longer than [`MAX_RESPONSE_BYTES`].
    #[error("the response is longer than {MAX_RESPONSE_BYTES} bytes")]
    TooLarge,
    /// It took longer than [`TIMEOUT`].
    #[error("no response within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Connection(String),
}

/// Fetches small documents. Tests implement it without a network.
#[async_trait]
pub(crate) trait Fetch: Send + Sync {
    /// Returns the body of a 200 response to `GET url`.
    ///
    /// Takes a bounded time, reads a bounded number of bytes, and connects only to URLs that
    /// [`allowed_url`] allows.
    async fn get(&self, url: &str) -> Result<Bytes, FetchError>;
}

/// [`Fetch`] over the network.
pub(crate) struct HttpFetch {
    client: HttpsClient<Empty<Bytes>>,
    pub(super) timeout: Duration,
}

impl HttpFetch {
    /// Makes a fetcher with these TLS settings and proxies. Threads with a runtime each may share
    /// it.
    #[must_use]
    pub(crate) fn new(tls: ClientConfig, proxies: &Proxies) -> Self {
        // No connection is kept: fetches are minutes apart, and the runtime that opened one may be
        // gone.
        let options = ClientOptions { connect_timeout: TIMEOUT, idle_per_host: 0 };
        Self { client: https_client(tls, proxies, options), timeout: TIMEOUT }
    }

    async fn get_unbounded(&self, url: Uri) -> Result<Bytes, FetchError> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = url;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        headers.insert(
            header::USER_AGENT,
            header::HeaderValue::from_static(concat!("larder/", env!("CARGO_PKG_VERSION"))),
        );
        let response = self.client.request(request).await;
        // hyper's own text ("client error (Connect)") omits the cause.
        let response = response.map_err(|error| FetchError::Connection(chain(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        match Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
            Err(error) => Err(FetchError::Connection(error.to_string())),
        }
    }
}

#[async_trait]
impl Fetch for HttpFetch {
    async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let url = allowed_url(url).ok_or(FetchError::Url)?;
        tokio::time::timeout(self.timeout, self.get_unbounded(url)).await.map_err(|_| FetchError::Timeout)?
    }
}
