//! A thousand tenants in one process: what each costs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs, reason = "tests")]

use std::{
    fs,
    time::{Duration, Instant},
};

use larder_tests::{TenantServer, resident_kib, tenants};
use tempfile::TempDir;

const TENANTS: usize = 1000;
/// Most instances at once.
const INSTANCES: usize = 64;
/// Memory of an idle tenant, whether it had requests or not.
const IDLE_KIB: u64 = 64;
/// Resident memory that is not any tenant's: a busy server with all its instances.
const SERVER_KIB: u64 = 160 * 1024;

#[tokio::test]
async fn a_thousand_tenants_are_idle_for_little() {
    let before = resident_kib();
    let data = TempDir::new().unwrap();
    let name = |number: usize| format!("tenant-{number:03}");
    for number in 0..TENANTS {
        tenants::write(data.path(), &name(number), "");
    }
    let settings = format!("[tenants]\nmax_instances = {INSTANCES}\nidle_ms = 500\n");
    fs::write(data.path().join("larder.toml"), settings).unwrap();
    let began = Instant::now();
    let server = TenantServer::start_on(data, &[("RUST_LOG", "off")]).await;
    let (started, known) = (began.elapsed(), resident_kib() - before);
    assert_eq!(server.server.tenant_instances(), Some(0));

    let mut first = Vec::new();
    for number in 0..TENANTS {
        let job = server.job(&name(number));
        let began = Instant::now();
        assert_eq!(job.look_up("key", &[]).await["ok"], false);
        first.push(began.elapsed());
        let instances = server.server.tenant_instances().unwrap();
        assert!(instances <= INSTANCES, "{instances} instances");
    }
    let active = resident_kib() - before;
    first.sort();
    let idle = async {
        while server.server.tenant_instances() != Some(0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), idle).await.expect("idle instances end");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = resident_kib() - before;
    eprintln!(
        "started in {started:?}, +{known} KiB; first request median {:?}, slowest {:?}; all active +{active} KiB; idle again +{after} KiB",
        first[TENANTS / 2],
        first[TENANTS - 1],
    );
    let most = SERVER_KIB + IDLE_KIB * TENANTS as u64;
    assert!(known < most && active < most && after < most, "more than {most} KiB");

    server.job("tenant-500").save("key", b"works").await;
    assert_eq!(server.job("tenant-500").restore("key").await, "works");
    assert_eq!(server.job("tenant-501").look_up("key", &[]).await["ok"], false);
}
