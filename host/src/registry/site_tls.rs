//! The certificate of the server, or of a tenant, and whose clients it is for.

use std::sync::Arc;

use larder_common::TenantName;
use larder_tls::ServerTls;

/// By whose authority of client certificates a client was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientCheck {
    /// By none.
    Unchecked,
    /// By this machine (whoever may open a Unix socket) or the embedding program.
    Local,
    /// By the server's.
    Server,
    /// By this tenant's own.
    Tenant(TenantName),
}

/// The TLS of the server, or of a tenant.
#[derive(Clone, Debug)]
pub(crate) struct SiteTls {
    pub(crate) tls: Arc<ServerTls>,
    /// What a client with a certificate was checked by.
    pub(crate) check: ClientCheck,
    /// Whether a client needs one.
    pub(crate) needs_client: bool,
}

impl SiteTls {
    /// Returns whether a client that was checked so may make requests here. A handshake may name one
    /// tenant, and the request after it another one.
    pub(crate) fn allows(&self, check: &ClientCheck) -> bool {
        !self.needs_client || *check == ClientCheck::Local || *check == self.check
    }
}
