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
    net::client_config,
    setup::{exposed, outgoing::proxies},
};

pub(super) fn connect(settings: &Settings) -> Result<Arc<dyn Bucket>, StartError> {
    Ok(Arc::new(AzblobBucket::connect(azblob_settings(&settings.storage.azblob, settings)?)?))
}

fn azblob_settings(azblob: &Azblob, settings: &Settings) -> Result<AzblobSettings, StartError> {
    let account = match exposed(azblob.connection_string.as_ref()) {
        Some(text) => AzblobAccount::ConnectionString(text),
        None => AzblobAccount::Identity {
            account: given(azblob.account.as_ref()),
            endpoint: azblob.endpoint.clone(),
        },
    };
    Ok(AzblobSettings {
        container: given(azblob.container.as_ref()),
        prefix: settings.storage.prefix.clone(),
        account,
        timeout: Duration::from_millis(azblob.timeout_ms),
        tls: client_config(settings.tls.ca_file.as_deref())?,
        proxies: proxies(settings),
    })
}
