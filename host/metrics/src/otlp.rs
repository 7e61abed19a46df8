//! What is counted of exports to a collector of OpenTelemetry.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::{Metrics, labels::Success};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByExport {
    signal: &'static str,
    result: Success,
}

#[derive(Debug, Default)]
pub(crate) struct OtlpFamilies {
    exports: Family<ByExport, Counter>,
    dropped_spans: Counter,
}

impl OtlpFamilies {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Exports to a collector of OpenTelemetry that are over";
        registry.register("larder_otlp_exports", help, self.exports.clone());
        let help = "Spans that were not sent: the queue was full, or the collector did not take them";
        registry.register("larder_otlp_dropped_spans", help, self.dropped_spans.clone());
    }
}

impl Metrics {
    /// Counts an export to a collector: `traces` or `metrics`.
    pub fn count_export(&self, signal: &'static str, is_ok: bool) {
        if self.is_enabled() {
            let labels = ByExport { signal, result: Success::of(is_ok) };
            self.families.otlp.exports.get_or_create(&labels).inc();
        }
    }

    /// Counts spans that were not sent.
    pub fn count_dropped_spans(&self, spans: u64) {
        if self.is_enabled() {
            self.families.otlp.dropped_spans.inc_by(spans);
        }
    }
}
