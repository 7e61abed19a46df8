//! The exclusive resources of a process: the data directory and the listener.
//!
//! A process may start while the one before it still finishes its requests. It shares that one's
//! listener at once, so that no client is refused, and waits for the directory.

use std::{
    fs::{self, File, TryLockError},
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{error::StartError, server::Listener};

/// How long a start waits for an earlier process to release the data directory.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// The listener that a start needs.
pub(crate) enum WantedListener {
    /// One on the configured address.
    Configured,
    /// This one, which a supervisor or the embedding program has opened.
    Given(TcpListener),
    /// None.
    Without,
}

/// The claim of a starting process to its exclusive resources.
pub(crate) struct StartClaim {
    file: File,
    is_locked: bool,
    /// Whether a listener is wanted that there is not yet.
    must_listen: bool,
    listener: Option<Listener>,
}

impl StartClaim {
    /// Creates the data directory, locks it if no process has it, and gets the listener: the given
    /// one, else that of the server that has the directory, else a new one.
    ///
    /// # Errors
    /// When the directory cannot be used, or the address is another server's.
    pub(crate) fn begin(
        data: &Path,
        address: SocketAddr,
        listener: WantedListener,
    ) -> Result<Self, StartError> {
        let path = data.join("larder.lock");
        fs::create_dir_all(data).map_err(|source| StartError::Path { path: data.to_owned(), source })?;
        let file = File::create(&path).map_err(|source| StartError::Path { path, source })?;
        let must_listen = matches!(listener, WantedListener::Configured);
        let listener = match listener {
            WantedListener::Given(socket) => Some(Listener::inherited(socket)),
            WantedListener::Configured | WantedListener::Without => None,
        };
        let mut claim = Self { file, is_locked: false, must_listen, listener };
        claim.is_locked = claim.try_lock(data)?;
        if !claim.is_locked {
            tracing::warn!(data = %data.display(), "another Larder is using the data directory; waiting for it to stop");
        }
        claim.try_listen(data, address)?;
        Ok(claim)
    }

    /// Waits until this process has locked the data directory. Returns the lock, and the listener if
    /// one is wanted.
    ///
    /// # Errors
    /// When another process still has it after a minute, or the address.
    pub(crate) async fn complete(
        mut self,
        data: &Path,
        address: SocketAddr,
    ) -> Result<(File, Option<Listener>), StartError> {
        let end = Instant::now() + LOCK_WAIT;
        while !self.is_locked {
            if Instant::now() >= end {
                return Err(StartError::Locked(data.to_owned()));
            }
            sleep(PAUSE).await;
            self.is_locked = self.try_lock(data)?;
            self.try_listen(data, address)?;
        }
        if self.must_listen && self.listener.is_none() {
            return Err(StartError::Listen { address, source: io::ErrorKind::AddrInUse.into() });
        }
        Ok((self.file, self.listener))
    }

    fn try_lock(&self, data: &Path) -> Result<bool, StartError> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => {
                Err(StartError::Path { path: data.join("larder.lock"), source })
            }
        }
    }

    fn try_listen(&mut self, data: &Path, address: SocketAddr) -> Result<(), StartError> {
        if !self.must_listen || self.listener.is_some() {
            return Ok(());
        }
        if !self.is_locked {
            self.listener = Listener::take_over(data, address);
        }
        if self.listener.is_none() {
            self.listener = match Listener::open(address) {
                Ok(listener) => Some(listener),
                // It may be the address of the process that has the directory, which frees both.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && !self.is_locked => None,
                Err(source) => return Err(StartError::Listen { address, source }),
            };
        }
        Ok(())
    }
}
