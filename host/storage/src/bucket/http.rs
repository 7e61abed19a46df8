//! What the drivers of clouds share on their way out: HTTP clients, and how long they wait.
//!
//! Called by `gcs/` and `azblob/`. Knows nothing of their protocols.

use std::{error::Error, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::stall::{Bounds, within};
use crate::{Content, StorageError};
use larder_common::Proxies;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept. Shorter than the 60 s after which common load balancers drop one silently.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// What a slow connection is taken to carry at least, when a call with a large body is bounded.
const LEAST_BYTES_PER_SECOND: u64 = 128 * 1024;

/// How often a call is made that fails as if it might succeed.
const ATTEMPTS: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How long a call goes on trying, as a multiple of the time that the server may be silent.
pub(super) const PATIENCE_FACTOR: u32 = 3;

/// Makes an HTTP client. HTTP/1.1 alone: several connections carry more than the streams of one.
pub(super) fn http_client(tls: &ClientConfig, proxies: &Proxies) -> Result<reqwest::Client, StorageError> {
    // Those that are configured, and not those that the library would find in the environment.
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
        .map_err(|error| unavailable("making an HTTP client", error))
}

/// How long the server may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(pub(super) Duration);

impl Patience {
    /// Returns how long a call may take that carries so many bytes.
    pub(super) fn for_bytes(self, bytes: usize) -> Duration {
        self.0 + Duration::from_secs(bytes as u64 / LEAST_BYTES_PER_SECOND)
    }

    /// Returns what bounds a request that sends bytes.
    pub(super) fn sending(self) -> Bounds {
        Bounds::of_silence(self.0)
    }

    /// Makes an attempt, and others with growing pauses as long as the failure is a passing one. None begins when the server could
    /// have been silent three times: one that hangs costs the time of one attempt more at most.
    pub(super) async fn trying<T, E, F: Future<Output = Result<T, E>>>(
        self,
        attempt: impl FnMut() -> F,
        is_passing: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(ATTEMPTS - 1);
        let began = Instant::now();
        let may_pass = |error: &E| is_passing(error) && began.elapsed() < self.0 * PATIENCE_FACTOR;
        attempt.retry(pauses).when(may_pass).await
    }

    /// Makes a content of exactly `length` bytes of a stream: one that ends early, goes on, fails or sends nothing for the
    /// timeout ends with an error.
    pub(super) fn content<E: Error + Send + Sync + 'static>(
        self,
        length: u64,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Content {
        Content::exact(READING, length, within(self.0, chunks))
    }
}

impl Patience {
    /// Reads a content of `length` bytes into memory, if those are at most `limit`.
    pub(super) async fn read<E: Error + Send + Sync + 'static>(
        self,
        length: u64,
        limit: u64,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Bytes, StorageError> {
        if length > limit {
            return Err(StorageError::Invalid(format!(
                "an object of {length} bytes; at most {limit} are read"
            )));
        }
        let chunks: Vec<Bytes> = self.content(length, chunks).chunks.try_collect().await?;
        Ok(match <[Bytes; 1]>::try_from(chunks) {
            Ok([only]) => only,
            Err(chunks) => chunks.concat().into(),
        })
    }
}

/// Whether the services' own guides to retries name this status: the same request may succeed later.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

const READING: &str = "reading an object";

/// Says of a bucket what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// It is not there.
    #[error("{kind} `{name}` does not exist at {place}")]
    Missing {
        /// What the service calls it.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The server.
        place: String,
    },
}

/// Wraps an error of a library.
pub(super) fn unavailable(
    context: &'static str,
    error: impl Into<Box<dyn Error + Send + Sync>>,
) -> StorageError {
    StorageError::Unavailable { context, source: error.into() }
}

/// Returns what the keys of a bucket begin with: nothing, or a prefix with a slash at its end.
pub(super) fn folder(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_matches('/')) }
}

#[cfg(test)]
pub(crate) mod tests;
