//! The policy of a running server is exchanged: no request is lost, and what fails goes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "tests")]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use http::StatusCode;
use larder::{BUILT_IN_POLICY, versions::Versions};
use larder_tests::{HOSTILE_POLICY, Job, TestServer, resident_kib, token};
use tempfile::TempDir;

/// The built-in policy as another component: with a custom section of this content.
fn variant(mark: u8) -> Vec<u8> {
    let mut component = BUILT_IN_POLICY.to_vec();
    component.extend([0, 3, 1, b'x', mark]);
    component
}

/// Waits until a request is answered so; the exchange happens at its own time.
async fn wait_for(server: &TestServer, path: &str, status: StatusCode) {
    for _ in 0..600 {
        if server.get(path).await.status == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} is not answered with {status} within a minute");
}

/// Waits until what is in force is written down: first it is in force.
async fn recorded(versions: &Versions, source: &str) {
    for _ in 0..100 {
        if versions.history().first().is_some_and(|known| known.source == source) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?} and not `{source}` within ten seconds", versions.history());
}

/// Replaces a file in one step.
fn replace(file: &Path, content: &[u8]) {
    let draft = file.with_extension("draft");
    fs::write(&draft, content).unwrap();
    fs::rename(&draft, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_exchanges_under_load_fail_no_request_and_take_no_memory() {
    let server = TestServer::start(&[]).await;
    let variants = [variant(1), variant(2)];
    let (ended, requests) = (AtomicBool::new(false), AtomicU32::new(0));
    let load = async |number: u32| {
        let job = Job::of(&server, &number.to_string());
        let mut saved = 0;
        while !ended.load(SeqCst) {
            let key = format!("key-{number}-{saved}");
            let url = job.create(&key).await;
            let body = vec![7; 100_000];
            let put = job.send("PUT", &url, &[("x-ms-blob-type", "BlockBlob")], body.clone()).await;
            assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
            job.finalize(&key, body.len()).await;
            let found = job.call_about("GetCacheEntryDownloadURL", &key, serde_json::json!({})).await;
            let url = found.json()["signed_download_url"].as_str().expect("a hit").to_owned();
            assert_eq!(job.send("GET", &url, &[], "").await.body, body);
            assert_eq!(server.get("/health").await.status, StatusCode::OK);
            requests.fetch_add(5, SeqCst);
            saved += 1;
        }
    };
    let exchanges = async {
        let mut after_some = 0;
        for count in 0..100 {
            server.larder().exchange_policy(variants[count % 2].clone()).await.unwrap();
            let before = requests.load(SeqCst);
            // Each is under load.
            while requests.load(SeqCst) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if count == 30 {
                after_some = resident_kib();
            }
        }
        ended.store(true, SeqCst);
        let grown = resident_kib().saturating_sub(after_some);
        assert!(grown < 24 << 10, "70 exchanges took {grown} KiB");
        grown
    };
    let (grown, ..) = tokio::join!(exchanges, load(1), load(2), load(3), load(4));
    println!("{} requests beside 100 exchanges; {grown} KiB grown", requests.load(SeqCst));
    assert!(requests.load(SeqCst) >= 500);
}

#[tokio::test]
async fn what_cannot_be_used_is_an_error_and_the_policy_stays() {
    let server = TestServer::start(&[]).await;
    let error = server.larder().exchange_policy(b"no component".to_vec()).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "not a WebAssembly component");
    assert_eq!(Job::new(&server).probe().await, StatusCode::OK);
}

#[tokio::test]
async fn a_running_server_follows_the_file_of_its_policy() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("policy.wasm");
    fs::write(&file, BUILT_IN_POLICY).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let server = TestServer::start_on(data, &[("LARDER_POLICY", &path)]).await;
    assert_eq!(server.get("/fine").await.status, StatusCode::NOT_FOUND);
    replace(&file, HOSTILE_POLICY);
    wait_for(&server, "/fine", StatusCode::OK).await;
    // What is no component changes nothing, also for the next start.
    replace(&file, b"half a comp");
    server.larder().reload();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.get("/fine").await.status, StatusCode::OK);
    let server = TestServer::start_on(server.stop(), &[("LARDER_POLICY", &path)]).await;
    assert_eq!(server.get("/fine").await.text(), "fine");
    // Another file is another wish: there, a fault is the end of the start.
    let other = server.data.path().join("other.wasm");
    fs::write(&other, b"half a comp").unwrap();
    let other = other.to_str().unwrap().to_owned();
    let data = server.stop();
    TestServer::start_error(&data, &[("LARDER_POLICY", &other)]).await;
}

