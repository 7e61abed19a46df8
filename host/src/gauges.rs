//! What a scrape asks the server for: what is only known at the moment.
//!
//! The database is asked for sums that it keeps anyway, and for one row by an index: the cost does not
//! depend on how many entries there are. What fails, or the database cannot say, is left out.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use larder_common::clock::Clock;
use larder_index::{Area, UploadId, Within};
use larder_metrics::{InForce, Keys, Pool, RulesCounts, ShadowCounts, Snapshot, Source};
use larder_rules::{Difference, InterfaceStatus, ShadowStatus};
use parking_lot::Mutex;

use crate::{
    config::Settings,
    exchange::{self, ExchangeHandle},
    larder::{Exchanges, served_certificates},
    registry::SiteTls,
    server::{ConnectionGauge, ServedTenants, Tenancy},
    tenant::Tenant,
    versions::Version,
};

/// Most certificates whose end is told.
const MAX_CERTIFICATES: usize = 100;
/// Most uploads that are counted; more are as many as that.
const MAX_UPLOADS: usize = 10_000;
/// Most names of repositories that are remembered.
const MAX_NAMES: usize = 1_000;
/// How long the number of entries is kept: counting reads an index of all of them.
const ENTRIES_LAST: Duration = Duration::from_secs(60);
/// After so many scrapes they are asked for again: repositories are renamed.
const NAMES_LAST: u32 = 256;

/// Says what is only known at the moment.
pub(crate) struct Gauges {
    tenant: Arc<Tenant>,
    tenancy: Option<Tenancy>,
    tls: Option<SiteTls>,
    connections: ConnectionGauge,
    started_ms: u64,
    exchanges: Exchanges,
    policy_memory_bytes: u64,
    max_bytes: u64,
    repositories: usize,
    names: Mutex<Names>,
    /// How many entries there were, and when.
    entries: Mutex<Option<(Instant, u64)>>,
}

/// The names of repositories, by id.
#[derive(Default)]
struct Names {
    known: HashMap<String, String>,
    scrapes: u32,
}

impl Gauges {
    /// For a server that starts now.
    pub(crate) fn new(
        settings: &Settings,
        served: &ServedTenants,
        tls: Option<SiteTls>,
        connections: ConnectionGauge,
        exchanges: Exchanges,
    ) -> Self {
        let ServedTenants { tenant, tenancy, .. } = served;
        Self {
            tenant: tenant.clone(),
            tenancy: tenancy.clone(),
            tls,
            connections,
            started_ms: Clock::system().now_ms(),
            exchanges,
            policy_memory_bytes: settings.policy.memory_bytes,
            max_bytes: settings.capacity.max_bytes,
            repositories: settings.metrics.repositories,
            names: Mutex::default(),
            entries: Mutex::default(),
        }
    }

    /// Returns how long ago the entry was used that goes next, in seconds.
    async fn longest_idle(&self) -> Option<f64> {
        let first = self.tenant.index.least_recent(&Within::Tenant, None, None, 1).await.ok()?;
        let now_ms = self.tenant.clock.now_ms();
        first.first().map(|entry| seconds(now_ms.saturating_sub(entry.last_used_ms)))
    }

    async fn usage_by_repository(&self) -> Vec<(Option<String>, String, u64)> {
        let listed = self.tenant.index.list_usage(&Area::Tenant, self.repositories).await;
        let mut named = Vec::new();
        self.forget_names();
        for (area, bytes) in listed.unwrap_or_default() {
            if let Area::Repository(id) = area {
                named.push((None, self.name_of(id).await, bytes));
            }
        }
        named
    }

    /// Returns the certificates that end first.
    fn certificates(&self) -> Vec<(String, u64)> {
        let registry = self.tenancy.as_ref().map(|tenancy| &*tenancy.registry);
        let served = served_certificates(self.tls.as_ref(), registry).into_iter();
        let mut ends: Vec<_> = served
            .filter_map(|certificate| {
                let tenant = certificate.tenant.unwrap_or_default();
                Some((tenant.to_string(), certificate.not_after_s?))
            })
            .collect();
        ends.sort_by_key(|(_, end)| *end);
        ends.truncate(MAX_CERTIFICATES);
        ends
    }

    fn forget_names(&self) {
        let mut names = self.names.lock();
        names.scrapes += 1;
        if names.scrapes >= NAMES_LAST || names.known.len() > MAX_NAMES {
            *names = Names::default();
        }
    }

    /// Returns the name of a repository, or its id where the name is not known.
    async fn name_of(&self, id: String) -> String {
        if let Some(name) = self.tenant.names.get(&id) {
            return name;
        }
        if let Some(known) = self.names.lock().known.get(&id) {
            return known.clone();
        }
        let Ok(Some(name)) = self.tenant.index.repository_name(&id).await else { return id };
        self.names.lock().known.insert(id, name.clone());
        name
    }

