//! The beginning of a connection: whether its listener has TLS, the handshake, and the version of
//! HTTP.

use std::io;

use larder_tls::TlsStream;
use tokio::net::TcpStream;

use super::{
    ServerBounds,
    peer::Peer,
    stream::{Socket, Stream},
};
use crate::registry::{ClientCheck, Registry, SiteTls};

/// How an HTTP/2 connection begins (RFC 9113, 3.4). No HTTP/1 method does.
const HTTP2_PREFACE: &[u8] = b"PRI * ";
/// How a TLS connection begins: with a handshake record (RFC 8446, 5.1). No HTTP does.
const HANDSHAKE: u8 = 0x16;
/// HTTP/2 as ALPN names it.
const HTTP2: &[u8] = b"h2";
/// Fewest bytes that wait in encrypted form to be sent: one record. The most is the library's default
/// of 64 KiB.
const LEAST_TLS_BYTES: usize = 16 * 1024;
const MOST_TLS_BYTES: usize = 64 * 1024;

/// A connection whose first request may be read.
pub(super) struct Begun {
    pub(super) stream: Stream,
    pub(super) peer: Peer,
    pub(super) protocol: Protocol,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    /// No TLS, where there has to be.
    PlainHttp,
}

/// The certificates of a server.
pub(super) struct Sites<'a> {
    /// That of the server itself.
    pub(super) own: Option<&'a SiteTls>,
    /// Those of tenants.
    pub(super) registry: Option<&'a Registry>,
}

impl Sites<'_> {
    /// Returns the one of a listener, if it has TLS: a Unix socket never does.
    fn of_listener(&self, peer: &Peer) -> Option<SiteTls> {
        if peer.check == ClientCheck::Local {
            return None;
        }
        let tenant = peer.listener.as_ref();
        let of_tenant = tenant.and_then(|tenant| self.registry?.site_of(tenant));
        of_tenant.or_else(|| self.own.cloned())
    }

    /// Returns the one of the host that a client asks for. A tenant's own listener has one alone.
    fn of_host(&self, peer: &Peer, host: Option<&str>) -> Option<SiteTls> {
        if peer.listener.is_some() {
            return None;
        }
        self.registry?.site_of_host(host?)
    }
}

/// Begins a connection. The caller bounds the time.
///
/// # Errors
/// When it ends, or the handshake fails.
pub(super) async fn begin(
    socket: Socket,
    peer: Peer,
    sites: &Sites<'_>,
    bounds: &ServerBounds,
) -> io::Result<Begun> {
    let Some(site) = sites.of_listener(&peer) else {
        let protocol = if speaks_http2(&socket).await? { Protocol::Http2 } else { Protocol::Http1 };
        return Ok(Begun { stream: socket.into_stream(bounds.idle), peer, protocol });
    };
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match socket {
        // Boxed: it would make the future of a connection without TLS larger.
        Socket::Tcp(stream) if first == [HANDSHAKE] => Box::pin(handshake(stream, peer, sites, site)).await,
        socket => {
            let stream = socket.into_stream(bounds.idle);
            Ok(Begun { stream, peer, protocol: Protocol::PlainHttp })
        }
    }
}

async fn handshake(stream: TcpStream, peer: Peer, sites: &Sites<'_>, site: SiteTls) -> io::Result<Begun> {
    let mut chosen = site;
    let stream = larder_tls::accept(stream, |host| {
        if let Some(other) = sites.of_host(&peer, host) {
            chosen = other;
        }
        chosen.tls.config()
    })
    .await?;
    let session = stream.get_ref().1;
    let protocol = if session.alpn_protocol() == Some(HTTP2) { Protocol::Http2 } else { Protocol::Http1 };
    let has_certificate = session.peer_certificates().is_some();
    let check = if has_certificate { chosen.check } else { ClientCheck::Unchecked };
    Ok(Begun { stream: Stream::Tls(Box::new(stream)), peer: peer.with_tls(check), protocol })
}

/// Bounds what waits in encrypted form, for a connection with buffers of this size.
pub(super) fn bound_buffer(stream: &mut Stream, buffer_bytes: usize) {
    if let Stream::Tls(stream) = stream {
        let stream: &mut TlsStream<TcpStream> = stream;
        let bytes = (buffer_bytes / 4).clamp(LEAST_TLS_BYTES, MOST_TLS_BYTES);
        stream.get_mut().1.set_buffer_limit(Some(bytes));
    }
}

/// Peeks at the first bytes: returns whether they are the HTTP/2 preface.
async fn speaks_http2(socket: &Socket) -> io::Result<bool> {
    let mut seen = [0; HTTP2_PREFACE.len()];
    loop {
        let count = socket.peek(&mut seen).await?;
        let begins = HTTP2_PREFACE.starts_with(&seen[..count]);
        if count == 0 || !begins || count == HTTP2_PREFACE.len() {
            return Ok(begins && count > 0);
        }
        // A part of the preface.
        if !socket.more().await? {
            return Ok(false);
        }
    }
}
