//! The tenant: where its entries are, who may use them, and how long they stay.

use std::{io, sync::Arc, time::Duration};

use aws_lc_rs::rand::SystemRandom;
use larder_common::clock::Clock;
use larder_index::Index;
use larder_storage::Storage;

use super::{
    DAY_MS, HOUR_MS, MINUTE_MS, database::open_index, orphan_grace_ms, outgoing::Outgoing, path_of, some,
    storage::open_storage,
};
use crate::{
    auth::{Authenticator, TokenVerifier, UrlSigner},
    config::{DatabaseDriver, Settings},
    disk_pressure::DiskPressure,
    error::StartError,
    net::{Fetch, HttpFetch},
    retention::{DurabilityTracker, UsageTracker},
    sweep::{Schedule, Sweeps},
    tenant::{PolicySettings, Tenant},
};

/// How often last-used times are persisted.
const RECENCY_INTERVAL: Duration = Duration::from_secs(10);
/// The name under which the index keeps the key of signed URLs.
const URL_SECRET: &str = "url-signing-key";
const SECRET_BYTES: usize = 32;

/// The one tenant. `storage`, `index` and `authenticator` are the caller's, where it brings them.
pub(crate) async fn tenant(
    settings: &Settings,
    storage: Option<Arc<dyn Storage>>,
    index: Option<Arc<dyn Index>>,
    authenticator: Option<Arc<dyn Authenticator>>,
) -> Result<Tenant, StartError> {
    let outgoing = Outgoing::new(settings)?;
    if let Some(proxies) = outgoing.proxies.describe() {
        tracing::info!(%proxies, no = settings.proxy.no, "outgoing requests use a proxy");
    }
    let storage = match storage {
        Some(storage) => storage,
        None => open_storage(settings, &outgoing).await?,
    };
    let (index, pressure) = match index {
        Some(index) => (index, DiskPressure::new()),
        None => database(settings, &*storage).await?,
    };
    let fetch: Arc<dyn Fetch> = Arc::new(HttpFetch::new((*outgoing.tls).clone(), &outgoing.proxies));
    let durability = DurabilityTracker::new(DurabilityTracker::this_boot(), storage.is_durable_at_once());
    let policy_settings = policy_settings(settings);
    Ok(Tenant {
        tokens: Arc::new(match authenticator {
            Some(authenticator) => TokenVerifier::of_caller(authenticator),
            None => TokenVerifier::new(&settings.auth, &fetch)?,
        }),
        signer: Arc::new(signer(settings, &*index).await?),
        usage: Arc::new(UsageTracker::new(policy_settings.unused_entry_ms)),
        durability: Arc::new(durability),
        pressure: Arc::new(pressure),
        clock: Clock::system(),
        settings: policy_settings,
        upstream: outgoing.upstream(settings),
        storage,
        index,
    })
}

/// Opens the configured database, and what reports that its disk is full.
async fn database(
    settings: &Settings,
    storage: &dyn Storage,
) -> Result<(Arc<dyn Index>, DiskPressure), StartError> {
    let pressure = pressure(settings);
    let index = open_index(settings, &pressure).await?;
    if settings.database.driver != DatabaseDriver::Sqlite && !storage.is_durable_at_once() {
        tracing::warn!(
            "the storage is a local folder, so this must be the only Larder on this database; replicas need a shared storage"
        );
    }
    Ok((index, pressure))
}

/// A database on this machine gets a reserve of disk space.
fn pressure(settings: &Settings) -> DiskPressure {
    match settings.database.driver {
        DatabaseDriver::Sqlite => DiskPressure::beside(&path_of(settings.database.sqlite.path.as_ref())),
        DatabaseDriver::Postgres | DatabaseDriver::Mysql => DiskPressure::new(),
    }
}

/// The signer of URLs, with the configured key, or with one that is made on the first start and
/// stored in the database.
async fn signer(settings: &Settings, index: &dyn Index) -> Result<UrlSigner, StartError> {
    let fresh: [u8; SECRET_BYTES] = aws_lc_rs::rand::generate(&SystemRandom::new())
        .map_err(|_| StartError::Thread(io::Error::other("the system has no random numbers")))?
        .expose();
    let kept = index.secret(URL_SECRET, &fresh).await?;
    Ok(UrlSigner::from_config(&settings.urls, &kept)?)
}

fn policy_settings(settings: &Settings) -> PolicySettings {
    let retention = &settings.retention;
    PolicySettings {
        upload_url_ms: settings.urls.upload_url_ms,
        download_url_ms: settings.urls.download_url_ms,
        idle_upload_ms: retention.idle_upload_ms,
        // Without sweeps nothing expires.
        unused_entry_ms: some(retention.unused_days)
            .filter(|_| !retention.disable)
            .map(|days| days.saturating_mul(DAY_MS)),
        max_entry_bytes: some(retention.max_entry_bytes),
        parallel_download_origin: settings.urls.parallel_download_url.clone(),
        direct_url_ms: direct_url_ms(settings),
    }
}

/// How long clients may use a URL of the storage itself; `None` without direct downloads.
fn direct_url_ms(settings: &Settings) -> Option<u64> {
    let downloads = &settings.downloads;
    downloads.direct.then(|| downloads.direct_url_minutes.saturating_mul(MINUTE_MS))
}

/// When what is done.
pub(crate) fn schedule(settings: &Settings) -> Schedule {
    let retention = &settings.retention;
    Schedule {
        recency: RECENCY_INTERVAL,
        sweeps: (!retention.disable).then(|| Sweeps {
            uploads: Duration::from_millis(retention.sweep_interval_ms),
            everything: Duration::from_millis(retention.full_sweep_hours.saturating_mul(HOUR_MS)),
        }),
        orphan_grace_ms: orphan_grace_ms(settings),
    }
}
