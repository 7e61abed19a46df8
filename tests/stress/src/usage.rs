//! What a process takes of the machine, by `/proc`.

use std::{
    fs, io,
    time::{Duration, Instant},
};

/// What a process takes at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// The most that was ever resident since [`forget_peak`], in bytes.
    pub peak: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Usage {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When there is none.
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

    /// The least of each that is seen within `wait`, as what is there for good.
    ///
    /// # Errors
    /// As [`Usage::of`].
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

/// Lets the kernel's note of the peak begin anew: it holds what compiling the policy took at the start.
///
/// # Errors
/// When there is no such process.
pub fn forget_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}
