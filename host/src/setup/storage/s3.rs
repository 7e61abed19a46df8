//! S3 by configuration.

use std::{sync::Arc, time::Duration};

use larder_storage::bucket::{
    Bucket,
    s3::{self, S3Settings},
};

use super::given;
use crate::{
    config::{S3, Settings},
    error::StartError,
    setup::{exposed, outgoing::Outgoing},
};

/// What an S3 request may take beyond the time for which the server may be silent: there the time
/// in which a part is sent counts as silence.
const S3_SENDING: Duration = Duration::from_secs(50);

pub(super) async fn connect(settings: &Settings, outgoing: &Outgoing) -> Result<Arc<dyn Bucket>, StartError> {
    Ok(s3::connect(&s3_settings(&settings.storage.s3, settings, outgoing)).await?)
}

fn s3_settings(s3: &S3, settings: &Settings, outgoing: &Outgoing) -> S3Settings {
    let prefix = &settings.storage.prefix;
    let silence = Duration::from_millis(s3.timeout_ms);
    let read_timeout = silence + S3_SENDING;
    S3Settings {
        prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        path_style: s3.is_path_style(),
        access_key_id: s3.access_key_id.clone(),
        secret_access_key: exposed(s3.secret_access_key.as_ref()),
        session_token: exposed(s3.session_token.as_ref()),
        ca_file: settings.tls.ca_file.clone(),
        proxies: outgoing.proxies.clone(),
        idle_timeout: silence,
        read_timeout,
        attempt_timeout: 2 * read_timeout,
        ..S3Settings::new(given(s3.bucket.as_ref()))
    }
}
