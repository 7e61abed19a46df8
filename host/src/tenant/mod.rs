//! What is per tenant: where its entries are, who may use them, and the settings that its policy sees.
//!
//! Whatever one tenant has of its own is in [`Tenant`]; the listener, the worker threads, the engine
//! and the limits of the process are shared.

mod cpu;
mod guest_memory;
mod rules_failures;

use std::sync::Arc;

pub(crate) use cpu::{CpuBudget, begin_paid_turn, end_paid_turn, unpaid};
pub(crate) use guest_memory::{GuestMemory, MemoryShare};
pub(crate) use rules_failures::RulesFailures;

use larder_common::clock::Clock;
use larder_index::Index;
use larder_metrics::Metrics;
use larder_rules::Asker;
use larder_storage::Storage;

use crate::{
    auth::{TokenVerifier, UrlSigner},
    capacity::{Capacity, Refusals, Removals},
    config::KeepNewest,
    disk_pressure::DiskPressure,
    history::History,
    net::Upstream,
    retention::{DurabilityTracker, NewDigests, RepositoryNames, UsageTracker},
    trace::Tracer,
    webhook::Webhooks,
};

/// The part of the configuration that the component sees.
#[derive(Clone, Debug)]
pub(crate) struct PolicySettings {
    /// Lifetime of an upload URL, in milliseconds.
    pub upload_url_ms: u64,
    /// Lifetime of a download URL, in milliseconds.
    pub download_url_ms: u64,
    /// How long a reservation is held without a byte, in milliseconds.
    pub idle_upload_ms: u64,
    /// How long an entry may be unused, in milliseconds; `None`: for ever.
    pub unused_entry_ms: Option<u64>,
    /// How long an entry may go without its first use, in milliseconds; `None`: for ever.
    pub never_used_ms: Option<u64>,
    /// How old an entry may become, in milliseconds; `None`: as old as it gets.
    pub max_age_ms: Option<u64>,
    /// Of which entries only the newest stay.
    pub keep_newest: Vec<KeepNewest>,
    /// How long the key of a trusted entry that was revoked or evicted is barred from savers of low
    /// trust, in milliseconds; `None`: not at all.
    pub barred_ms: Option<u64>,
    /// Largest entry, in bytes; `None`: any.
    pub max_entry_bytes: Option<u64>,
    /// The origin of download URLs for `@actions/cache` in protocol version 2: scheme and
    /// authority.
    pub parallel_download_origin: Option<String>,
    /// Lifetime of direct download URLs, in milliseconds; `None`: there are none.
    pub direct_url_ms: Option<u64>,
}

/// A tenant. The guest's imports are implemented with it. Cloned, it shares everything.
#[derive(Clone)]
pub(crate) struct Tenant {
    /// The objects.
    pub storage: Arc<dyn Storage>,
    /// The entries and uploads.
    pub index: Arc<dyn Index>,
    /// Verifies tokens.
    pub tokens: Arc<TokenVerifier>,
    /// The operator's rules, those in force.
    pub rules: Asker,
    /// What holds where they fail.
    pub rules_failures: Arc<RulesFailures>,
    /// Signs URLs.
    pub signer: Arc<UrlSigner>,
    /// Last-used times that are not persisted yet.
    pub usage: Arc<UsageTracker>,
    /// Names of repositories that are not persisted yet.
    pub names: Arc<RepositoryNames>,
    /// Flushes new entries.
    pub durability: Arc<DurabilityTracker>,
    /// How much may be stored; `None`: any amount.
    pub capacity: Option<Arc<Capacity>>,
    /// Objects whose removal the index does not know yet.
    pub removals: Arc<Removals>,
    /// What is known of the bytes of objects that were just stored; `None` where nothing is recorded.
    pub digests: Option<Arc<NewDigests>>,
    /// What was refused, and the client not told.
    pub refusals: Arc<Refusals>,
    /// Reports a full disk.
    pub pressure: Arc<DiskPressure>,
    /// The time of day.
    pub clock: Clock,
    /// The part of the configuration that the component sees.
    pub settings: PolicySettings,
    /// How many deleted entries are remembered.
    pub departed_entries: usize,
    /// Where requests are forwarded that are not for the cache.
    pub upstream: Option<Upstream>,
    /// Verifies the platform's webhooks; `None` where there are none.
    pub webhooks: Option<Arc<Webhooks>>,
    /// What became of requests, for who wants to know.
    pub trace: Arc<Tracer>,
    /// Counts for all tenants of the server.
    pub metrics: Arc<Metrics>,
    /// Counts hour by hour, and keeps it.
    pub history: Arc<History>,
    /// What it shares with other tenants; `None` where it is the only one.
    pub shared: Option<SharedResources>,
}

/// What the guests of several tenants share.
#[derive(Clone)]
pub(crate) struct SharedResources {
    /// The tenant's own share of the CPU.
    pub cpu: Arc<CpuBudget>,
    /// The linear memory of all guests.
    pub memory: Arc<GuestMemory>,
}
