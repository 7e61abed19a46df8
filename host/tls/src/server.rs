//! The TLS of a listener, as its files say now.

use std::{fmt, sync::Arc};

use larder_common::{FileStamp, causes::chain, clock::Clock};
use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;

use crate::{TlsFault, TlsFiles, files::Loaded};

/// The TLS of a listener. Shared: what its files say changes for all who have it.
pub struct ServerTls {
    files: TlsFiles,
    current: RwLock<Loaded>,
    /// The files as they were when they were read last, with a fault or without.
    seen: Mutex<Vec<Option<FileStamp>>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsFault> {
        // Before they are read: a change meanwhile is seen by the next look.
        let seen = files.stamps();
        let loaded = files.load()?;
        let tls = Self { files, current: RwLock::new(loaded), seen: Mutex::new(seen) };
        tls.warn_if_expired(&Clock::system());
        Ok(Arc::new(tls))
    }

    /// Reads the files again, if one has changed. A fault is logged, and what was read before stays.
    pub fn look(&self) {
        let mut seen = self.seen.lock();
        let now = self.files.stamps();
        if *seen == now {
            return;
        }
        *seen = now;
        let section = &self.files.section;
        match self.files.load() {
            Ok(loaded) => {
                let not_after_s = loaded.not_after_s;
                *self.current.write() = loaded;
                tracing::info!(section, not_after_s, "the certificate was read again");
                self.warn_if_expired(&Clock::system());
            }
            Err(fault) => {
                tracing::error!(
                    section,
                    error = chain(&fault),
                    "the new certificate cannot be used; the old one stays"
                );
            }
        }
    }

    /// Returns what a handshake that begins now is made with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.read().config.clone()
    }

    /// Returns when the certificate that is served ends, in seconds since 1970; `None` where that
    /// cannot be told.
    #[must_use]
    pub fn not_after_s(&self) -> Option<u64> {
        self.current.read().not_after_s
    }

    /// Returns the files.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    fn warn_if_expired(&self, clock: &Clock) {
        let not_after_s = self.not_after_s();
        if not_after_s.is_some_and(|end| end < clock.now_ms() / 1000) {
            let certificate = self.files.certificate.display();
            tracing::warn!(%certificate, not_after_s, "the certificate has expired: clients will refuse it");
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}
