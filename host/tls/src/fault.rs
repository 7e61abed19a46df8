//! Why TLS cannot be set up.

use std::path::PathBuf;

use rustls::{pki_types::pem, server::VerifierBuilderError};

/// Why TLS cannot be set up. Names the setting, such as `server.tls.key`, and the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read, or is not in PEM form.
    #[error("{setting}: cannot read {path}")]
    Unreadable {
        /// Which setting names it.
        setting: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A file has nothing of what it is for.
    #[error("{setting}: {path} holds no {what} in PEM form")]
    Empty {
        /// Which setting names it.
        setting: String,
        /// The file.
        path: PathBuf,
        /// What it must hold.
        what: &'static str,
    },
    /// The key is another certificate's.
    #[error("{setting}: the key in {key} is not that of the first certificate in {certificate}")]
    Mismatch {
        /// Which setting names the key.
        setting: String,
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A certificate or key is of a kind that cannot be used.
    #[error("{setting}: what is in {path} cannot be used")]
    Unusable {
        /// Which setting names it.
        setting: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authority of client certificates cannot be used.
    #[error("{setting}: what is in {path} cannot be used")]
    Authority {
        /// Which setting names it.
        setting: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
    /// The TLS library rejects its own defaults.
    #[error("TLS cannot be set up")]
    Library(#[from] rustls::Error),
}
