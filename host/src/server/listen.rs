//! The listening socket, of either kind.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
};

use rustix::net::{AddressFamily, sockopt::socket_domain};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    socket_file,
    stream::{Accepted, AcceptedSocket},
};
use crate::config::{InheritedListener, ListenAddress, SocketMode};

/// Connections that the kernel holds before they are accepted, such as during a restart. The kernel
/// lowers it to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// A listening socket.
#[derive(Debug)]
pub(crate) enum ListenSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl ListenSocket {
    /// Opens it, without `SO_REUSEPORT`: a second server on the address fails to start, and gets no
    /// part of the connections. The file of a Unix socket gets this mode; one that nobody listens on
    /// is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when another process listens there.
    pub(crate) fn open(address: &ListenAddress, mode: SocketMode) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => listen(*address).map(Self::Tcp),
            ListenAddress::Unix(path) => socket_file::listen(path, mode).map(Self::Unix),
        }
    }

    /// Returns where it is.
    pub(super) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(ListenAddress::Tcp),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                let path = address.as_pathname().ok_or(io::ErrorKind::Unsupported)?;
                Ok(ListenAddress::Unix(path.to_owned()))
            }
        }
    }

    /// Accepts a connection that waits, if there is one. Its socket does not block.
    pub(super) fn accept(&self) -> io::Result<Accepted> {
        let accepted = match self {
            Self::Tcp(socket) => {
                let (stream, client) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Accepted { socket: AcceptedSocket::Tcp(stream), client: Some(client) }
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Accepted { socket: AcceptedSocket::Unix(stream), client: None }
            }
        };
        Ok(accepted)
    }

    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }
}

impl From<InheritedListener> for ListenSocket {
    fn from(inherited: InheritedListener) -> Self {
        match inherited {
            InheritedListener::Tcp(socket) => Self::Tcp(socket),
            InheritedListener::Unix(socket) => Self::Unix(socket),
        }
    }
}

impl TryFrom<OwnedFd> for ListenSocket {
    type Error = io::Error;

    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(match socket_domain(&descriptor)? {
            AddressFamily::UNIX => Self::Unix(descriptor.into()),
            _ => Self::Tcp(descriptor.into()),
        })
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
