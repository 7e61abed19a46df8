//! What is only known at the moment: the server says it when a scrape asks.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::repositories::Repositories;

/// Says what is only known at the moment.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Returns it. What cannot be said in time is `None`.
    async fn snapshot(&self) -> Snapshot;
}

/// What rules in the shadow were asked since they, or those in force, were exchanged.
#[derive(Clone, Debug, Default)]
pub struct ShadowCounts {
    /// Questions that were asked.
    pub answered: u64,
    /// Questions that were not, because too many waited.
    pub dropped: u64,
    /// Decisions that differ, by kind: the interface, what held, and what the shadow would have it.
    pub differences: Vec<([String; 3], u64)>,
}

/// What the rules in force were asked of one interface, since they were put in force.
#[derive(Clone, Debug, Default)]
pub struct RulesCounts {
    /// The interface.
    pub interface: String,
    /// Questions that were answered.
    pub answered: u64,
    /// Questions that failed.
    pub failed: u64,
    /// Questions that were not asked, because the rules rested.
    pub rested: u64,
    /// Seconds in all that were asked.
    pub seconds: f64,
}

/// A policy, or rules, that are in force or in the shadow.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// What it is: `policy`, `rules` or `shadow`.
    pub of: &'static str,
    /// What its file was called.
    pub name: String,
    /// The SHA-256 of it.
    pub digest: String,
    /// Since when, in seconds since 1970.
    pub since_seconds: f64,
    /// What has become of versions that were to be put in force, in words, and how often.
    pub swaps: Vec<(&'static str, u64)>,
}

/// The connections to a database server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pool {
    /// Open ones.
    pub size: u64,
    /// Calls that wait for one.
    pub waiting: u64,
}

/// What a server knows at the moment. `None`: it does not know, or there is no such thing.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When the server started, in seconds since 1970.
    pub start_time_seconds: f64,
    /// Open connections, and most of them.
    pub connections: (usize, usize),
    /// Requests in flight, and most of them.
    pub requests_in_flight: (usize, usize),
    /// Connections that were closed for others since the start.
    pub evicted_connections: u64,
    /// Connections and requests that were refused since the start.
    pub refused: u64,
    /// Bytes that may be stored, as the database counts them.
    pub storage_bytes: Option<u64>,
    /// Most bytes that may be stored.
    pub storage_bytes_limit: Option<u64>,
    /// Free bytes of the disk.
    pub storage_free_bytes: Option<u64>,
    /// Entries.
    pub entries: Option<u64>,
    /// Bytes by repository: the tenant (`None`: `default`), its name or id, and its bytes. Most first.
    pub repositories: Vec<(Option<String>, String, u64)>,
    /// Seconds since the entry was used that goes next.
    pub longest_idle_seconds: Option<f64>,
    /// Uploads in progress.
    pub uploads: Option<u64>,
    /// Most linear memory of one instance of the policy.
    pub policy_memory_limit_bytes: u64,
    /// Bytes that are reserved for uploads, and not written yet.
    pub uploads_reserved_bytes: Option<u64>,
    /// The policy and the rules of the tenant `default`. No rules have an empty digest.
    pub in_force: Vec<InForce>,
    /// The connections to the database; `None` where it is no server.
    pub pool: Option<Pool>,
    /// What the rules in force were asked, by interface.
    pub rules: Vec<RulesCounts>,
    /// What rules in the shadow were asked; `None` without any.
    pub shadow: Option<ShadowCounts>,
    /// Key sets of issuers.
    pub keys: Vec<Keys>,
    /// Tenants besides `default`, and instances of their policies.
    pub tenants: Option<(u64, u64)>,
    /// When certificates of listeners end, in seconds since 1970: the tenant's name (`default`: the
    /// server's own) and the time. Those that end first, at most 100.
    pub certificates: Vec<(String, u64)>,
}

/// The key set of an issuer.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The issuer, as configured.
    pub issuer: String,
    /// Seconds since the keys were fetched; `None` if they never were.
    pub age_seconds: Option<f64>,
    /// Fetches that succeeded.
    pub fetched: u64,
    /// Fetches that failed.
    pub failed: u64,
}

/// The latest snapshot, with bounded labels.
#[derive(Debug)]
pub(crate) struct Latest {
    snapshot: Option<Snapshot>,
    /// Bytes by repository's label.
    repositories: Vec<(String, u64)>,
    falcon_names: bool,
}

impl Latest {
    pub(crate) fn new(falcon_names: bool) -> Self {
        Self { snapshot: None, repositories: Vec::new(), falcon_names }
    }