    /// Returns how many entries the tenant `default` has, or had a minute ago.
    async fn count_entries(&self) -> Option<u64> {
        let known = *self.entries.lock();
        if let Some((at, count)) = known
            && at.elapsed() < ENTRIES_LAST
        {
            return Some(count);
        }
        let count = self.tenant.index.count_entries(&Within::Tenant).await.ok()?;
        *self.entries.lock() = Some((Instant::now(), count));
        Some(count)
    }

    async fn uploads(&self) -> Option<u64> {
        let uploads = self.tenant.index.list_uploads(UploadId(0), MAX_UPLOADS).await.ok()?;
        Some(uploads.len() as u64)
    }

    /// Returns the most bytes that may be stored: what is configured, if anything is.
    fn limit(&self) -> Option<u64> {
        Some(self.max_bytes).filter(|bytes| *bytes > 0)
    }

    fn reserved_bytes(&self) -> Option<u64> {
        self.tenant.capacity.as_ref().map(|capacity| capacity.shared.leases.unwritten())
    }

    fn pool(&self) -> Option<Pool> {
        let connections = self.tenant.index.connections()?;
        Some(Pool { size: connections.open as u64, waiting: connections.waiting as u64 })
    }

    fn in_force(&self) -> Vec<InForce> {
        let Exchanges { policy, rules, shadow } = &self.exchanges;
        vec![in_force("policy", policy), in_force("rules", rules), in_force("shadow", shadow)]
    }

    fn rules(&self) -> Vec<RulesCounts> {
        let status = self.tenant.rules.status();
        status.into_iter().flat_map(|status| status.interfaces).map(|status| rules_counts(&status)).collect()
    }

    fn keys(&self) -> Vec<Keys> {
        let status = self.tenant.tokens.key_status(self.tenant.clock.now_ms());
        let keys = |status: crate::auth::KeyStatus| Keys {
            issuer: status.issuer,
            age_seconds: status.age_ms.map(seconds),
            fetched: status.fetches.0,
            failed: status.fetches.1,
        };
        status.into_iter().map(keys).collect()
    }

    fn tenants(&self) -> Option<(u64, u64)> {
        let tenancy = self.tenancy.as_ref()?;
        Some((tenancy.registry.all().len() as u64, tenancy.pool.taken() as u64))
    }
}

/// Says what is in force. No rules have no digest.
fn in_force(of: &'static str, exchange: &ExchangeHandle) -> InForce {
    let now = exchange.in_force();
    let swaps = exchange.counts().to_vec();
    let Version { digest, name } = now.version;
    let digest = if exchange::is_no_rules(&digest) { String::new() } else { digest };
    InForce { of, name, digest, since_seconds: seconds(now.since_ms), swaps }
}

fn rules_counts(status: &InterfaceStatus) -> RulesCounts {
    RulesCounts {
        interface: status.interface.to_string(),
        answered: status.asked.saturating_sub(status.failed),
        failed: status.failed,
        rested: status.rested,
        seconds: status.took_us as f64 / 1e6,
    }
}

/// Kinds are few: the words of the world of rules.
fn shadow_counts(status: ShadowStatus) -> ShadowCounts {
    let kind = |difference: Difference| {
        ([difference.interface.to_string(), difference.active, difference.shadow], difference.count)
    };
    ShadowCounts {
        answered: status.answered,
        dropped: status.dropped,
        differences: status.differences.into_iter().map(kind).collect(),
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[async_trait]
impl Source for Gauges {
    async fn snapshot(&self) -> Snapshot {
        let usage = self.connections.usage();
        let disk = self.tenant.storage.disk_usage().await.ok().flatten();
        Snapshot {
            start_time_seconds: seconds(self.started_ms),
            connections: (usage.connections, usage.max_connections),
            requests_in_flight: (usage.requests, usage.max_requests),
            evicted_connections: usage.evicted as u64,
            refused: usage.refused as u64,
            storage_bytes: self.tenant.index.usage_of(&Area::Server).await.ok(),
            storage_bytes_limit: self.limit(),
            storage_free_bytes: disk.map(|disk| disk.free_bytes),
            entries: self.count_entries().await,
            repositories: self.usage_by_repository().await,
            longest_idle_seconds: self.longest_idle().await,
            uploads: self.uploads().await,
            policy_memory_limit_bytes: self.policy_memory_bytes,
            uploads_reserved_bytes: self.reserved_bytes(),
            in_force: self.in_force(),
            pool: self.pool(),
            rules: self.rules(),
            shadow: self.tenant.rules.shadow_status().map(shadow_counts),
            keys: self.keys(),
            tenants: self.tenants(),
            certificates: self.certificates(),
        }
    }
}
