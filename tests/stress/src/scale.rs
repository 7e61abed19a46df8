//! The scale of the suite: short for `make test`, long for `make stress`, which sets
//! `LARDER_STRESS=long`.

use std::{process::Command, time::Duration};

/// Returns whether this is the long form.
#[must_use]
pub fn is_long() -> bool {
    std::env::var("LARDER_STRESS").is_ok_and(|scale| scale == "long")
}

/// Returns one of two numbers, depending on the form.
#[must_use]
pub fn rounds(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Returns the duration of an attack.
#[must_use]
pub fn hold() -> Duration {
    Duration::from_secs(if is_long() { 60 } else { 4 })
}

/// Raises this process's limit of descriptors to the hard limit with util-linux's `prlimit`.
/// Returns the limit.
///
/// # Panics
/// If `prlimit` cannot be run.
#[must_use]
pub fn raise_descriptors() -> usize {
    let pid = std::process::id().to_string();
    let run = |arguments: &[&str]| {
        let output = Command::new("prlimit").args(["--pid", &pid]).args(arguments).output().expect("prlimit");
        assert!(output.status.success(), "prlimit: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let hard = run(&["--nofile", "--output", "HARD", "--noheadings", "--raw"]);
    run(&[&format!("--nofile={hard}:{hard}")]);
    hard.parse().unwrap_or(usize::MAX)
}
