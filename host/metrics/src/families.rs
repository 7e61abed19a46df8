//! All families of metrics that are counted as things happen. Names, types and labels are here.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use crate::{
    Metrics,
    calls::CallFamilies,
    labels::{
        ByAuthFailure, ByCall, ByCode, ByDenied, ByFault, ByFit, ByLookup, ByMiss, ByReason, ByReservation,
        ByRoute, ByStage, ByTool, ByUpload, BytesLabels, DurationLabels, LookupLabels, PolicyFault,
        PolicyLabels, PolicyResult, RequestLabels, Success, SweepLabels, SweepStage, UploadResult,
    },
    otlp::OtlpFamilies,
    scrub::ScrubFamilies,
};

/// What is said about the program.
#[derive(Clone, Debug, Default)]
pub struct BuildInfo {
    /// Its version.
    pub version: &'static str,
    /// The commit that it was built of; `unknown` where the build did not say.
    pub revision: &'static str,
    /// The newest version of the world that its policies may be of.
    pub wit: String,
    /// The driver of the storage.
    pub storage: &'static str,
    /// The driver of the database.
    pub database: &'static str,
}

type Seconds<S> = Family<S, Histogram, fn() -> Histogram>;

pub(crate) struct Families {
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) request_duration: Seconds<DurationLabels>,
    pub(crate) first_byte: Seconds<ByRoute>,
    pub(crate) longest_stall: Seconds<ByRoute>,
    pub(crate) lookups: Family<LookupLabels, Counter>,
    pub(crate) misses: Family<ByMiss, Counter>,
    pub(crate) ghost_hits: Family<ByFit, Counter>,
    pub(crate) ghost_hit_bytes: Family<ByFit, Counter>,
    pub(crate) reservations: Family<ByReservation, Counter>,
    pub(crate) uploads: Family<ByUpload, Counter>,
    pub(crate) received_bytes: Family<BytesLabels, Counter>,
    pub(crate) sent_bytes: Family<BytesLabels, Counter>,
    pub(crate) write_denied: Family<ByDenied, Counter>,
    pub(crate) auth_failures: Family<ByAuthFailure, Counter>,
    pub(crate) forwarded: Family<ByCode, Counter>,
    pub(crate) forwarded_duration: Histogram,
    pub(crate) entry_size: Family<ByTool, Histogram, fn() -> Histogram>,
    pub(crate) removed_entries: Family<ByReason, Counter>,
    pub(crate) removed_bytes: Family<ByReason, Counter>,
    pub(crate) evicted_bytes: Counter,
    pub(crate) swept_bytes: Counter,
    pub(crate) orphans: Counter,
    pub(crate) sweeps: Family<SweepLabels, Counter>,
    pub(crate) sweep_duration: Seconds<ByStage>,
    pub(crate) last_sweep: Family<ByStage, Gauge>,
    pub(crate) scrub: ScrubFamilies,
    pub(crate) otlp: OtlpFamilies,
    pub(crate) policy_calls: Family<PolicyLabels, Counter>,
    pub(crate) policy_call_duration: Seconds<ByCall>,
    pub(crate) policy_faults: Family<ByFault, Counter>,
    pub(crate) policy_interruptions: Counter,
    pub(crate) policy_instances: Gauge,
    pub(crate) policy_memory: Gauge,
    pub(crate) storage_calls: CallFamilies,
    pub(crate) database_calls: CallFamilies,
    pub(crate) falcon: Option<FalconNames>,
}

/// What the known server counts, under its names.
pub(crate) struct FalconNames {
    pub(crate) requests: Family<ByLookup, Counter>,
    pub(crate) uploads: Counter,
}

/// From a look-up in memory to an upload of minutes.
fn seconds() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
        300.0,
    ])
}

/// Calls of drivers and of the policy: from microseconds on.
pub(crate) fn short_seconds() -> Histogram {
    Histogram::new([
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
        30.0,
    ])
}

/// Sweeps: up to hours.
fn long_seconds() -> Histogram {
    Histogram::new([0.01, 0.1, 1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0])
}

