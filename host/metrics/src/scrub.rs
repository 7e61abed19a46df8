//! What scrubs count.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{Metrics, labels::Success};

/// What an object was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByFinding {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByResult {
    result: Success,
}

#[derive(Debug, Default)]
pub(crate) struct ScrubFamilies {
    runs: Family<ByResult, Counter>,
    objects: Family<ByFinding, Counter>,
    last_success: Gauge,
}

impl ScrubFamilies {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("larder_scrub_runs", "Scrubs that are over", self.runs.clone());
        registry.register("larder_scrub_objects", "Objects that scrubs have looked at", self.objects.clone());
        registry.register(
            "larder_scrub_last_success_timestamp_seconds",
            "When a scrub last came to its end",
            self.last_success.clone(),
        );
    }
}

impl Metrics {
    /// Counts an object that a scrub has looked at. `finding`: one of `good`, `unrecorded`, `unreadable`,
    /// `damaged` and `lost`.
    pub fn count_scrubbed(&self, finding: &'static str) {
        if self.is_enabled() {
            self.families.scrub.objects.get_or_create(&ByFinding { result: finding }).inc();
        }
    }

    /// Counts a scrub that is over: whether it came to its end, and at which time of day, in milliseconds
    /// since 1970.
    pub fn count_scrub(&self, is_complete: bool, now_ms: u64) {
        if !self.is_enabled() {
            return;
        }
        self.families.scrub.runs.get_or_create(&ByResult { result: Success::of(is_complete) }).inc();
        if is_complete {
            self.families.scrub.last_success.set(i64::try_from(now_ms / 1000).unwrap_or(i64::MAX));
        }
    }
}
