//! Hands the listening sockets from one process to the next, so that clients that connect in between
//! wait and are not refused.
//!
//! The running server offers its socket, and those of its tenants, to its successor, a process with
//! the same data directory, over a Unix socket in that directory (`SCM_RIGHTS`). Both then have one
//! and the same listener; whichever accepts a waiting connection serves it, and the listener closes
//! with the last of the two. Without support for Unix sockets in the directory, or in another network
//! namespace, the successor opens a listener of its own.

use std::{
    fs, io,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg, sockopt::socket_peercred,
    },
    process::geteuid,
};

use super::listen::ListenSocket;
use crate::config::ListenAddress;

/// The socket's name in the data directory.
const NAME: &str = "larder.sock";
/// Longest path of a Unix socket, less than the kernel's 107 bytes.
const MAX_PATH_BYTES: usize = 100;
/// How long the running server may take to hand a listener over, and its successor to take it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The socket on which successors ask for the listener.
pub(super) struct Offer {
    asked: UnixListener,
    path: PathBuf,
}

/// A listener that the running server shares with this process, and the connection by which it sees
/// that this process lives.
pub(super) struct Taken {
    pub(super) listener: ListenSocket,
    /// Those of its tenants.
    pub(super) of_tenants: Vec<ListenSocket>,
    pub(super) tie: UnixStream,
}

impl Offer {
    /// Begins to offer. Only for the process that holds the data directory's lock: it replaces the
    /// socket of an earlier process.
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        let socket = SocketPath::of(data)?;
        let path = socket.path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let asked = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        asked.set_nonblocking(true)?;
        Ok(Self { asked, path: data.join(NAME) })
    }

    /// Returns the socket for successors. Must be called in a runtime.
    pub(super) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.asked.try_clone()?)
    }
}

/// Sends the listener, and those of tenants, to a process of the same user, or of root.
pub(super) fn give(
    asker: &UnixStream,
    listener: BorrowedFd<'_>,
    of_tenants: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let uid = socket_peercred(asker)?.uid;
    if uid != geteuid() && !uid.is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    asker.set_nonblocking(false)?;
    asker.set_write_timeout(Some(TIMEOUT))?;
    let count = u32::try_from(of_tenants.len()).map_err(io::Error::other)?;
    let first = [&network()?.to_be_bytes()[..], &count.to_be_bytes()].concat();
    send(asker, listener, &first)?;
    of_tenants.iter().try_for_each(|of_tenant| send(asker, *of_tenant, &[0]))
}

impl Drop for Offer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Asks the running server for its listener. Returns `None` if there is no server, or it has
/// another address.
pub(super) fn take(data: &Path, address: &ListenAddress) -> Option<Taken> {
    if address.is_any_port() {
        return None;
    }
    let socket = SocketPath::of(data).ok()?;
    let tie = UnixStream::connect(socket.path()).ok()?;
    tie.set_read_timeout(Some(TIMEOUT)).ok()?;
    let (listener, count) = receive_first(&tie)
        .inspect_err(|error| tracing::debug!(%error, "the running server does not hand its listener over"))
        .ok()?;
    // All that arrive: one that is missing is opened later.
    let of_tenants = (0..count).map_while(|_| receive(&tie, &mut [0]).ok()).map(|(_, socket)| socket);
    let of_tenants = of_tenants.collect();
    (listener.address().ok()? == *address).then_some(Taken { listener, of_tenants, tie })
}

/// Returns whether the process at the other end still lives.
pub(super) fn is_tied(tie: &UnixStream) -> bool {
    let mut byte = [0];
    // It never writes: only the end can be read.
    matches!(
        rustix::net::recv(tie, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT),
        Err(rustix::io::Errno::AGAIN)
    )
}

fn send(asker: &UnixStream, listener: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let descriptors = [listener];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(asker, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the server's own listener, and how many of tenants follow.
fn receive_first(tie: &UnixStream) -> io::Result<(ListenSocket, u32)> {
    let mut bytes = [0; 12];
    let (length, listener) = receive(tie, &mut bytes)?;
    let (theirs, count) = bytes.split_at(8);
    // A listener of another network namespace (two containers on one volume) gets no connections of
    // this one.
    if length < theirs.len() || theirs != network()?.to_be_bytes() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // An earlier release names no number.
    let count = count.try_into().map(u32::from_be_bytes).map_err(io::Error::other)?;
    Ok((listener, count))
}

/// Receives a listener and the bytes with it. Returns their number.
fn receive(tie: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, ListenSocket)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(tie, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor: Option<OwnedFd> = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let descriptor = descriptor.ok_or(io::ErrorKind::Unsupported)?;
    Ok((received.bytes, descriptor.try_into()?))
}

/// Returns the id of this process's network namespace.
fn network() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/net")?.ino())
}

/// The socket's path, short enough for a Unix socket.
struct SocketPath {
    data: PathBuf,
    /// Open while the path leads through it.
    _folder: Option<fs::File>,
}

impl SocketPath {
    fn of(data: &Path) -> io::Result<Self> {
        use std::os::{fd::AsRawFd, unix::ffi::OsStrExt};
        if data.join(NAME).as_os_str().as_bytes().len() <= MAX_PATH_BYTES {
            return Ok(Self { data: data.to_owned(), _folder: None });
        }
        let folder = fs::File::open(data)?;
        let data = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        Ok(Self { data, _folder: Some(folder) })
    }

    fn path(&self) -> PathBuf {
        self.data.join(NAME)
    }
}

#[cfg(test)]
mod tests;
