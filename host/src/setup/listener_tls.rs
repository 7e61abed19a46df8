//! TLS of the server's listener, and of tenants.

use std::sync::Arc;

use larder_common::TenantName;
use larder_tls::{ServerTls, TlsFault, TlsFiles};

use crate::{
    config::{ClientCertificates, ListenerTls, Settings},
    registry::{ClientCheck, SiteTls},
};

/// Reads what the section `[server.tls]` names; `None` without it.
///
/// # Errors
/// When the files cannot be used.
pub(crate) fn server_tls(settings: &Settings) -> Result<Option<SiteTls>, TlsFault> {
    let own = &settings.server.tls;
    files("server.tls", own, own).map(|files| site(files, ClientCheck::Server)).transpose()
}

/// Reads what the section `[management.tls]` names; `None` without it.
///
/// # Errors
/// When the files cannot be used.
pub(crate) fn management_tls(settings: &Settings) -> Result<Option<Arc<ServerTls>>, TlsFault> {
    let own = &settings.management.tls;
    let files = files("management.tls", own, own);
    files.map(|files| ServerTls::load(TlsFiles { is_http1_only: true, ..files })).transpose()
}

/// Reads what the section `[tenant.tls]` names; `None` without it. A tenant without an authority of
/// client certificates has that of the server.
///
/// # Errors
/// When the files cannot be used.
pub(super) fn tenant_tls(
    name: &TenantName,
    own: &ListenerTls,
    server: &Settings,
) -> Result<Option<SiteTls>, TlsFault> {
    let check = match own.client_ca {
        Some(_) => ClientCheck::Tenant(name.clone()),
        None => ClientCheck::Server,
    };
    tenant_files(own, server).map(|files| site(files, check)).transpose()
}

/// The files of a tenant.
pub(super) fn tenant_files(own: &ListenerTls, server: &Settings) -> Option<TlsFiles> {
    let clients = if own.client_ca.is_some() { own } else { &server.server.tls };
    files("tenant.tls", own, clients)
}

/// `clients`: the section that says which client certificates count.
fn files(section: &str, own: &ListenerTls, clients: &ListenerTls) -> Option<TlsFiles> {
    Some(TlsFiles {
        section: section.to_owned(),
        certificate: own.certificate.clone()?,
        key: own.key.clone()?,
        client_ca: clients.client_ca.clone(),
        is_client_optional: clients.client_certificates == ClientCertificates::Optional,
        is_http1_only: false,
    })
}

fn site(files: TlsFiles, check: ClientCheck) -> Result<SiteTls, TlsFault> {
    let needs_client = files.client_ca.is_some() && !files.is_client_optional;
    Ok(SiteTls { tls: ServerTls::load(files)?, check, needs_client })
}
