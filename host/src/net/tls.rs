//! The certificates that outgoing requests trust.

use std::{path::Path, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use larder_common::causes::chain;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of additional certificates cannot be read, or is not PEM.
    #[error("tls.ca_file: cannot read certificates from {path}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The file of additional certificates has no usable one.
    #[error("tls.ca_file: {0} holds no usable certificate; it must hold certificates in PEM form")]
    NoCertificate(PathBuf),
    /// The TLS library rejects its own defaults.
    #[error("TLS cannot be set up")]
    Library(#[from] rustls::Error),
}

/// Returns the TLS settings for outgoing requests: the system's root certificates, and those of
/// `ca_file` in addition.
///
/// A system without root certificates (a bare container) is not an error: a warning is logged, and
/// every `https` request fails. The system's are found as OpenSSL finds them, with `SSL_CERT_FILE`
/// and `SSL_CERT_DIR`.
///
/// # Errors
/// When `ca_file` is given and has no usable certificate: it was configured, so it is needed.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = native_roots();
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    if roots.is_empty() {
        tracing::warn!(
            "no root certificates on this system: every outgoing https request will fail; \
             install them (package ca-certificates) or set tls.ca_file"
        );
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn native_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(error = %chain(error), "some of the system's root certificates cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let unreadable = |source| TlsError::CaFile { path: path.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(()) }
}
