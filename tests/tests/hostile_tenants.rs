//! Tenants with hostile policies beside a healthy one, in one process.
//!
//! The limits are far from what was measured (ARCHITECTURE, "Tenants"): they tell a server that
//! isolates its tenants from one that does not, on a busy machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs, reason = "tests")]

use std::{
    fs,
    time::{Duration, Instant},
};

use bytes::Bytes;
use larder_tests::{HOSTILE_POLICY, TenantServer, resident_kib, tenants};
use tempfile::TempDir;
use tokio::{sync::Mutex, time::timeout};

/// What its policy does on request. Each alone, for a while.
const ATTACKS: [&str; 17] = [
    "/spin",
    "/hoard",
    "/recurse",
    "/trap",
    "/save/trap",
    "/never",
    "/status",
    "/status-9999",
    "/many-headers",
    "/a-million-headers",
    "/header-value",
    "/flood-host",
    "/many-probes",
    "/long-signature",
    "/wrong-length",
    "/object-name",
    "/log",
];
/// How long each attack lasts.
const DURATION: Duration = Duration::from_millis(1500);
/// Requests of an attack at once.
const CONCURRENT: usize = 8;
/// A spin ends after so much CPU: far above what the healthy tenant may wait.
const DEADLINE_MS: u64 = 4000;
/// Slowest look-up of the healthy tenant.
const SLOWEST: Duration = Duration::from_millis(1500);
/// Resident memory on top of what it was.
const GROWTH_KIB: u64 = 256 * 1024;

async fn server(threads: &str) -> TenantServer {
    let data = TempDir::new().unwrap();
    let policy = data.path().join("hostile.wasm");
    fs::write(&policy, HOSTILE_POLICY).unwrap();
    let lines = format!("[policy]\ncomponent = \"{}\"\ndeadline_ms = {DEADLINE_MS}\n", policy.display());
    for evil in ATTACKS.map(name_of) {
        tenants::write(data.path(), &evil, &lines);
    }
    tenants::write(data.path(), "healthy", "");
    let variables = [("LARDER_THREADS", threads), ("DISABLE_CLEANUP_JOBS", "true"), ("RUST_LOG", "off")];
    TenantServer::start_on(data, &variables).await
}

/// The tenant whose policy does this.
fn name_of(attack: &str) -> String {
    format!("evil{}", attack.replace('/', "-"))
}

/// Looks up until the time is over, and returns how long each took, sorted.
async fn look_up_for(server: &TenantServer, duration: Duration) -> Vec<Duration> {
    let (job, end) = (server.job("healthy"), Instant::now() + duration);
    let mut took = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        assert_eq!(job.look_up("key", &[]).await["ok"], true);
        took.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    took.sort();
    took
}

/// Asks the policy of an evil tenant for it, again and again.
async fn attack(server: &TenantServer, path: &str) {
    let evil = server.job(&name_of(path));
    let one = async || {
        loop {
            let patience = Duration::from_secs(3);
            let _ = timeout(patience, evil.send("GET", path, &[], Bytes::new())).await;
        }
    };
    futures_util::future::join_all((0..CONCURRENT).map(|_| one())).await;
}

/// One after the other: each measures time.
static TURN: Mutex<()> = Mutex::const_new(());

async fn a_healthy_tenant_is_served(threads: &str) {
    let _turn = TURN.lock().await;
    let server = server(threads).await;
    let job = server.job("healthy");
    job.save("key", b"good").await;
    let alone = look_up_for(&server, DURATION).await;
    let before_kib = resident_kib();
    eprintln!("{threads} threads, alone: median {:?}, slowest {:?}", median(&alone), alone.last().unwrap());
    for path in ATTACKS {
        let took = tokio::select! {
            took = look_up_for(&server, DURATION) => took,
            () = attack(&server, path) => unreachable!(),
        };
        let (slowest, grown) = (*took.last().unwrap(), resident_kib().saturating_sub(before_kib));
        eprintln!("{threads} threads, {path}: median {:?}, slowest {slowest:?}, +{grown} KiB", median(&took));
        assert!(slowest < SLOWEST, "{path}: a look-up beside it took {slowest:?}");
        assert!(grown < GROWTH_KIB, "{path}: {grown} KiB more");
        job.save(path, b"new").await;
        assert_eq!(job.restore(path).await, "new");
    }
}

fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn hostile_policies_on_the_only_thread_hold_nobody_up() {
    a_healthy_tenant_is_served("1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn hostile_policies_on_two_threads_hold_nobody_up() {
    a_healthy_tenant_is_served("2").await;
}
