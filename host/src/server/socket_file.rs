//! The file of a Unix socket: made with its mode, replaced when its process is dead, removed at the
//! end.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use super::listen::BACKLOG;
use crate::config::SocketMode;

/// How often it is tried to lock a directory in which another process replaces a socket, and the
/// pause between two tries.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Listens on a new socket of this path.
///
/// # Errors
/// `AddrInUse` when a process listens there, or what is there is no socket.
pub(super) fn listen(path: &Path, mode: SocketMode) -> io::Result<UnixListener> {
    // Of two processes that both find a dead socket, the second must not remove that of the first.
    let _lock = lock_directory(path)?;
    if is_dead(path)? {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // The file is made with this mode, less the process's mask: nobody can connect before the mode
    // is set who may not afterwards.
    fchmod(&socket, Mode::from_raw_mode(mode.bits()))?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Locks the directory of a path until the result is dropped.
fn lock_directory(path: &Path) -> io::Result<File> {
    let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
    for _ in 0..TRIES {
        match directory.try_lock() {
            Ok(()) => return Ok(directory),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Returns whether a socket is there that nobody listens on.
fn is_dead(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            let what = "there is a file that is no socket";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, what))
        }
        Ok(_) => {
            // Does not wait where the backlog is full.
            let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            client.set_nonblocking(true)?;
            let connected = client.connect(&SockAddr::unix(path)?);
            // It is alive, too, where the backlog is full, or this user may not connect.
            Ok(connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
        }
    }
}

/// The file of a socket that this process listens on.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: FileIdentity,
}

impl SocketFile {
    /// Returns that of this path, if it is there.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Some(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// Removes it, unless it is another one by now.
    pub(super) fn remove(self) {
        if identity(&self.path) == Some(self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket's file");
        }
    }
}

/// Device and number, which may be given again, and the time when it was made.
type FileIdentity = (u64, u64, i64, i64);

fn identity(path: &Path) -> Option<FileIdentity> {
    let file = fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

#[cfg(test)]
mod tests;
