//! The socket of a connection: TCP, TLS over it, or a Unix socket.
//!
//! An enum, so that a plain connection pays for the other kinds with one comparison. What TLS keeps
//! is in a box: it would make the future of every connection larger.

use std::{
    io::{self, IoSlice},
    net::{SocketAddr, TcpStream as StdTcpStream},
    os::{fd::AsFd, unix::net::UnixStream as StdUnixStream},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use larder_tls::TlsStream;
use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Sleep, sleep},
};

/// Most bytes that the kernel queues for a connection beyond what its client's window takes. Without a limit it
/// queues up to 4 MiB (`net.ipv4.tcp_wmem`): 700 clients that read nothing took 2 GB, which is all that
/// Linux allows for TCP on a machine with 24 GB, and every other connection stood still for seconds.
const UNSENT_BYTES: u32 = 256 << 10;

/// A connection on its way to its worker thread.
pub(super) struct Accepted {
    pub(super) socket: AcceptedSocket,
    /// `None`: a Unix socket's.
    pub(super) client: Option<SocketAddr>,
}

/// Its socket.
pub(super) enum AcceptedSocket {
    Tcp(StdTcpStream),
    Unix(StdUnixStream),
}

impl AcceptedSocket {
    /// Returns the address of this end; `None` for a Unix socket.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) fn local(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Some),
            Self::Unix(_) => Ok(None),
        }
    }

    /// Makes it usable by this runtime.
    pub(super) fn into_socket(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(socket) => Socket::Tcp(TcpStream::from_std(socket)?),
            Self::Unix(socket) => Socket::Unix(UnixStream::from_std(socket)?),
        })
    }
}

/// A socket of which nothing was read yet.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Sends small responses at once, and has the kernel drop a peer that acknowledges nothing for
    /// `idle`, and queue little for a peer that reads slowly.
    pub(super) fn prepare(&self, idle: Duration) -> io::Result<()> {
        let Self::Tcp(stream) = self else { return Ok(()) };
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(idle))?;
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        Ok(())
    }

    /// Reads the first bytes, and leaves them there. Waits for one at least; 0 at the end.
    pub(super) async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(bytes).await,
            Self::Unix(stream) => {
                let peek = || {
                    let (count, _) = rustix::net::recv(stream.as_fd(), &mut *bytes, RecvFlags::PEEK)?;
                    Ok(count)
                };
                stream.async_io(Interest::READABLE, peek).await
            }
        }
    }

    /// Waits until more has arrived than was seen. Returns `false` if nothing more will.
    pub(super) async fn more(&self) -> io::Result<bool> {
        // Clears the readiness, so that the wait ends when more arrives.
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let ready = match self {
            Self::Tcp(stream) => {
                let _ = stream.try_io(Interest::READABLE, nothing);
                stream.ready(Interest::READABLE).await?
            }
            Self::Unix(stream) => {
                let _ = stream.try_io(Interest::READABLE, nothing);
                stream.ready(Interest::READABLE).await?
            }
        };
        Ok(!ready.is_read_closed())
    }

    /// Returns it as a stream without TLS. A Unix socket's client that reads nothing for `idle` is
    /// cut; a TCP client is cut by the kernel.
    pub(super) fn into_stream(self, idle: Duration) -> Stream {
        match self {
            Self::Tcp(stream) => Stream::Tcp(stream),
            Self::Unix(stream) => Stream::Unix(LocalStream { stream, idle, stalled: None }),
        }
    }
}

/// A connection's bytes.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(LocalStream),
}

/// A Unix socket, which has no `TCP_USER_TIMEOUT`.
pub(super) struct LocalStream {
    stream: UnixStream,
    idle: Duration,
    /// Runs while the client reads nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl LocalStream {
    /// Bounds the wait for a client to read.
    fn bound<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let idle = self.idle;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(idle)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(local) => Pin::new(&mut local.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(local) => {
                let written = Pin::new(&mut local.stream).poll_write(cx, bytes);
                local.bound(cx, written)
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(local) => {
                let written = Pin::new(&mut local.stream).poll_write_vectored(cx, slices);
                local.bound(cx, written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(local) => local.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(local) => Pin::new(&mut local.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(local) => Pin::new(&mut local.stream).poll_shutdown(cx),
        }
    }
}
