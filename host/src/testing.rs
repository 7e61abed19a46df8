//! What the unit tests of several modules share.
#![expect(clippy::print_stderr, clippy::unwrap_used, reason = "tests")]

pub(crate) mod proxy;

use std::{
    path::Path,
    sync::{Arc, Once},
};

use crate::{
    auth::{TokenVerifier, UrlSigner},
    clock::Clock,
    config::Config,
    index::{KeyRule, sqlite::SqliteIndex},
    net::{Fetch, HttpFetch, Proxies, client_config},
    pressure::Pressure,
    retention::{DurabilityTracker, UsageTracker},
    services::{PolicySettings, Services},
    storage::{budget::Budget, fs::FsStorage},
};

const MINUTE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// Some time long after 1970 and long before the test runs: objects on disk are always younger.
pub(crate) const NOW_MS: u64 = 1_000_000_000_000;

/// Services with storage and index in a folder, at [`NOW_MS`].
pub(crate) fn services(folder: &Path) -> Arc<Services> {
    let fetch: Arc<dyn Fetch> = Arc::new(HttpFetch::new(client_config(None).unwrap(), &Proxies::default()));
    let config = Config::load(None, std::iter::empty()).unwrap();
    let services = Services {
        storage: Arc::new(FsStorage::open(folder.join("storage"), Budget::new(1 << 20)).unwrap()),
        index: Arc::new(SqliteIndex::open(&folder.join("larder.db"), KeyRule::AnyCase).unwrap()),
        tokens: Arc::new(TokenVerifier::new(&config.settings.auth, &fetch).unwrap()),
        signer: Arc::new(UrlSigner::new(&[1; 32], None).unwrap()),
        usage: Arc::new(UsageTracker::default()),
        durability: Arc::new(DurabilityTracker::new("this boot".into(), false)),
        pressure: Arc::new(Pressure::new()),
        clock: Clock::manual(NOW_MS).0,
        settings: PolicySettings {
            upload_url_ms: DAY_MS,
            download_url_ms: DAY_MS,
            idle_upload_ms: 5 * MINUTE_MS,
            unused_entry_ms: Some(90 * DAY_MS),
            max_entry_bytes: None,
            parallel_download_origin: None,
            direct_url_ms: None,
        },
        upstream: None,
        forwarder: None,
    };
    services.for_thread()
}

/// Returns the variable of a real server that tests run against, or `None` if they are to be skipped, which is printed once. `tests/scripts/with-services.sh` starts the servers and sets the variables; under `CI=true` none may be missing.
pub(crate) fn service(variable: &str) -> Option<String> {
    static TOLD: Once = Once::new();
    // The only place beside `config/` that reads the environment.
    if let Ok(value) = std::env::var(variable) {
        return Some(value);
    }
    assert!(std::env::var_os("CI").is_none(), "{variable} is not set: under CI every server must be there");
    TOLD.call_once(|| {
        eprintln!("{variable} is not set: tests against its server are skipped (see `make unit`)");
    });
    None
}

/// A small disk of its own: a file system in memory, mounted until this is dropped.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one of `mib` MiB. Returns `None` if that is not allowed, which is printed once; panics then under `CI=true`.
    pub(crate) fn mount(mib: u32) -> Option<Self> {
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

    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a failed test may still have files open.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

/// Runs a test of this program again, in a process of its own with this limit of open files and with `variable` set.
pub(crate) fn run_with_descriptors(limit: u32, test: &str, variable: &str) {
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
