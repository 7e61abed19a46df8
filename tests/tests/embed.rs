//! The host as a library: what the caller brings is used in place of what the configuration says.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{path::Path, sync::Arc};

use larder::{
    Larder,
    index::{KeyRule, sqlite::SqliteIndex},
    storage::fs::{FsStorage, budget::Budget},
};
use larder_tests::{HOSTILE_POLICY, Job, TestServer, test_config};
use tempfile::TempDir;

/// The number of objects below a folder of [`FsStorage`].
fn objects(folder: &Path) -> usize {
    let shards = std::fs::read_dir(folder.join("objects")).unwrap();
    shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test]
async fn storage_and_index_are_the_callers() {
    let (data, own) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let storage = FsStorage::open(own.path().join("bytes"), Budget::new(1 << 20)).unwrap();
    let index = SqliteIndex::open(&own.path().join("entries.db"), KeyRule::AnyCase).unwrap();
    let builder = Larder::builder(test_config(data.path(), &[]));
    let larder = builder.storage(Arc::new(storage)).index(Arc::new(index)).build().await.unwrap();
    let server = TestServer::around(larder, data);
    let job = Job::new(&server);
    job.save("embedded", b"bytes").await;
    assert_eq!(job.restore("embedded").await, "bytes");
    assert_eq!(objects(&own.path().join("bytes")), 1);
    let data = server.stop();
    assert!(!data.path().join("storage").exists() && !data.path().join("larder.db").exists());
}

#[tokio::test]
async fn the_policy_is_the_callers() {
    let data = TempDir::new().unwrap();
    let builder = Larder::builder(test_config(data.path(), &[("DISABLE_CLEANUP_JOBS", "true")]));
    let larder = builder.policy(HOSTILE_POLICY.to_vec()).build().await.unwrap();
    let server = TestServer::around(larder, data);
    assert_eq!(server.get("/fine").await.text(), "fine");
}

#[tokio::test]
async fn the_rules_are_the_callers() {
    let text = "export const restore = {
        judgeHit: (caller, { key }) =>
            key === 'secret' ? { tag: 'skip', val: 'not here' } : { tag: 'accept' },
    };";
    let data = TempDir::new().unwrap();
    let rules = larder::rules::Source::Script { text: text.to_owned(), name: "embedded.js".to_owned() };
    let larder = Larder::builder(test_config(data.path(), &[])).rules(rules).build().await.unwrap();
    let server = TestServer::around(larder, data);
    let job = Job::new(&server);
    for key in ["open", "secret"] {
        job.save(key, b"bytes").await;
    }
    assert_eq!(job.restore("open").await, "bytes");
    assert_eq!(job.look_up("secret", &[]).await["ok"], false);
}

#[tokio::test]
async fn rules_of_the_caller_that_do_not_load_keep_the_server_from_starting() {
    let data = TempDir::new().unwrap();
    let rules = larder::rules::Source::Script { text: "export const".to_owned(), name: "x.js".to_owned() };
    let started = Larder::builder(test_config(data.path(), &[])).rules(rules).build().await;
    assert!(matches!(started, Err(larder::StartError::Rules { .. })));
}

#[tokio::test]
async fn the_listener_is_the_callers() {
    let data = TempDir::new().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let larder = Larder::builder(test_config(data.path(), &[])).listener(listener).build().await.unwrap();
    assert_eq!(larder.address(), Some(address));
    let server = TestServer::around(larder, data);
    assert_eq!(server.get("/health").await.status, 200);
}
