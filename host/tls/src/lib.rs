//! TLS of a listener: a certificate with its key, and the authority of client certificates, all of
//! them files, which are read again when they change.
//!
//! A [`ServerTls`] is made once. [`Watch`] looks at its files every 2 s; what has changed counts for
//! the next handshake, and no connection under way is touched. Files with a fault change nothing.
//! [`accept`] makes the handshake, with a certificate by the name that the client asks for.
//!
//! Knows nothing of HTTP but the names of its versions, and nothing of tenants.

mod accept;
mod fault;
mod files;
mod server;
mod watch;

pub use accept::{TlsStream, accept};
pub use fault::TlsFault;
pub use files::TlsFiles;
pub use server::ServerTls;
pub use watch::Watch;

#[cfg(test)]
mod tests;