/// 1 KiB to 16 GiB.
fn sizes() -> Histogram {
    Histogram::new((0..13).map(|power| 1024.0 * 4_f64.powi(power)))
}

impl Families {
    pub(crate) fn register(registry: &mut Registry, falcon_names: bool, build: &BuildInfo) -> Self {
        let seconds: fn() -> Histogram = seconds;
        let families = Self {
            requests: Family::default(),
            request_duration: Family::new_with_constructor(seconds),
            first_byte: Family::new_with_constructor(seconds),
            longest_stall: Family::new_with_constructor(seconds),
            lookups: Family::default(),
            misses: Family::default(),
            ghost_hits: Family::default(),
            ghost_hit_bytes: Family::default(),
            reservations: Family::default(),
            uploads: Family::default(),
            received_bytes: Family::default(),
            sent_bytes: Family::default(),
            write_denied: Family::default(),
            auth_failures: Family::default(),
            forwarded: Family::default(),
            forwarded_duration: seconds(),
            entry_size: Family::new_with_constructor(sizes as fn() -> Histogram),
            removed_entries: Family::default(),
            removed_bytes: Family::default(),
            evicted_bytes: Counter::default(),
            swept_bytes: Counter::default(),
            orphans: Counter::default(),
            sweeps: Family::default(),
            sweep_duration: Family::new_with_constructor(long_seconds as fn() -> Histogram),
            last_sweep: Family::default(),
            scrub: ScrubFamilies::default(),
            otlp: OtlpFamilies::default(),
            policy_calls: Family::default(),
            policy_call_duration: Family::new_with_constructor(short_seconds as fn() -> Histogram),
            policy_faults: Family::default(),
            policy_interruptions: Counter::default(),
            policy_instances: Gauge::default(),
            policy_memory: Gauge::default(),
            storage_calls: CallFamilies::default(),
            database_calls: CallFamilies::default(),
            falcon: falcon_names
                .then(|| FalconNames { requests: Family::default(), uploads: Counter::default() }),
        };
        families.register_build(registry, build);
        families.register_requests(registry);
        families.register_sweeps(registry);
        families.scrub.register(registry);
        families.otlp.register(registry);
        families.register_calls(registry);
        families
    }

    fn register_build(&self, registry: &mut Registry, build: &BuildInfo) {
        let info = Info::new([
            ("version", build.version.to_owned()),
            ("revision", build.revision.to_owned()),
            ("wit", build.wit.clone()),
            ("storage", build.storage.to_owned()),
            ("database", build.database.to_owned()),
        ]);
        registry.register("larder_build", "The program, always 1", info);
        if let Some(falcon) = &self.falcon {
            registry.register(
                "cache_requests",
                "Look-ups, under the known server's name",
                falcon.requests.clone(),
            );
            registry.register(
                "cache_uploads",
                "Entries saved, under the known server's name",
                falcon.uploads.clone(),
            );
        }
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register("larder_http_requests", "Requests that are over", self.requests.clone());
        registry.register(
            "larder_http_request_duration_seconds",
            "Time from the head of a request to the last byte of its response",
            self.request_duration.clone(),
        );
        registry.register(
            "larder_http_first_byte_seconds",
            "Time from the head of a request to the first byte of its response's body",
            self.first_byte.clone(),
        );
        registry.register(
            "larder_http_longest_stall_seconds",
            "Longest pause between two pieces of a response, whoever caused it",
            self.longest_stall.clone(),
        );
        registry.register("larder_lookups", "Look-ups of cache entries", self.lookups.clone());
        registry.register(
            "larder_lookup_misses",
            "Look-ups that found nothing, by what came nearest",
            self.misses.clone(),
        );
        registry.register(
            "larder_ghost_hits",
            "Look-ups that found nothing because it was evicted, by the room that would have kept it, as a multiple of \
             what is stored",
            self.ghost_hits.clone(),
        );
        registry.register("larder_ghost_hit_bytes", "Bytes of these entries", self.ghost_hit_bytes.clone());
        registry.register("larder_reservations", "Requests to save an entry", self.reservations.clone());
        registry.register("larder_uploads", "Uploads that have ended", self.uploads.clone());
        registry.register(
            "larder_received_bytes",
            "Bytes of bodies of requests",
            self.received_bytes.clone(),
        );
        registry.register(
            "larder_sent_bytes",
            "Bytes of bodies of responses, and of entries that the storage itself sends",
            self.sent_bytes.clone(),
        );
        registry.register(
            "larder_entry_size_bytes",
            "Sizes of entries that were saved",
            self.entry_size.clone(),
        );
        registry.register(
            "larder_auth_write_denied",
            "Requests to save that were denied",
            self.write_denied.clone(),
        );
        registry.register(
            "larder_auth_failures",
            "Tokens and signed URLs that were not accepted",
            self.auth_failures.clone(),
        );
        registry.register(
            "larder_forwarded_requests",
            "Requests that were forwarded to the upstream",
            self.forwarded.clone(),
        );
        registry.register(
            "larder_forwarded_request_duration_seconds",
            "Time until the upstream's response begins",
            self.forwarded_duration.clone(),
        );
    }

