//! Makes the client: TLS, credentials, retries, timeouts.

use std::{fs, path::Path, time::Duration};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{
    Client,
    config::{
        Builder, Credentials, RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents,
        SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::{
    Builder as HttpBuilder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::settings::S3Settings;
use crate::StorageError;

const CONTEXT: &str = "setting up the client of the bucket";

/// Longest delay between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Region for services other than Amazon's, which mostly ignore it.
const DEFAULT_REGION: &str = "us-east-1";

/// Idle timeout of pooled connections; servers tend to close them after this.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Returns a client with short timeouts, for requests without large bodies.
pub(super) fn metadata_client(client: &Client, settings: &S3Settings) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout.min(settings.idle_timeout))
        .read_timeout(settings.idle_timeout)
        .operation_attempt_timeout(settings.idle_timeout)
        .operation_timeout(2 * settings.idle_timeout)
        .build();
    Client::from_conf(client.config().to_builder().timeout_config(timeouts).build())
}

/// Returns the same client, with the same credentials, over connections of its own.
pub(super) fn over_own_connections(client: &Client, settings: &S3Settings) -> Result<Client, StorageError> {
    let config = client.config().to_builder().http_client(http_client(settings)?);
    Ok(Client::from_conf(config.build()))
}

/// Configuration of a request that a `StallDetector` watches and that cannot be repeated.
pub(super) fn no_timeouts() -> Builder {
    Builder::new().timeout_config(TimeoutConfig::disabled()).retry_config(RetryConfig::disabled())
}

/// Returns a client whose timeouts allow a part to be sent.
pub(super) async fn client(settings: &S3Settings) -> Result<Client, StorageError> {
    let http = http_client(settings)?;
    let retry =
        RetryConfig::standard().with_max_attempts(settings.attempts.max(1)).with_max_backoff(MAX_PAUSE);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .operation_attempt_timeout(settings.attempt_timeout)
        .operation_timeout(settings.attempt_timeout)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    match (&settings.access_key_id, &settings.secret_access_key) {
        (Some(id), Some(secret)) => {
            loader = loader.credentials_provider(Credentials::new(
                id,
                secret,
                settings.session_token.clone(),
                None,
                "configuration",
            ));
        }
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => {
            return Err(StorageError::Invalid("an access key needs both its id and its secret".to_owned()));
        }
    }
    let shared = loader.load().await;
    let mut config = Builder::from(&shared)
        .retry_config(retry)
        .timeout_config(timeouts)
        // `body` has the timeout of responses; this protection would also fail slow clients.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Other services do not support the newer checksums.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .force_path_style(settings.path_style);
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    if shared.region().is_none() {
        if settings.endpoint.is_none() {
            return Err(StorageError::Invalid("no region is configured for the bucket".to_owned()));
        }
        config = config.region(Region::new(DEFAULT_REGION));
    }
    Ok(Client::from_conf(config.build()))
}

fn http_client(settings: &S3Settings) -> Result<SharedHttpClient, StorageError> {
    let mut roots = TrustStore::empty().with_native_roots(true);
    if let Some(file) = &settings.ca_file {
        roots = roots.with_pem_certificate(certificates(file)?);
    }
    let tls = TlsContext::builder().with_trust_store(roots).build();
    let tls = tls.map_err(|error| StorageError::unavailable(CONTEXT, error))?;
    let proxy = proxy(settings)?;
    // The client's own builder takes no proxy, but its connector's does.
    Ok(HttpBuilder::new().pool_idle_timeout(POOL_IDLE).build_with_connector_fn(
        move |settings, components| {
            let mut builder = Connector::builder()
                .pool_idle_timeout(POOL_IDLE)
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(tls.clone())
                .proxy_config(proxy.clone());
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            builder.build()
        },
    ))
}

/// The proxy for the bucket's endpoint. The SDK takes one proxy for one scheme, and uses it for
/// credentials, too.
fn proxy(settings: &S3Settings) -> Result<ProxyConfig, StorageError> {
    let is_plain = settings.endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let scheme = if is_plain { "http" } else { "https" };
    let Some(url) = settings.proxies.of_scheme(scheme) else { return Ok(ProxyConfig::disabled()) };
    let (make, url) = (if is_plain { ProxyConfig::http } else { ProxyConfig::https }, url.to_owned());
    // The error's text would show the URL, which may contain a password.
    let config = make(url).map_err(|_| StorageError::Invalid("the proxy's URL cannot be used".to_owned()))?;
    Ok(config.no_proxy(settings.proxies.direct_hosts()))
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
