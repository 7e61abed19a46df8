//! What the unit tests of several modules share.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{path::Path, sync::Arc};

pub(crate) use larder_testing::{SmallDisk, proxy, run_with_descriptors};

use larder_common::clock::Clock;
use larder_index::{KeyRule, sqlite::SqliteIndex};
use larder_storage::fs::{FsStorage, budget::Budget};

use crate::{
    auth::{TokenVerifier, UrlSigner},
    config::{Config, HistoryConfig},
    disk_pressure::DiskPressure,
    history::History,
    net::{Fetch, HttpFetch, Proxies, client_config},
    retention::{DurabilityTracker, UsageTracker},
    tenant::{PolicySettings, Tenant},
};

const MINUTE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// Some time long after 1970 and long before the test runs: objects on disk are always younger.
pub(crate) const NOW_MS: u64 = 1_000_000_000_000;

/// A tenant with storage and index in a folder, at [`NOW_MS`].
pub(crate) fn tenant(folder: &Path) -> Arc<Tenant> {
    let fetch: Arc<dyn Fetch> = Arc::new(HttpFetch::new(client_config(None).unwrap(), &Proxies::default()));
    let config = Config::load(None, std::iter::empty()).unwrap();
    let tenant = Tenant {
        storage: Arc::new(FsStorage::open(folder.join("storage"), Budget::new(1 << 20)).unwrap()),
        index: Arc::new(SqliteIndex::open(&folder.join("larder.db"), KeyRule::AnyCase).unwrap()),
        tokens: Arc::new(TokenVerifier::new(&config.settings.auth, &fetch).unwrap()),
        rules: larder_rules::Asker::default(),
        signer: Arc::new(UrlSigner::new(&[1; 32], None).unwrap()),
        usage: Arc::new(UsageTracker::default()),
        names: Arc::default(),
        durability: Arc::new(DurabilityTracker::new("this boot".into(), false)),
        capacity: None,
        removals: Arc::default(),
        digests: Some(Arc::default()),
        refusals: Arc::default(),
        pressure: Arc::new(DiskPressure::new()),
        clock: Clock::manual(NOW_MS).0,
        settings: PolicySettings {
            upload_url_ms: DAY_MS,
            download_url_ms: DAY_MS,
            idle_upload_ms: 5 * MINUTE_MS,
            unused_entry_ms: Some(90 * DAY_MS),
            never_used_ms: None,
            max_age_ms: None,
            keep_newest: Vec::new(),
            barred_ms: None,
            max_entry_bytes: None,
            parallel_download_origin: None,
            direct_url_ms: None,
        },
        departed_entries: 100,
        upstream: None,
        webhooks: None,
        trace: Arc::default(),
        metrics: larder_metrics::Metrics::disabled(),
        history: Arc::new(History::new(&HistoryConfig::default(), 200, Clock::manual(NOW_MS).0)),
        shared: None,
    };
    Arc::new(tenant)
}