    fn register_sweeps(&self, registry: &mut Registry) {
        registry.register(
            "larder_removed_entries",
            "Entries that were deleted",
            self.removed_entries.clone(),
        );
        registry.register(
            "larder_removed_bytes",
            "Bytes of these entries, unless their content was gone",
            self.removed_bytes.clone(),
        );
        registry.register(
            "larder_evicted_bytes",
            "Bytes of entries that made room",
            self.evicted_bytes.clone(),
        );
        registry.register(
            "larder_swept_bytes",
            "Bytes of entries that sweeps deleted",
            self.swept_bytes.clone(),
        );
        registry.register(
            "larder_orphans_removed",
            "Objects and uploads without a row that were removed",
            self.orphans.clone(),
        );
        registry.register("larder_sweep_runs", "Sweeps that are over", self.sweeps.clone());
        registry.register(
            "larder_sweep_duration_seconds",
            "Time that sweeps took",
            self.sweep_duration.clone(),
        );
        registry.register(
            "larder_sweep_last_success_timestamp_seconds",
            "When a sweep last succeeded",
            self.last_sweep.clone(),
        );
    }

    fn register_calls(&self, registry: &mut Registry) {
        registry.register("larder_policy_calls", "Calls of the policy", self.policy_calls.clone());
        registry.register(
            "larder_policy_call_duration_seconds",
            "Time that calls of the policy took, the calls that they make included",
            self.policy_call_duration.clone(),
        );
        // From the start, so that a rate sees the first one.
        for cause in [PolicyFault::Trap, PolicyFault::Timeout, PolicyFault::Other] {
            drop(self.policy_faults.get_or_create(&ByFault { cause }));
        }
        let help = "Instances of the policy that trapped, ran too long or broke a rule of the world";
        registry.register("larder_policy_faults", help, self.policy_faults.clone());
        registry.register(
            "larder_policy_slice_interruptions",
            "Times that the policy was interrupted because it computed for long",
            self.policy_interruptions.clone(),
        );
        registry.register(
            "larder_policy_instances",
            "Instances of the policy",
            self.policy_instances.clone(),
        );
        registry.register(
            "larder_policy_memory_bytes",
            "Linear memory of all instances of the policy",
            self.policy_memory.clone(),
        );
        self.storage_calls.register(registry, "larder_storage", "the storage");
        self.database_calls.register(registry, "larder_database", "the database");
    }
}

impl Metrics {
    /// Counts a request that was forwarded: the status of the response, and the time until it began.
    pub fn count_forwarded(&self, code: u16, duration: Duration) {
        if self.is_enabled() {
            self.families.forwarded.get_or_create(&ByCode { code }).inc();
            self.families.forwarded_duration.observe(duration.as_secs_f64());
        }
    }