    pub(crate) fn set(&mut self, snapshot: Snapshot, known: &Repositories) {
        let mut by_label = std::collections::BTreeMap::new();
        for (tenant, name, bytes) in &snapshot.repositories {
            let label = known.of(tenant.as_deref(), name).label.as_str().to_owned();
            *by_label.entry(label).or_default() += bytes;
        }
        self.repositories = by_label.into_iter().collect();
        self.snapshot = Some(snapshot);
    }
}

/// Writes the latest snapshot.
#[derive(Debug)]
pub(crate) struct Names(pub(crate) Arc<Mutex<Latest>>);

impl Collector for Names {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let latest = self.0.lock();
        let Some(snapshot) = &latest.snapshot else { return Ok(()) };
        let mut writer = Writer { encoder };
        writer.server(snapshot)?;
        writer.stored(snapshot, &latest.repositories)?;
        writer.policy(snapshot)?;
        writer.in_force(&snapshot.in_force)?;
        writer.rules(&snapshot.rules)?;
        writer.shadow(snapshot.shadow.as_ref())?;
        writer.others(snapshot)?;
        if latest.falcon_names {
            let help = "Bytes stored, under the known server's name";
            writer.some("cache_storage_bytes", help, snapshot.storage_bytes)?;
        }
        Ok(())
    }
}

