//! Outgoing proxies: which one a URL uses, and the first hop of a connection.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::connect::{Connected, Connection, HttpConnector, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

/// Hosts that are never reached through a proxy: this machine, and the metadata services of clouds, which serve only it.
const NEVER: &str =
    "localhost,127.0.0.0/8,::1,169.254.169.254,169.254.170.2,fd00:ec2::254,metadata.google.internal";

/// The proxies by the scheme of the requested URL. Their URLs may hold passwords, which `Debug` and [`Self::describe`] omit.
#[cfg_attr(not(feature = "bucket"), expect(dead_code, reason = "for the clients of buckets"))]
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    no: String,
    matcher: Option<Arc<Matcher>>,
}

impl Proxies {
    /// The URLs of the proxies for `http` and for `https` URLs. `no` lists the hosts that are reached directly, separated by commas:
    /// names, with all their subdomains, addresses, networks, or `*`.
    #[must_use]
    pub fn new(http: Option<String>, https: Option<String>, no: &str) -> Self {
        let no = [no, NEVER].join(",");
        let given = |proxy: &Option<String>| proxy.clone().unwrap_or_default();
        let matcher = (http.is_some() || https.is_some())
            .then(|| Matcher::builder().http(given(&http)).https(given(&https)).no(no.clone()).build());
        Self { http, https, no, matcher: matcher.map(Arc::new) }
    }

    /// The URL of the proxy for this scheme. May hold a password.
    #[cfg(feature = "bucket")]
    pub(crate) fn of_scheme(&self, scheme: &str) -> Option<&str> {
        if scheme == "https" { self.https.as_deref() } else { self.http.as_deref() }
    }

    /// The hosts that are reached directly.
    #[cfg(feature = "bucket")]
    pub(crate) fn direct_hosts(&self) -> &str {
        &self.no
    }

    /// Returns the `proxy-authorization` of a request to this URL. For a tunnel it is sent when the tunnel is opened.
    pub(super) fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        let plain = url.scheme_str() == Some("http");
        self.intercept(url).filter(|_| plain)?.basic_auth().cloned()
    }

    fn intercept(&self, url: &Uri) -> Option<Intercept> {
        self.matcher.as_ref()?.intercept(url)
    }

    /// Describes the proxies without passwords; `None` if there are none.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let shown = |scheme: &str| {
            let proxy = self.intercept(&format!("{scheme}://host.invalid/").parse().ok()?)?;
            Some(format!("{scheme} through {}", proxy.uri().to_string().trim_end_matches('/')))
        };
        let all: Vec<String> = ["http", "https"].into_iter().filter_map(shown).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxies").field(&self.describe()).finish()
    }
}

/// Opens the first hop of a connection: to the server itself, to the proxy for an `http` URL, or a tunnel through a proxy.
#[derive(Clone)]
pub struct FirstHop {
    direct: HttpConnector,
    to_proxy: HttpsConnector<HttpConnector>,
    proxies: Proxies,
}

/// The stream of a first hop.
pub struct Hop {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    /// The other end is a proxy that needs absolute URLs.
    is_proxy: bool,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl FirstHop {
    /// `tls` is for proxies that are reached over TLS.
    pub(super) fn new(direct: HttpConnector, tls: ClientConfig, proxies: Proxies) -> Self {
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(direct.clone());
        Self { direct, to_proxy, proxies }
    }
}

impl Service<Uri> for FirstHop {
    type Response = Hop;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Hop, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&url) else {
            let connecting = self.direct.call(url);
            return Box::pin(async move {
                Ok(Hop { stream: MaybeHttpsStream::Http(connecting.await?), is_proxy: false })
            });
        };
        if url.scheme_str() == Some("https") {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let connecting = tunnel.call(url);
            return Box::pin(async move { Ok(Hop { stream: connecting.await?, is_proxy: false }) });
        }
        let connecting = self.to_proxy.call(proxy.uri().clone());
        Box::pin(async move { Ok(Hop { stream: connecting.await?, is_proxy: true }) })
    }
}

impl Connection for Hop {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.is_proxy)
    }
}

impl Read for Hop {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Hop {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}
