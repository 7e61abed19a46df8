//! The resources that a process uses, from `/proc`.

use std::{
    fs, io,
    time::{Duration, Instant},
};

/// The resources that a process uses at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Peak resident memory since [`forget_peak`], in bytes.
    pub peak: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Usage {
    /// Reads the usage of the process with this id.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
        };
        let read = |name| kib(name).map(|kib| kib * 1024).ok_or(io::ErrorKind::InvalidData);
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Self { resident: read("VmRSS:")?, peak: read("VmHWM:")?, descriptors })
    }

    /// Returns the minimum of each value within `wait`, as the lasting usage.
    ///
    /// # Errors
    /// Like [`Usage::of`].
    pub async fn calm(pid: u32, wait: Duration) -> io::Result<Self> {
        let mut least = Self::of(pid)?;
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = Self::of(pid)?;
            least.resident = least.resident.min(now.resident);
            least.descriptors = least.descriptors.min(now.descriptors);
        }
        Ok(least)
    }
}

/// Resets the kernel's record of the peak, which includes compiling the policy at startup.
///
/// # Errors
/// If there is no such process.
pub fn forget_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// Returns the kernel's memory for TCP on this machine, in bytes: what is received and not read, and what
/// is not sent yet.
///
/// # Errors
/// If the kernel does not say.
pub fn tcp_bytes() -> io::Result<u64> {
    const PAGE_BYTES: u64 = 4096;
    let status = fs::read_to_string("/proc/net/sockstat")?;
    let line = status.lines().find_map(|line| line.strip_prefix("TCP:"));
    let pages = line.and_then(|line| line.split_whitespace().skip_while(|word| *word != "mem").nth(1));
    let pages: u64 = pages.and_then(|pages| pages.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(pages * PAGE_BYTES)
}
