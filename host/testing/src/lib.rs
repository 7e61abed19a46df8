//! What the unit tests of the host's crates share.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests"
)]

pub mod proxy;

use std::sync::Once;

/// Returns what the environment of this process says: of the test run, or of the test that started it.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns what the environment says of a real server that tests run against, or `None`, once told, where they are to be
/// skipped. `tests/scripts/with-services.sh` starts the servers and sets the variables; under `CI=true` none may be missing.
pub fn service(variable: &str) -> Option<String> {
    static TOLD: Once = Once::new();
    if let Some(value) = self::variable(variable) {
        return Some(value);
    }
    assert!(std::env::var_os("CI").is_none(), "{variable} is not set: under CI every server must be there");
    TOLD.call_once(|| {
        eprintln!("{variable} is not set: tests against its server are skipped (see `make unit`)");
    });
    None
}

/// A small disk of its own: a file system in memory, mounted until this is dropped.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one of so many MiB, or returns `None`, once told, where that is not allowed; under `CI=true` it must be.
    pub fn mount(mib: u32) -> Option<Self> {
        static TOLD: Once = Once::new();
        let folder = tempfile::tempdir().ok()?;
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(folder.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        assert!(std::env::var_os("CI").is_none(), "nothing can be mounted: under CI it must be possible");
        TOLD.call_once(|| eprintln!("nothing can be mounted (not root?): tests of a full disk are skipped"));
        None
    }

    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever failed may have files open still.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

/// Runs a test of this program again, in a process of its own that may open so many files and knows itself by `variable`.
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
