//! The upstream service: requests that are not for the cache are forwarded to it unchanged.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri, header,
    request::Parts,
    uri::{Authority, Scheme},
};
use larder_common::causes::causes;
use larder_storage::SourceError;
use rustls::ClientConfig;

use super::{ClientOptions, HttpsClient, Proxies, https_client};
use crate::message::RequestBody;

/// Idle connections to the upstream that a thread keeps.
const IDLE_CONNECTIONS: usize = 16;

/// Why a request could not be forwarded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// The upstream cannot be reached, or closed the connection before its response began.
    #[error("the upstream cannot be reached")]
    Unavailable(#[source] hyper_util::client::legacy::Error),
    /// The client's body ends early or is malformed.
    #[error("the request's body ended early")]
    Body,
    /// The request's target is not a valid URL at the upstream.
    #[error("the request's target cannot be sent to the upstream")]
    Target(#[from] http::uri::InvalidUriParts),
}

/// Forwards requests to the upstream. One per thread, because its connections belong to the
/// thread's runtime.
pub(crate) struct Forwarder {
    client: HttpsClient<RequestBody>,
    upstream: Upstream,
}

/// The upstream, and how to connect to it.
#[derive(Clone)]
pub(crate) struct Upstream {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Its host and port.
    pub authority: Authority,
    /// Timeout of the TCP connection.
    pub connect_timeout: Duration,
    /// TLS settings: the trusted certificates.
    pub tls: Arc<ClientConfig>,
    /// Outgoing proxies.
    pub proxies: Proxies,
}

impl Forwarder {
    /// Makes one for this thread.
    #[must_use]
    pub(crate) fn new(upstream: Upstream) -> Self {
        let options =
            ClientOptions { connect_timeout: upstream.connect_timeout, idle_per_host: IDLE_CONNECTIONS };
        Self { client: https_client((*upstream.tls).clone(), &upstream.proxies, options), upstream }
    }

    /// Sends a request, and returns when the head of the response has arrived. Both bodies are
    /// streamed.
    ///
    /// # Errors
    /// When no response begins.
    pub(crate) async fn forward(
        &self,
        head: &Parts,
        body: RequestBody,
    ) -> Result<http::Response<hyper::body::Incoming>, ForwardError> {
        let mut request = http::Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = self.target(&head.uri)?;
        *request.headers_mut() = head.headers.clone();
        let trailers = accepts_trailers(&head.headers);
        remove_hop_by_hop(request.headers_mut());
        request.headers_mut().remove(header::HOST);
        if trailers {
            request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
        }
        self.client.request(request).await.map_err(classify)
    }

    fn target(&self, uri: &Uri) -> Result<Uri, http::uri::InvalidUriParts> {
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(self.upstream.scheme.clone());
        parts.authority = Some(self.upstream.authority.clone());
        Uri::from_parts(parts)
    }
}

/// Tells a failed request body from a failed connection: hyper reports both alike.
fn classify(error: hyper_util::client::legacy::Error) -> ForwardError {
    if causes(&error).any(<dyn std::error::Error>::is::<SourceError>) {
        return ForwardError::Body;
    }
    ForwardError::Unavailable(error)
}

/// Returns whether the client accepts trailers: then the upstream may send some, and they are
/// passed on.
fn accepts_trailers(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Returns whether a header field is hop-by-hop (RFC 9110, 7.6.1), and so is neither forwarded nor
/// set by a component.
#[must_use]
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    const OTHERS: [&str; 2] = ["keep-alive", "proxy-connection"];
    [header::CONNECTION, header::TE, header::TRANSFER_ENCODING, header::UPGRADE].contains(name)
        || OTHERS.contains(&name.as_str())
}

/// Removes the hop-by-hop header fields, and those that `connection` names.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    let fixed: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in fixed {
        headers.remove(name);
    }
}
