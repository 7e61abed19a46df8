//! Makes the client: credentials, retries, timeouts.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{
    Client,
    config::{
        Builder, Credentials, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};

use super::{http_client::http_client, settings::S3Settings};
use crate::StorageError;

/// Longest delay between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Region for services other than Amazon's, which mostly ignore it.
const DEFAULT_REGION: &str = "us-east-1";

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
