//! What the storages of tenants cost while they are idle. Alone in its process, whose memory it reads.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use larder_common::TenantName;
use larder_storage::{
    Storage,
    fs::{FsStorage, budget::Budget},
};

const HANDLES: u64 = 20_000;

/// The resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn an_idle_storage_of_a_tenant_is_small_and_has_no_thread_and_no_descriptor() {
    let root = tempfile::tempdir().unwrap();
    let storage = FsStorage::open(root.path().to_owned(), Budget::new(1 << 20)).unwrap();
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let (threads, descriptors) = (count("task"), count("fd"));
    let names: Vec<TenantName> =
        (0..HANDLES).map(|number| TenantName::parse(&format!("tenant-{number}")).unwrap()).collect();
    let before = resident();
    let handles: Vec<Arc<dyn Storage>> = names.iter().map(|name| storage.tenant(name).unwrap()).collect();
    let each = resident().saturating_sub(before) / HANDLES;
    assert!(each < 1024, "{each} bytes each");
    assert_eq!((count("task"), count("fd")), (threads, descriptors));
    assert!(!root.path().join("tenants").exists());
    drop(handles);
}
