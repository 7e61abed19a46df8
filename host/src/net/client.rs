//! The HTTP client for outgoing requests.

use std::time::Duration;

use bytes::Buf;
use http::{Request, header::PROXY_AUTHORIZATION};
use http_body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, ResponseFuture, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;

use super::{FirstHop, Proxies};

/// A client of HTTP/1.1 and HTTP/2 over TLS, and of HTTP/1.1 for `http` URLs, through the
/// configured proxies.
pub(crate) struct HttpsClient<B> {
    client: Client<HttpsConnector<FirstHop>, B>,
    proxies: Proxies,
}

/// Options of [`https_client`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientOptions {
    /// Timeout of the TCP connection, without the TLS handshake: bound the whole request, too.
    pub connect_timeout: Duration,
    /// Idle connections that are kept for one host; 0 keeps none.
    pub idle_per_host: usize,
}

/// How long an idle connection is kept. Shorter than the 60 s after which common load balancers
/// drop one silently.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Makes a client.
///
/// A connection is driven by a task on the runtime of the request that opened it. With one runtime
/// per thread, give each thread a client of its own, or set `idle_per_host` to 0.
pub(crate) fn https_client<B>(tls: ClientConfig, proxies: &Proxies, options: ClientOptions) -> HttpsClient<B>
where
    B: Body + Send,
    B::Data: Send + Buf,
{
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(options.connect_timeout));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(FirstHop::new(tcp, tls, proxies.clone()));
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(options.idle_per_host)
        .build(connector);
    HttpsClient { client, proxies: proxies.clone() }
}

impl<B> HttpsClient<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Sends a request, and returns when the head of the response has arrived.
    pub(crate) fn request(&self, mut request: Request<B>) -> ResponseFuture {
        if let Some(authorization) = self.proxies.authorization(request.uri()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        self.client.request(request)
    }
}
