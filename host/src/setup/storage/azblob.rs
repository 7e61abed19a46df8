//! Azure Blob Storage by configuration.

use std::{sync::Arc, time::Duration};

use larder_storage::bucket::{
    Bucket,
    azblob::{AzblobAccount, AzblobBucket, AzblobSettings},
};

use super::given;
use crate::{
    config::{Azblob, Settings},
    error::StartError,
    setup::{exposed, outgoing::Outgoing},
};

pub(super) fn connect(settings: &Settings, outgoing: &Outgoing) -> Result<Arc<dyn Bucket>, StartError> {
    Ok(Arc::new(AzblobBucket::connect(azblob_settings(&settings.storage.azblob, settings, outgoing))?))
}

fn azblob_settings(azblob: &Azblob, settings: &Settings, outgoing: &Outgoing) -> AzblobSettings {
    let account = match exposed(azblob.connection_string.as_ref()) {
        Some(text) => AzblobAccount::ConnectionString(text),
        None => AzblobAccount::Identity {
            account: given(azblob.account.as_ref()),
            endpoint: azblob.endpoint.clone(),
        },
    };
    AzblobSettings {
        container: given(azblob.container.as_ref()),
        prefix: settings.storage.prefix.clone(),
        account,
        timeout: Duration::from_millis(azblob.timeout_ms),
        tls: (*outgoing.tls).clone(),
        proxies: outgoing.proxies.clone(),
    }
}
