//! The process: the metrics that all Prometheus clients have, under their names.

use prometheus_client::registry::Registry;

#[cfg(target_os = "linux")]
pub(crate) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(linux::Process::default()));
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn register(_registry: &mut Registry) {}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt;

    use procfs::{WithCurrentSystemInfo, process::LimitValue};
    use prometheus_client::{
        collector::Collector,
        encoding::{DescriptorEncoder, EncodeMetric},
        metrics::{counter::ConstCounter, gauge::ConstGauge},
    };

    #[derive(Debug, Default)]
    pub(super) struct Process {}

    impl Collector for Process {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
            // Where /proc is not there, the metrics are not there.
            let Ok(process) = procfs::process::Process::myself() else { return Ok(()) };
            let Ok(stat) = process.stat() else { return Ok(()) };
            let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
            let counter = ConstCounter::new(seconds);
            let described = encoder.encode_descriptor(
                "process_cpu_seconds",
                "Total user and system CPU time in seconds",
                None,
                counter.metric_type(),
            )?;
            counter.encode(described)?;
            let mut gauge = |name: &str, help: &str, value: f64| {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
            };
            let resident = stat.rss_bytes().get();
            gauge("process_resident_memory_bytes", "Resident memory in bytes", resident as f64)?;
            gauge("process_virtual_memory_bytes", "Virtual memory in bytes", stat.vsize as f64)?;
            gauge("process_threads", "Threads", stat.num_threads as f64)?;
            if let Ok(boot) = procfs::boot_time_secs() {
                let started = boot as f64 + stat.starttime as f64 / procfs::ticks_per_second() as f64;
                gauge("process_start_time_seconds", "Start of the process in seconds since 1970", started)?;
            }
            if let Ok(open) = process.fd_count() {
                gauge("process_open_fds", "Open file descriptors", open as f64)?;
            }
            if let Ok(limits) = process.limits()
                && let LimitValue::Value(most) = limits.max_open_files.soft_limit
            {
                gauge("process_max_fds", "Most open file descriptors", most as f64)?;
            }
            Ok(())
        }
    }
}
