//! The handshake.

use std::{io, sync::Arc};

use rustls::{ServerConfig, server::Acceptor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;

/// A connection after its handshake.
pub type TlsStream<S> = tokio_rustls::server::TlsStream<S>;

/// Makes the handshake. `choose` gets the host name that the client asks for, in lower case, if it
/// names one. The caller bounds the time of all of it; the bytes that a client can have held here are
/// bounded by the library, to 64 KiB.
///
/// # Errors
/// When the connection fails, or what the client says is no handshake, or is refused.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    choose: impl FnOnce(Option<&str>) -> Arc<ServerConfig>,
) -> io::Result<TlsStream<S>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let config = choose(start.client_hello().server_name());
    start.into_stream(config).await
}
