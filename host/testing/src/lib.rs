//! Helpers for the unit tests of the host's crates.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests"
)]

pub mod certificates;
pub mod proxy;

use std::sync::Once;

/// Returns an environment variable, set by the test run or by the test that started this process.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns the variable that describes a real server for tests. If it is not set, prints a notice
/// once and returns `None`, so that the test is skipped; with `CI=true` it panics.
/// `tests/scripts/with-services.sh` starts the servers and sets the variables.
pub fn service(variable: &str) -> Option<String> {
    static NOTICE: Once = Once::new();
    if let Some(value) = self::variable(variable) {
        return Some(value);
    }
    assert!(std::env::var_os("CI").is_none(), "{variable} is not set: under CI every server must be there");
    NOTICE.call_once(|| {
        eprintln!("{variable} is not set: tests against its server are skipped (see `make unit`)");
    });
    None
}

/// A small disk: a file system in memory, mounted until this is dropped.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts a disk of `mib` MiB. If mounting is not allowed, prints a notice once and returns
    /// `None`; with `CI=true` it panics.
    pub fn mount(mib: u32) -> Option<Self> {
        static NOTICE: Once = Once::new();
        let folder = tempfile::tempdir().ok()?;
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(folder.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        assert!(std::env::var_os("CI").is_none(), "nothing can be mounted: under CI it must be possible");
        NOTICE
            .call_once(|| eprintln!("nothing can be mounted (not root?): tests of a full disk are skipped"));
        None
    }

    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a failed test may still have files open.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

/// Runs a test of this program in a new process that may open `limit` files and has `variable` set.
pub fn run_with_descriptors(limit: u32, test: &str, variable: &str) {
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap_or_default())
        .args(["--exact", test, "--nocapture"])
        .env(variable, "1")
        .output();
    let (passed, said) = output.map_or((false, String::new()), |output| {
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        (output.status.success() && said.contains("1 passed"), said)
    });
    assert!(passed, "{said}");
}
