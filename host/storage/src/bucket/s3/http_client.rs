//! The HTTP client of the SDK: TLS, and a proxy for each scheme.
//!
//! The SDK's own client takes a proxy for one scheme only. The bucket may be at an `http` URL while
//! credentials come from an `https` one, so there is a client for each scheme.

use std::{fs, path::Path, time::Duration};

use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient, http::HttpRequest};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::settings::S3Settings;
use crate::StorageError;

const CONTEXT: &str = "setting up the client of the bucket";

/// Idle timeout of pooled connections; servers tend to close them after this.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Returns the client for all requests of the SDK, those for credentials included.
pub(super) fn http_client(settings: &S3Settings) -> Result<SharedHttpClient, StorageError> {
    let mut roots = TrustStore::empty().with_native_roots(true);
    if let Some(file) = &settings.ca_file {
        roots = roots.with_pem_certificate(certificates(file)?);
    }
    let tls = TlsContext::builder().with_trust_store(roots).build();
    let tls = tls.map_err(|error| StorageError::unavailable(CONTEXT, error))?;
    let [http, https] = [proxy(settings, "http")?, proxy(settings, "https")?];
    if http.is_disabled() && https.is_disabled() {
        return Ok(client(tls, http));
    }
    Ok(SharedHttpClient::new(ByScheme { http: client(tls.clone(), http), https: client(tls, https) }))
}

fn client(tls: TlsContext, proxy: ProxyConfig) -> SharedHttpClient {
    // The client's own builder takes no proxy, but its connector's does.
    Builder::new().pool_idle_timeout(POOL_IDLE).build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder()
            .pool_idle_timeout(POOL_IDLE)
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(tls.clone())
            .proxy_config(proxy.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.build()
    })
}

/// The proxy for URLs of this scheme.
fn proxy(settings: &S3Settings, scheme: &str) -> Result<ProxyConfig, StorageError> {
    let Some(url) = settings.proxies.of_scheme(scheme) else { return Ok(ProxyConfig::disabled()) };
    let make = if scheme == "https" { ProxyConfig::https } else { ProxyConfig::http };
    // The error's text would show the URL, which may contain a password.
    let config = make(url.to_owned())
        .map_err(|_| StorageError::Invalid("the proxy's URL cannot be used".to_owned()))?;
    Ok(config.no_proxy(settings.proxies.direct_hosts()))
}

/// A client for each scheme. Connections are made, and kept, only for schemes that are used.
#[derive(Clone, Debug)]
struct ByScheme {
    http: SharedHttpClient,
    https: SharedHttpClient,
}

impl HttpClient for ByScheme {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let (clients, settings, components) = (self.clone(), settings.clone(), components.clone());
        SharedHttpConnector::new(ConnectorByScheme { clients, settings, components })
    }
}

#[derive(Debug)]
struct ConnectorByScheme {
    clients: ByScheme,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for ConnectorByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_plain = request.uri().starts_with("http://");
        let client = if is_plain { &self.clients.http } else { &self.clients.https };
        client.http_connector(&self.settings, &self.components).call(request)
    }
}

/// Reads a file of certificates. Checked here, because the client would panic.
fn certificates(file: &Path) -> Result<Vec<u8>, StorageError> {
    let unusable = |why: String| StorageError::Invalid(format!("{}: {why}", file.display()));
    let pem = fs::read(file).map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it contains no certificate".to_owned()));
    }
    Ok(pem)
}
