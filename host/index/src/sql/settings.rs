//! What the drivers are told of a database server.

use std::{path::PathBuf, time::Duration};

/// How to reach a database server: by its URL, or by the parts of one. Has no `Debug`: URL and password are secrets.
#[derive(Clone, Default)]
pub struct ServerSettings {
    /// The whole URL; may hold a password. Where it is set, the parts are not looked at.
    pub url: Option<String>,
    /// The server's name or address.
    pub host: Option<String>,
    /// The port; `None`: the database's usual one.
    pub port: Option<u16>,
    /// The user to log in as.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// The name of the database.
    pub database: Option<String>,
    /// How the connection is protected; `None`: as the URL says, else [`SslMode::Prefer`].
    pub ssl_mode: Option<SslMode>,
    /// Certificates in PEM form that the server's must be signed by, in addition to the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// How the connection to a server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Not at all.
    Disable,
    /// By TLS where the server offers it, with any certificate.
    Prefer,
    /// By TLS, with any certificate.
    Require,
    /// By TLS, with a certificate of a known authority.
    VerifyCa,
    /// By TLS, with a certificate of a known authority for the server's name.
    VerifyFull,
}

/// What bounds the use of a server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most connections of this process.
    pub connections: usize,
    /// How long one call of the index may take: waiting for a connection, connecting, and retries included.
    pub call: Duration,
}
