//! TLS of a listener: the sections `[server.tls]`, `[management.tls]` and, in a tenant's file, `[tenant.tls]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Settings, check::Check, optional, sections::choice};

/// TLS of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerTls {
    /// The certificate, and those that lead from it to a known authority; PEM. Unset: no TLS.
    #[serde(with = "optional")]
    pub certificate: Option<PathBuf>,
    /// Its private key; PEM, without a password.
    #[serde(with = "optional")]
    pub key: Option<PathBuf>,
    /// Certificates of the authorities whose client certificates count; unset: clients are not
    /// asked for one.
    #[serde(with = "optional")]
    pub client_ca: Option<PathBuf>,
    /// Whether a client needs one.
    pub client_certificates: ClientCertificates,
}

/// Whether clients need a certificate, where authorities of them are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// A client without one is refused.
    #[default]
    Required,
    /// A client without one is served; one with a wrong one is refused.
    Optional,
}

choice!(
    ClientCertificates,
    "required or optional",
    ["required" => Self::Required, "optional" => Self::Optional]);

impl ListenerTls {
    /// Returns whether there is TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.certificate.is_some()
    }
}

impl Check<'_> {
    /// Checks the section of this name: a part of it alone has no effect.
    pub(super) fn listener_tls(&self, section: &str, tls: &ListenerTls) -> Result<(), ConfigError> {
        let ListenerTls { certificate, key, client_ca, client_certificates } = tls;
        let needs = |name: &str, other: &str, is_there: bool| {
            self.that(&format!("{section}.{name}"), is_there, || {
                format!("is set, but {section}.{other} is not")
            })
        };
        needs("certificate", "key", certificate.is_none() || key.is_some())?;
        needs("key", "certificate", key.is_none() || certificate.is_some())?;
        needs("client_ca", "certificate", client_ca.is_none() || certificate.is_some())?;
        let is_default = *client_certificates == ClientCertificates::default();
        needs("client_certificates", "client_ca", is_default || client_ca.is_some())
    }

    /// A Unix socket has no TLS. Tenants may have other listeners. What is off has none.
    pub(super) fn tls_has_listener(&self, settings: &Settings) -> Result<(), ConfigError> {
        let server = &settings.server;
        let has_one = server.listen.tcp().is_some() || settings.tenants.dir.is_some();
        self.that("server.tls.certificate", !server.tls.is_on() || has_one, || {
            "is set, but server.listen is a Unix socket, which has no TLS".to_owned()
        })?;
        let management = &settings.management;
        self.that(
            "management.tls.certificate",
            !management.tls.is_on() || management.listen.is_some(),
            || "is set, but management.listen is off".to_owned(),
        )
    }
}