#[tokio::test]
async fn a_policy_that_fails_again_and_again_goes_back_by_itself_for_good() {
    let server = TestServer::start(&[("LARDER_THREADS", "1")]).await;
    let versions = Versions::of_policy(server.data.path());
    let hostile = versions.store(HOSTILE_POLICY, "hostile.wasm").unwrap();
    versions.choose(&hostile).unwrap();
    server.larder().reload();
    wait_for(&server, "/fine", StatusCode::OK).await;
    recorded(&versions, "chosen").await;
    assert_eq!(versions.history()[0].version, hostile);
    // Each is tried twice.
    for _ in 0..3 {
        server.get("/trap").await;
    }
    wait_for(&server, "/fine", StatusCode::NOT_FOUND).await;
    assert_eq!(Job::new(&server).probe().await, StatusCode::OK);
    recorded(&versions, "built in").await;
    assert!(versions.rejection(&hostile).is_some());
    // It is still the choice, and still not trusted after a restart.
    let server = TestServer::start_on(server.stop(), &[("LARDER_THREADS", "1")]).await;
    assert_eq!(server.get("/fine").await.status, StatusCode::NOT_FOUND);
    versions.choose(&hostile).unwrap();
    wait_for(&server, "/fine", StatusCode::OK).await;
    let server = TestServer::start_on(server.stop(), &[("LARDER_THREADS", "1")]).await;
    assert_eq!(server.get("/fine").await.status, StatusCode::OK);
}

/// Rules that let pull requests only read.
const ONLY_READ: &str = include_str!("../../examples/rules/pull-requests-read.js");

/// Whether a job of a pull request may save.
async fn may_save(server: &TestServer, key: &str) -> bool {
    let job = Job::with_token(server, &token("1", &[("refs/pull/7/merge", 3), ("refs/heads/main", 1)]));
    job.call_about("CreateCacheEntry", key, serde_json::json!({})).await.json()["ok"] == true
}

async fn wait_until_saving_is(server: &TestServer, allowed: bool) {
    for number in 0..300 {
        if may_save(server, &format!("{allowed}-{number}")).await == allowed {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("saving is not {allowed} within half a minute");
}

#[tokio::test]
async fn chosen_rules_hold_at_once_for_known_tokens_and_until_they_are_taken_back() {
    let server = TestServer::start(&[]).await;
    assert!(may_save(&server, "before").await);
    let versions = Versions::of_rules(server.data.path());
    let rules = versions.store(ONLY_READ.as_bytes(), "only-read.js").unwrap();
    versions.choose(&rules).unwrap();
    server.larder().reload();
    wait_until_saving_is(&server, false).await;
    let server = TestServer::start_on(server.stop(), &[]).await;
    assert!(!may_save(&server, "after-a-restart").await);
    // What is no rules leaves the chosen ones in force.
    let bad = versions.store(b"export const access = {", "bad.js").unwrap();
    versions.choose(&bad).unwrap();
    server.larder().reload();
    for _ in 0..300 {
        if versions.rejection(&bad).is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(versions.rejection(&bad).unwrap().contains("the rules do not start"));
    assert!(!may_save(&server, "after-bad-ones").await);
    let server = TestServer::start_on(server.stop(), &[]).await;
    assert!(!may_save(&server, "also-after-a-restart").await);
    versions.choose_none().unwrap();
    server.larder().reload();
    wait_until_saving_is(&server, true).await;
}

#[tokio::test]
async fn a_hundred_exchanges_of_rules_under_load_fail_no_request() {
    let server = TestServer::start(&[]).await;
    let rules = [ONLY_READ.to_owned(), format!("{ONLY_READ}// other\n")].map(|text| {
        let source = larder::rules::Source::new(text.into_bytes(), "rules.js").unwrap();
        larder::rules::Rules::load(source, Some(&server.data.path().join("compiled"))).unwrap()
    });
    let (ended, requests) = (AtomicBool::new(false), AtomicU32::new(0));
    let load = async |number: u32| {
        let job = Job::of(&server, &number.to_string());
        let mut saved = 0;
        while !ended.load(SeqCst) {
            job.create(&format!("key-{number}-{saved}")).await;
            assert_eq!(job.probe().await, StatusCode::OK);
            requests.fetch_add(2, SeqCst);
            saved += 1;
        }
    };
    let exchanges = async {
        for count in 0..100 {
            server.larder().rules().exchange(Some(rules[count % 2].clone()));
            let before = requests.load(SeqCst);
            while requests.load(SeqCst) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        ended.store(true, SeqCst);
    };
    tokio::join!(exchanges, load(1), load(2));
    assert!(requests.load(SeqCst) >= 200);
}