struct Writer<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Writer<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }

    fn some(&mut self, name: &str, help: &str, value: Option<u64>) -> Result<(), fmt::Error> {
        value.map_or(Ok(()), |value| self.gauge(name, help, value as f64))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
        let counter = ConstCounter::new(value);
        counter.encode(self.encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    /// Gauges of one label.
    fn family<'l>(
        &mut self,
        (name, label): (&str, &str),
        help: &str,
        values: impl Iterator<Item = (&'l str, f64)>,
    ) -> Result<(), fmt::Error> {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in values {
            ConstGauge::new(value).encode(family.encode_family(&[(label, of)])?)?;
        }
        Ok(())
    }

    fn server(&mut self, snapshot: &Snapshot) -> Result<(), fmt::Error> {
        let start = snapshot.start_time_seconds;
        self.gauge("larder_start_time_seconds", "Start of the server in seconds since 1970", start)?;
        let (connections, most) = snapshot.connections;
        self.gauge("larder_connections", "Open connections", connections as f64)?;
        self.gauge("larder_connections_limit", "Most connections at once", most as f64)?;
        let (requests, most) = snapshot.requests_in_flight;
        self.gauge("larder_http_requests_in_flight", "Requests in flight", requests as f64)?;
        self.gauge("larder_http_requests_in_flight_limit", "Most requests in flight", most as f64)?;
        let evicted = snapshot.evicted_connections;
        self.counter("larder_connections_evicted", "Connections that were closed for others", evicted)?;
        let refused = snapshot.refused;
        self.counter("larder_refused", "Connections and requests that were refused for want of room", refused)
    }

    fn stored(&mut self, snapshot: &Snapshot, repositories: &[(String, u64)]) -> Result<(), fmt::Error> {
        let help = "Bytes that may be stored, as the database counts them";
        self.some("larder_storage_bytes", help, snapshot.storage_bytes)?;
        let help = "Most bytes that may be stored";
        self.some("larder_storage_bytes_limit", help, snapshot.storage_bytes_limit)?;
        self.some("larder_storage_free_bytes", "Free bytes of the disk", snapshot.storage_free_bytes)?;
        self.some("larder_entries", "Entries", snapshot.entries)?;
        let bytes = repositories.iter().map(|(name, bytes)| (name.as_str(), *bytes as f64));
        let help = "Bytes of the repositories with the most";
        self.family(("larder_repository_storage_bytes", "repository"), help, bytes)?;
        if let Some(idle) = snapshot.longest_idle_seconds {
            let help = "Time since the entry was used that goes next: how far back the cache reaches";
            self.gauge("larder_longest_idle_seconds", help, idle)?;
        }
        self.some("larder_uploads_in_progress", "Uploads in progress", snapshot.uploads)?;
        let help = "Bytes that are reserved for uploads, and not written yet";
        self.some("larder_uploads_reserved_bytes", help, snapshot.uploads_reserved_bytes)?;
        let Some(pool) = snapshot.pool else { return Ok(()) };
        self.gauge("larder_database_pool_size", "Open connections to the database", pool.size as f64)?;
        let help = "Calls that wait for a connection to the database";
        self.gauge("larder_database_pool_waiting", help, pool.waiting as f64)
    }

    fn policy(&mut self, snapshot: &Snapshot) -> Result<(), fmt::Error> {
        let memory = snapshot.policy_memory_limit_bytes as f64;
        self.gauge("larder_policy_memory_limit_bytes", "Most linear memory of an instance", memory)
    }

    /// The policy and the rules. Their names are an operator's, and few.
    fn in_force(&mut self, all: &[InForce]) -> Result<(), fmt::Error> {
        let is_there = |of: &&InForce| !of.digest.is_empty();
        let policy = all.iter().filter(|of| of.of == "policy");
        if let Some(policy) = policy.clone().next() {
            let help = "Since when the policy that serves is in force, in seconds since 1970";
            self.gauge("larder_policy_active_since_timestamp_seconds", help, policy.since_seconds)?;
        }
        let rules = all.iter().filter(|of| of.of != "policy").filter(is_there);
        let families: [(_, _, Vec<&InForce>); 2] = [
            ("larder_policy_info", "The policy that serves, always 1", policy.collect()),
            ("larder_rules_info", "The rules in force and in the shadow, always 1", rules.collect()),
        ];
        for (name, help, list) in families {
            if list.is_empty() {
                continue;
            }
            let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for InForce { of, name, digest, .. } in list {
                let role = if *of == "shadow" { "shadow" } else { "active" };
                let labels = [("name", name.as_str()), ("digest", digest.as_str()), ("role", role)];
                ConstGauge::new(1.0).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Versions of the policy and the rules that were to be put in force while the server ran";
        let mut family =
            self.encoder.encode_descriptor("larder_policy_swaps", help, None, MetricType::Counter)?;
        for InForce { of, swaps, .. } in all {
            for (result, count) in swaps {
                ConstCounter::new(*count)
                    .encode(family.encode_family(&[("of", *of), ("result", *result)])?)?;
            }
        }
        Ok(())
    }

    fn rules(&mut self, all: &[RulesCounts]) -> Result<(), fmt::Error> {
        if all.is_empty() {
            return Ok(());
        }
        let help = "Questions to the rules in force";
        let mut family =
            self.encoder.encode_descriptor("larder_rules_questions", help, None, MetricType::Counter)?;
        for RulesCounts { interface, answered, failed, rested, .. } in all {
            for (result, count) in [("ok", answered), ("failed", failed), ("rested", rested)] {
                let labels = [("interface", interface.as_str()), ("result", result)];
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Time that the rules in force took to answer";
        let mut family =
            self.encoder.encode_descriptor("larder_rules_seconds", help, None, MetricType::Counter)?;
        for RulesCounts { interface, seconds, .. } in all {
            ConstCounter::new(*seconds)
                .encode(family.encode_family(&[("interface", interface.as_str())])?)?;
        }
        Ok(())
    }

    fn shadow(&mut self, shadow: Option<&ShadowCounts>) -> Result<(), fmt::Error> {
        let Some(shadow) = shadow else { return Ok(()) };
        let help = "Questions that were offered to the rules in the shadow";
        let mut family =
            self.encoder.encode_descriptor("larder_shadow_questions", help, None, MetricType::Counter)?;
        for (result, count) in [("answered", shadow.answered), ("dropped", shadow.dropped)] {
            ConstCounter::new(count).encode(family.encode_family(&[("result", result)])?)?;
        }
        let help = "Decisions of the rules in the shadow that are not those that held";
        let mut family =
            self.encoder.encode_descriptor("larder_shadow_differences", help, None, MetricType::Counter)?;
        for ([interface, active, shadow], count) in &shadow.differences {
            let labels =
                [("interface", interface.as_str()), ("active", active.as_str()), ("shadow", shadow.as_str())];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn others(&mut self, snapshot: &Snapshot) -> Result<(), fmt::Error> {
        let ends = snapshot.certificates.iter().map(|(tenant, end)| (tenant.as_str(), *end as f64));
        let help = "End of the certificate that is served, in seconds since 1970";
        self.family(("larder_tls_certificate_not_after_timestamp_seconds", "tenant"), help, ends)?;
        let ages = snapshot.keys.iter().filter_map(|keys| Some((keys.issuer.as_str(), keys.age_seconds?)));
        let help = "Age of the signing keys of an issuer";
        self.family(("larder_auth_keys_age_seconds", "issuer"), help, ages)?;
        if !snapshot.keys.is_empty() {
            let sum = |of: fn(&Keys) -> u64| snapshot.keys.iter().map(of).sum::<u64>();
            let results = [("ok", sum(|keys| keys.fetched)), ("error", sum(|keys| keys.failed))];
            let help = "Fetches of the signing keys of issuers";
            let mut family = self.encoder.encode_descriptor(
                "larder_auth_keys_refresh",
                help,
                None,
                MetricType::Counter,
            )?;
            for (result, count) in results {
                ConstCounter::new(count).encode(family.encode_family(&[("result", result)])?)?;
            }
        }
        if let Some((tenants, instances)) = snapshot.tenants {
            self.gauge("larder_tenants", "Tenants besides the default one", tenants as f64)?;
            let help = "Instances of the policies of these tenants";
            self.gauge("larder_tenant_policy_instances", help, instances as f64)?;
        }
        Ok(())
    }
}
