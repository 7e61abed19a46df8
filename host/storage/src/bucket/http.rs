//! HTTP clients, retries and timeouts of the drivers that use `reqwest`: `gcs/` and `azblob/`.
//!
//! Nothing here depends on their protocols.

use std::{error::Error, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use larder_common::Proxies;
use rustls::ClientConfig;
use tokio::time::Instant;

use super::stall::{StallTimeouts, with_read_timeout};
use crate::{Content, StorageError};

/// Timeout of opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept. Shorter than the 60 s after which common load balancers
/// drop one silently.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// The timeout of a call with a large body assumes at least this throughput.
const MIN_BYTES_PER_SECOND: u64 = 128 * 1024;

/// Most attempts of a call.
const MAX_ATTEMPTS: usize = 4;
const MIN_DELAY: Duration = Duration::from_millis(200);
const MAX_DELAY: Duration = Duration::from_secs(3);

/// No attempt of a call starts after this multiple of the timeout.
pub(super) const RETRY_FACTOR: u32 = 3;

/// Makes an HTTP client. HTTP/1.1 alone: several connections carry more than the streams of one.
pub(super) fn http_client(tls: &ClientConfig, proxies: &Proxies) -> Result<reqwest::Client, StorageError> {
    // Only configured proxies; the library would also read the environment.
    let mut builder = reqwest::Client::builder().no_proxy();
    let unusable = |error: reqwest::Error| unavailable("setting up the proxy", error.without_url());
    let direct = || reqwest::NoProxy::from_string(proxies.direct_hosts());
    if let Some(url) = proxies.of_scheme("http") {
        builder = builder.proxy(reqwest::Proxy::http(url).map_err(unusable)?.no_proxy(direct()));
    }
    if let Some(url) = proxies.of_scheme("https") {
        builder = builder.proxy(reqwest::Proxy::https(url).map_err(unusable)?.no_proxy(direct()));
    }
    builder
        .tls_backend_preconfigured(tls.clone())
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| unavailable("make an HTTP client", error))
}

/// How long a call waits, and how often it is retried.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPolicy {
    /// How long the server may send nothing.
    pub(super) timeout: Duration,
}

impl RetryPolicy {
    /// The timeout of a call that carries `bytes`.
    pub(super) fn for_bytes(self, bytes: usize) -> Duration {
        self.timeout + Duration::from_secs(bytes as u64 / MIN_BYTES_PER_SECOND)
    }

    /// The timeouts of a request that sends bytes.
    pub(super) fn stall_timeouts(self) -> StallTimeouts {
        StallTimeouts::from_timeout(self.timeout)
    }

    /// Retries transient failures with exponential backoff, up to [`MAX_ATTEMPTS`] attempts. No
    /// attempt starts after 3 × `timeout`, so a hung server costs at most that plus one attempt.
    pub(super) async fn retry<T, E, F: Future<Output = Result<T, E>>>(
        self,
        attempt: impl FnMut() -> F,
        is_transient: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let delays = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_max_times(MAX_ATTEMPTS - 1);
        let started = Instant::now();
        let may_retry = |error: &E| is_transient(error) && started.elapsed() < self.timeout * RETRY_FACTOR;
        attempt.retry(delays).when(may_retry).await
    }

    /// Makes a content of exactly `length` bytes. It ends with an error if the stream ends early,
    /// is too long, fails, or sends nothing for the timeout.
    pub(super) fn content<E: Error + Send + Sync + 'static>(
        self,
        length: u64,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Content {
        Content::exact(READING, length, with_read_timeout(self.timeout, chunks))
    }
}

impl RetryPolicy {
    /// Reads a content of `length` bytes into memory; more than `limit` is
    /// [`StorageError::Invalid`].
    pub(super) async fn read<E: Error + Send + Sync + 'static>(
        self,
        length: u64,
        limit: u64,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Bytes, StorageError> {
        if length > limit {
            return Err(StorageError::Invalid(format!(
                "an object of {length} bytes is too large to be read into memory (limit: {limit})"
            )));
        }
        let chunks: Vec<Bytes> = self.content(length, chunks).chunks.try_collect().await?;
        Ok(match <[Bytes; 1]>::try_from(chunks) {
            Ok([only]) => only,
            Err(chunks) => chunks.concat().into(),
        })
    }
}

/// Whether a request that got this status may succeed later, as the services' guides to retries
/// list them.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

const READING: &str = "reading an object";

/// The configured bucket, or container, does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{kind} `{name}` does not exist at {server}")]
pub(super) struct BucketMissing {
    /// The service's word for it, with its article.
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// The URL of the server.
    pub(super) server: String,
}

/// Wraps an error of a library.
pub(super) fn unavailable(
    context: &'static str,
    error: impl Into<Box<dyn Error + Send + Sync>>,
) -> StorageError {
    StorageError::Unavailable { context, source: error.into() }
}

/// Returns the prefix of all keys: empty, or ending with a slash.
pub(super) fn key_prefix(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_matches('/')) }
}

#[cfg(test)]
pub(crate) mod tests;
