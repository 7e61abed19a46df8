//! Calls of drivers: how many, how they ended, and how long they took.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::{families::short_seconds, health::Answered, labels::Text};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// With what was asked for.
    Ok,
    /// What was asked for is not there.
    NotFound,
    /// It cannot be done: there is no room, or the call is wrong. The driver works.
    Refused,
    /// The driver failed.
    Error,
}

impl CallResult {
    const COUNT: usize = 4;

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }
}

/// Says how a call ended.
pub(crate) trait Judged {
    fn result(&self) -> CallResult;
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    backend: Text,
    call: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    backend: Text,
    call: &'static str,
}

/// The two families of a kind of driver.
#[derive(Clone)]
pub(crate) struct CallFamilies {
    calls: Family<CallLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

impl Default for CallFamilies {
    fn default() -> Self {
        Self { calls: Family::default(), durations: Family::new_with_constructor(short_seconds) }
    }
}

impl CallFamilies {
    pub(crate) fn register(&self, registry: &mut Registry, prefix: &str, what: &str) {
        let calls = format!("Calls of {what} that are over");
        registry.register(format!("{prefix}_calls"), calls, self.calls.clone());
        let durations = format!("Time that calls of {what} took");
        registry.register(format!("{prefix}_call_duration_seconds"), durations, self.durations.clone());
    }
}

/// Measures the calls of one driver. Each series is looked up once; then a call costs a counter and
/// an observation.
pub(crate) struct Meters {
    families: CallFamilies,
    backend: Text,
    meters: Vec<Meter>,
    answered: Arc<Answered>,
}

struct Meter {
    call: &'static str,
    counters: [OnceLock<Counter>; CallResult::COUNT],
    duration: OnceLock<Histogram>,
}

impl Meters {
    /// `names` are those of the calls, each at its number.
    pub(crate) fn new(
        families: &CallFamilies,
        backend: &str,
        names: &[&'static str],
        answered: Arc<Answered>,
    ) -> Arc<Self> {
        let meter = |call: &&'static str| Meter {
            call,
            counters: [const { OnceLock::new() }; CallResult::COUNT],
            duration: OnceLock::new(),
        };
        Arc::new(Self {
            families: families.clone(),
            backend: Text(backend.into()),
            meters: names.iter().map(meter).collect(),
            answered,
        })
    }

    /// Measures a call. One that is dropped before its end is not counted.
    pub(crate) async fn measure<T: Judged>(&self, call: usize, future: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let output = future.await;
        self.count(call, output.result(), started, Instant::now());
        output
    }

    fn count(&self, call: usize, result: CallResult, started: Instant, ended: Instant) {
        let Some(meter) = self.meters.get(call) else { return };
        if result != CallResult::Error {
            self.answered.note(ended);
        }
        let counter = meter.counters[result as usize].get_or_init(|| {
            let labels =
                CallLabels { backend: self.backend.clone(), call: meter.call, result: result.word() };
            self.families.calls.get_or_create_owned(&labels)
        });
        counter.inc();
        let histogram = meter.duration.get_or_init(|| {
            let labels = DurationLabels { backend: self.backend.clone(), call: meter.call };
            self.families.durations.get_or_create_owned(&labels)
        });
        histogram.observe(ended.duration_since(started).as_secs_f64());
    }
}
