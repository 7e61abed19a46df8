//! Opens the storage that is configured.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{StartError, path_of, proxies, some};
use crate::{
    causes::chain,
    config::{Azblob, Filesystem, Gcs, S3, Secret, Settings, StorageDriver},
    net::client_config,
    services::Services,
    storage::{
        Storage, StorageError,
        azblob::{AzblobAccount, AzblobBucket, AzblobSettings},
        bucket::Bucket,
        budget::Budget,
        fs::{FsSettings, FsStorage},
        gcs::{GcsBucket, GcsSettings},
        objects::{ObjectSettings, ObjectStorage},
        s3::{self, S3Settings},
    },
    sweep::Ownership,
};

/// What an S3 request may take beyond the time for which the server may be silent: there the time in which a part is sent counts
/// as silence.
const S3_SENDING: Duration = Duration::from_secs(50);

/// Opens the storage that is configured, and makes sure that it can be used: a bucket that is missing, or may not be written
/// to, shows here and not at the first save.
pub(super) async fn open_storage(settings: &Settings) -> Result<Arc<dyn Storage>, StartError> {
    let storage = &settings.storage;
    let bucket: Arc<dyn Bucket> = match storage.driver {
        StorageDriver::Filesystem => {
            let budget = Budget::new(storage.buffer_bytes);
            let root = path_of(storage.filesystem.path.as_ref());
            return Ok(Arc::new(open_folder(root, budget, &storage.filesystem)?));
        }
        StorageDriver::S3 => s3::connect(&s3_settings(&storage.s3, settings)).await?,
        StorageDriver::Gcs => Arc::new(GcsBucket::connect(gcs_settings(&storage.gcs, settings)?).await?),
        StorageDriver::Azblob => {
            Arc::new(AzblobBucket::connect(azblob_settings(&storage.azblob, settings)?)?)
        }
    };
    let objects = ObjectStorage::open(bucket, &ObjectSettings::new(storage.buffer_bytes))?;
    objects.check().await?;
    Ok(Arc::new(objects))
}

fn open_folder(root: PathBuf, budget: Arc<Budget>, filesystem: &Filesystem) -> Result<FsStorage, StartError> {
    let settings = FsSettings { reserve_bytes: some(filesystem.reserve_bytes), ..FsSettings::default() };
    FsStorage::open_with(root.clone(), budget, &settings).map_err(|error| match error {
        StorageError::NoSpace => StartError::Full { path: root },
        error => error.into(),
    })
}

/// Makes sure that the objects in the storage are those of the index, or makes them its own where the operator says so. Where they
/// are not, or it cannot be found out, the server serves, and removes nothing that it does not know.
pub(super) async fn claim_storage(services: &Services, adopt: bool, orphan_grace_ms: u64) {
    let (storage, index) = (&*services.storage, &*services.index);
    let claimed = if adopt {
        Ownership::adopt(storage, index).await
    } else {
        let old_before_ms = services.clock.now_ms().saturating_sub(orphan_grace_ms);
        Ownership::find_out(storage, index, old_before_ms).await.map(drop)
    };
    if let Err(error) = claimed {
        tracing::warn!(error = %chain(&error), "it is not known yet whether the objects in the storage are this database's");
    }
}

/// A text that `config` makes sure of.
fn given(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}

fn exposed(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned())
}

fn s3_settings(s3: &S3, settings: &Settings) -> S3Settings {
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
        proxies: proxies(settings),
        silence,
        read_timeout,
        attempt_timeout: 2 * read_timeout,
        ..S3Settings::new(given(s3.bucket.as_ref()))
    }
}

fn gcs_settings(gcs: &Gcs, settings: &Settings) -> Result<GcsSettings, StartError> {
    Ok(GcsSettings {
        bucket: given(gcs.bucket.as_ref()),
        prefix: settings.storage.prefix.clone(),
        service_account_key: exposed(gcs.service_account_key.as_ref()),
        endpoint: gcs.endpoint.clone(),
        timeout: Duration::from_millis(gcs.timeout_ms),
        tls: client_config(settings.tls.ca_file.as_deref())?,
        proxies: proxies(settings),
    })
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
