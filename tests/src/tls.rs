//! Clients that speak TLS.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use larder_testing::certificates::{Authority, Pair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// The settings of a client that trusts this authority, and has this certificate. It negotiates no
/// version of HTTP.
#[must_use]
pub fn client_config(authority: Option<&Authority>, own: Option<&Pair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    if let Some(authority) = authority {
        let certificate = CertificateDer::from_pem_file(authority.certificate()).expect("a certificate");
        roots.add(certificate).expect("a good certificate");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the library's defaults")
        .with_root_certificates(roots);
    let Some(own) = own else { return builder.with_no_client_auth() };
    let certificate = CertificateDer::from_pem_file(&own.certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
    builder.with_client_auth_cert(vec![certificate], key).expect("its key")
}

/// A client that negotiates HTTP/2 over TLS, and speaks HTTP/1.1 without TLS.
pub(crate) fn http_client(config: ClientConfig) -> Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_all_versions().build();
    Client::builder(TokioExecutor::new()).build(connector)
}
