//! Settings of a database server.

use std::{path::PathBuf, time::Duration};

/// How to reach a database server: by its URL, or by the parts of one. Has no `Debug`: URL and
/// password are secrets.
#[derive(Clone, Default)]
pub struct ConnectionSettings {
    /// The whole URL, which may contain a password. If it is set, the parts are ignored.
    pub url: Option<String>,
    /// The server's name or address.
    pub host: Option<String>,
    /// The port. Default: 5432 for PostgreSQL, 3306 for MySQL.
    pub port: Option<u16>,
    /// The user to log in as.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// The name of the database.
    pub database: Option<String>,
    /// How the connection is protected. Default: as the URL states, else [`SslMode::Prefer`].
    pub ssl_mode: Option<SslMode>,
    /// A PEM file with certificate authorities that are trusted in addition to the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// How the connection to a server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it, with any certificate.
    Prefer,
    /// TLS with any certificate.
    Require,
    /// TLS with a certificate of a trusted authority.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for the server's name.
    VerifyFull,
}

/// What opening does with a database that was made for another rule of comparing keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherRule {
    /// Refuses it: other servers may be using it, and would miss what is rewritten.
    Refuse,
    /// Rewrites its rows. No other server may be using it.
    Rewrite,
}

/// Limits for the use of a server.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Most connections of this process.
    pub connections: usize,
    /// Longest duration of one index call, including waiting for a connection, connecting, and
    /// retries.
    pub call: Duration,
}
