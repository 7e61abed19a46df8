//! Why a server does not start.

use std::{io, net::SocketAddr, path::PathBuf};

use larder_index::IndexError;
use larder_rules::RulesError;
use larder_storage::StorageError;
use larder_tls::TlsFault;

use crate::{
    auth::AuthSetupError,
    config::{ConfigError, ListenAddress},
    descriptors::TooFew,
    engine::LoadError,
    net::TlsError,
};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or directory cannot be created or opened.
    #[error("{path}: cannot be used")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process uses the data directory.
    #[error(
        "{0}: another Larder is using this data directory; stop it first, or choose another one (LARDER_DATA)"
    )]
    Locked(PathBuf),
    /// The address cannot be bound.
    #[error("cannot listen on {address} (LARDER_LISTEN)")]
    Listen {
        /// Which.
        address: ListenAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address of the management API cannot be bound.
    #[error("cannot listen on {address} (LARDER_MANAGEMENT_LISTEN)")]
    ManagementListen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The limit of open files is too low.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// A thread or runtime cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The files of the tenants cannot be read.
    #[error("the tenants cannot be served")]
    Tenants(#[from] ConfigError),
    /// The policy cannot be used.
    #[error("the policy cannot be loaded")]
    Policy(#[from] LoadError),
    /// The rules cannot be used.
    #[error("{path}: the rules cannot be loaded")]
    Rules {
        /// Their file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RulesError,
    },
    /// The storage cannot be used.
    #[error("the storage cannot be used")]
    Storage(#[from] StorageError),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Index(#[from] IndexError),
    /// The database's file cannot be used.
    #[error("{path}: the database cannot be used")]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: IndexError,
    },
    /// The driver was not compiled in.
    #[error(
        "this program was built without the driver `{driver}`: `make build` builds one that has all of them (target/release/larder)"
    )]
    NotBuilt {
        /// Which.
        driver: &'static str,
    },
    /// The disk is too full to start.
    #[error("the disk is full: cannot open {path}; free some MiB")]
    Full {
        /// What needs it.
        path: PathBuf,
    },
    /// Tokens or URLs cannot be verified.
    #[error(transparent)]
    Auth(#[from] AuthSetupError),
    /// TLS of outgoing requests cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS of a listener cannot be set up.
    #[error(transparent)]
    ListenerTls(#[from] TlsFault),
}