    /// Counts a look-up of an entry that was evicted, and that so many times what is stored would have kept:
    /// 2, 4 or 8.
    pub fn count_ghost(&self, times: u64, bytes: u64) {
        if self.is_enabled() {
            let would_fit = match times {
                ..=2 => "2x",
                3..=4 => "4x",
                _ => "8x",
            };
            self.families.ghost_hits.get_or_create(&ByFit { would_fit }).inc();
            self.families.ghost_hit_bytes.get_or_create(&ByFit { would_fit }).inc_by(bytes);
        }
    }

    /// Counts a sweep that is over: how long it took, and at which time of day, in milliseconds since
    /// 1970.
    pub fn count_sweep(&self, stage: SweepStage, ok: bool, duration: Duration, now_ms: u64) {
        if !self.is_enabled() {
            return;
        }
        self.families.sweeps.get_or_create(&SweepLabels { stage, result: Success::of(ok) }).inc();
        self.families.sweep_duration.get_or_create(&ByStage { stage }).observe(duration.as_secs_f64());
        if ok {
            let seconds = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
            self.families.last_sweep.get_or_create(&ByStage { stage }).set(seconds);
        }
    }

    /// Counts what a sweep has removed.
    pub fn count_swept(&self, abandoned_uploads: usize, orphans: usize, bytes: u64) {
        if self.is_enabled() {
            let abandoned = ByUpload { result: UploadResult::Abandoned };
            self.families.uploads.get_or_create(&abandoned).inc_by(abandoned_uploads as u64);
            self.families.orphans.inc_by(orphans as u64);
            self.families.swept_bytes.inc_by(bytes);
        }
    }

    /// Counts bytes of entries that made room for others.
    pub fn count_evicted(&self, bytes: u64) {
        if self.is_enabled() {
            self.families.evicted_bytes.inc_by(bytes);
        }
    }

    /// Counts a call of the policy that is over.
    pub fn count_policy_call(&self, call: &'static str, result: PolicyResult, duration: Duration) {
        if self.is_enabled() {
            self.families.policy_calls.get_or_create(&PolicyLabels { call, result }).inc();
            self.families
                .policy_call_duration
                .get_or_create(&ByCall { call })
                .observe(duration.as_secs_f64());
        }
    }

    /// Counts an instance that failed.
    pub fn count_policy_fault(&self, cause: PolicyFault) {
        self.families.policy_faults.get_or_create(&ByFault { cause }).inc();
    }

    /// Counts a run of the policy that was interrupted.
    pub fn count_policy_interruption(&self) {
        self.families.policy_interruptions.inc();
    }

    /// Counts an instance of the policy, until the result is dropped.
    #[must_use]
    pub fn instance(&self) -> InstanceMeter {
        let (instances, memory) =
            (self.families.policy_instances.clone(), self.families.policy_memory.clone());
        instances.inc();
        InstanceMeter { instances, memory, bytes: 0 }
    }

    /// Counts the bytes of an entry that was deleted. `reason`: as [`removal_reason`](crate::removal_reason) has it.
    pub fn count_removed_bytes(&self, reason: &'static str, bytes: u64) {
        if self.is_enabled() {
            self.families.removed_bytes.get_or_create(&ByReason { reason }).inc_by(bytes);
        }
    }

    pub(crate) fn count_removed(&self, reason: &'static str) {
        self.families.removed_entries.get_or_create(&ByReason { reason }).inc();
    }

    pub(crate) fn observe_entry(&self, key: &str, bytes: u64) {
        let tool = self.repositories.tool(key);
        self.families.entry_size.get_or_create(&ByTool { tool }).observe(bytes as f64);
    }
}

/// Counts an instance of the policy and its linear memory, until it is dropped.
#[derive(Debug)]
pub struct InstanceMeter {
    instances: Gauge,
    memory: Gauge,
    bytes: i64,
}

impl InstanceMeter {
    /// Records that a linear memory of it grows by so many bytes.
    pub fn grows_by(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.memory.inc_by(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Drop for InstanceMeter {
    fn drop(&mut self) {
        self.instances.dec();
        self.memory.dec_by(self.bytes);
    }
}
