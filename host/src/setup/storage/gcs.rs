//! Google Cloud Storage by configuration.

use std::{sync::Arc, time::Duration};

use larder_storage::bucket::{
    Bucket,
    gcs::{GcsBucket, GcsSettings},
};

use super::given;
use crate::{
    config::{Gcs, Settings},
    error::StartError,
    setup::{exposed, outgoing::Outgoing},
};

pub(super) async fn connect(settings: &Settings, outgoing: &Outgoing) -> Result<Arc<dyn Bucket>, StartError> {
    Ok(Arc::new(GcsBucket::connect(gcs_settings(&settings.storage.gcs, settings, outgoing)).await?))
}

fn gcs_settings(gcs: &Gcs, settings: &Settings, outgoing: &Outgoing) -> GcsSettings {
    GcsSettings {
        bucket: given(gcs.bucket.as_ref()),
        prefix: settings.storage.prefix.clone(),
        service_account_key: exposed(gcs.service_account_key.as_ref()),
        endpoint: gcs.endpoint.clone(),
        timeout: Duration::from_millis(gcs.timeout_ms),
        tls: (*outgoing.tls).clone(),
        proxies: outgoing.proxies.clone(),
    }
}
