//! The exclusive resources of a process: the data directory and the listener.
//!
//! A process may start while the one before it still finishes its requests. It shares that one's
//! listener at once, so that no client is refused, and waits for the directory.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    config::{InheritedListener, ServerConfig},
    error::StartError,
    server::Listener,
};

/// How long a start waits for an earlier process to release the data directory.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// The listener that a start needs.
pub(crate) enum WantedListener {
    /// One on the configured address.
    Configured,
    /// These, which a supervisor or the embedding program has opened.
    Given(Vec<InheritedListener>),
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
        server: &ServerConfig,
        listener: WantedListener,
    ) -> Result<Self, StartError> {
        let path = data.join("larder.lock");
        fs::create_dir_all(data).map_err(|source| StartError::Path { path: data.to_owned(), source })?;
        let file = File::create(&path).map_err(|source| StartError::Path { path, source })?;
        let is_wanted = !matches!(listener, WantedListener::Without);
        let listener = match listener {
            WantedListener::Given(all) => Listener::inherited(all, &server.listen),
            WantedListener::Configured | WantedListener::Without => None,
        };
        let must_listen = is_wanted && listener.is_none();
        let mut claim = Self { file, is_locked: false, must_listen, listener };
        claim.is_locked = claim.try_lock(data)?;
        if !claim.is_locked {
            tracing::warn!(data = %data.display(), "another Larder is using the data directory; waiting for it to stop");
        }
        claim.try_listen(data, server)?;
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
        server: &ServerConfig,
    ) -> Result<(File, Option<Listener>), StartError> {
        let end = Instant::now() + LOCK_WAIT;
        while !self.is_locked {
            if Instant::now() >= end {
                return Err(StartError::Locked(data.to_owned()));
            }
            sleep(PAUSE).await;
            self.is_locked = self.try_lock(data)?;
            self.try_listen(data, server)?;
        }
        if self.must_listen && self.listener.is_none() {
            let (address, source) = (server.listen.clone(), io::ErrorKind::AddrInUse.into());
            return Err(StartError::Listen { address, source });
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

    fn try_listen(&mut self, data: &Path, server: &ServerConfig) -> Result<(), StartError> {
        if !self.must_listen || self.listener.is_some() {
            return Ok(());
        }
        let address = &server.listen;
        if !self.is_locked {
            self.listener = Listener::take_over(data, address);
        }
        if self.listener.is_none() {
            self.listener = match Listener::open(address, server.socket_mode) {
                Ok(listener) => Some(listener),
                // It may be the address of the process that has the directory, which frees both.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && !self.is_locked => None,
                Err(source) => return Err(StartError::Listen { address: address.clone(), source }),
            };
        }
        Ok(())
    }
}
