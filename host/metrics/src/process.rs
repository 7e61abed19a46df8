//! The process: the metrics that all Prometheus clients have, under their names. Where the system does
//! not say one, it is not there: it is no Linux, or `/proc` is not mounted.

use std::{fmt, fs};

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeValLike,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

/// Ticks in a second, as Linux tells programs the time since the boot (`USER_HZ`).
const TICKS: f64 = 100.0;
/// The place of the start time in `/proc/self/stat`, counted after the name, which may have spaces.
const START_TIME: usize = 19;

pub(crate) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Process {}));
}

#[derive(Debug)]
struct Process {}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let (name, help) = ("process_cpu_seconds", "Total user and system CPU time in seconds");
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory in bytes", kib(&status, "VmRSS:")),
            ("process_virtual_memory_bytes", "Virtual memory in bytes", kib(&status, "VmSize:")),
            ("process_threads", "Threads", number(&status, "Threads:")),
            ("process_start_time_seconds", "Start of the process in seconds since 1970", start_time()),
            ("process_open_fds", "Open file descriptors", open_descriptors()),
            ("process_max_fds", "Most open file descriptors", most_descriptors()),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
            }
        }
        Ok(())
    }
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    Some((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// The value of a field of a file with a field on each line.
fn number(text: &str, field: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.split_whitespace().next()?.parse().ok()
}

fn kib(text: &str, field: &str) -> Option<f64> {
    number(text, field).map(|kib| kib * 1024.0)
}

fn start_time() -> Option<f64> {
    let booted = number(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(START_TIME)?.parse().ok()?;
    Some(booted + ticks / TICKS)
}

fn open_descriptors() -> Option<f64> {
    // One is that of the directory itself.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn most_descriptors() -> Option<f64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft as f64)
}
