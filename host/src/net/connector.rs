//! The first hop of an outgoing connection: the server itself, or a proxy.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector, proxy::Tunnel},
    rt::TokioIo,
};
use larder_common::Proxies;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

/// Opens the first hop of a connection: to the server itself, to the proxy for an `http` URL, or a
/// tunnel through a proxy.
#[derive(Clone)]
pub(crate) struct FirstHop {
    direct: HttpConnector,
    to_proxy: HttpsConnector<HttpConnector>,
    proxies: Proxies,
}

/// The stream of a first hop.
pub(crate) struct Hop {
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
