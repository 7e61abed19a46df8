//! The management API of a running server: on its own listener, and on the main one where a key is set.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::path::Path;

use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder_tests::{Job, Response, TestServer, token_with};
use serde_json::{Value, json};

const KEY: &str = "the key of an administrator";
const WITH_KEY: [(&str, &str); 2] =
    [("MANAGEMENT_API_KEY", KEY), ("LARDER_MANAGEMENT_LISTEN", "127.0.0.1:0")];

/// Asks the API at an origin.
async fn ask(base: &str, method: &str, path: &str, key: Option<&str>, body: &Value) -> Response {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut request = http::Request::builder().method(method).uri(format!("{base}{path}"));
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let response = client.request(request.body(Full::new(bytes::Bytes::from(body))).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response { status: head.status, headers: head.headers, body }
}

async fn get(base: &str, path: &str) -> Value {
    let response = ask(base, "GET", path, Some(KEY), &Value::Null).await;
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.json()
}

fn own_listener(server: &TestServer) -> String {
    format!("http://{}", server.management_address().expect("it listens"))
}

/// How many files there are below a folder.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

/// Row, object and sum: nothing is left over.
#[tokio::test]
async fn deleting_an_entry_leaves_nothing() {
    for limit in ["0", "1000000000"] {
        let mut variables = WITH_KEY.to_vec();
        variables.push(("CACHE_MAX_SIZE_BYTES", limit));
        let server = TestServer::start(&variables).await;
        let base = own_listener(&server);
        let job = Job::of(&server, "7");
        job.save("key-1", b"some content").await;
        job.save("key-2", b"some other content").await;
        let objects = server.data.path().join("storage/objects");
        assert_eq!(files(&objects), 2);
        let listed = get(&base, "/api/v1/entries?sort=size_in_bytes").await;
        let ids: Vec<u64> =
            listed["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap()).collect();
        let deleted =
            ask(&base, "DELETE", &format!("/api/v1/entries/{}", ids[0]), Some(KEY), &Value::Null).await;
        assert_eq!(deleted.status, 204);
        assert_eq!(files(&objects), 1);
        assert_eq!(job.look_up("key-2", &[]).await["ok"], false);
        assert_eq!(job.restore("key-1").await, "some content");
        let stats = get(&base, "/api/v1/stats").await;
        assert_eq!(stats["bytes"], 12, "what left is not counted: {stats}");
        let explained = get(&base, "/api/v1/explain?repository=7&ref=refs/heads/main&key=key-2").await;
        assert_eq!(
            (explained["cause"].clone(), explained["near"][0]["deleted"]["cause"].clone()),
            (json!("deleted"), json!("manual"))
        );
        let status = get(&base, "/api/v1/status").await;
        let expected = if limit == "0" { json!(null) } else { json!(1_000_000_000) };
        assert_eq!((status["limit_bytes"].clone(), status["database"].clone()), (expected, json!("sqlite")));
        assert!(status["connections"].as_u64().unwrap() >= 1, "{status}");
    }
}

#[tokio::test]
async fn the_main_listener_has_the_api_where_a_key_is_set() {
    let server = TestServer::start(&WITH_KEY).await;
    let who = get(&server.base, "/api/v1/whoami").await;
    assert_eq!(who["role"], "admin");
    let denied = server.get("/management-api/cache-entries").await;
    assert_eq!((denied.status.as_u16(), denied.json()["code"].clone()), (401, json!("UNAUTHORIZED")));
    let long = vec![b'x'; 200_000];
    let refused =
        server.send("POST", "/api/v1/keys", &[("authorization", &format!("Bearer {KEY}"))], long).await;
    assert_eq!(refused.status.as_u16(), 413);
    let without = TestServer::start(&[("LARDER_MANAGEMENT_LISTEN", "127.0.0.1:0")]).await;
    for path in ["/management-api/cache-entries", "/api/v1/whoami", "/repos/a/b/actions/caches"] {
        let response = without.get(path).await;
        assert_eq!(response.status.as_u16(), 404, "{path}: the guest's answer to what it does not know");
    }
    let disabled = ask(&own_listener(&without), "GET", "/api/v1/status", Some(KEY), &Value::Null).await;
    assert_eq!(disabled.status.as_u16(), 503);
}

#[tokio::test]
async fn a_run_is_revoked_and_a_sweep_runs_on_demand() {
    let server = TestServer::start(&WITH_KEY).await;
    let base = own_listener(&server);
    let by = |run: &str| token_with("7", &json!({ "run_id": run, "repository": "acme/app" }));
    Job::with_token(&server, &by("1")).save("key-1", b"one").await;
    Job::with_token(&server, &by("2")).save("key-2", b"two").await;
    let dry = ask(&base, "DELETE", "/api/v1/runs/1?dry_run=true", Some(KEY), &Value::Null).await.json();
    assert_eq!((dry["dry_run"].clone(), dry["entries"][0]["key"].clone()), (json!(true), json!("key-1")));
    let done = ask(&base, "DELETE", "/api/v1/runs/1", Some(KEY), &Value::Null).await.json();
    assert_eq!(done["entries"].as_array().unwrap().len(), 1);
    let left = get(&base, "/management-api/cache-entries").await;
    assert_eq!((left["total"].clone(), left["items"][0]["key"].clone()), (json!(1), json!("key-2")));
    assert_eq!(get(&base, "/api/v1/status").await["sweep"]["succeeded_ms"], json!(null));
    let swept = ask(&base, "POST", "/api/v1/sweep", Some(KEY), &Value::Null).await;
    assert_eq!((swept.status.as_u16(), swept.json()), (200, json!({ "ended": true, "succeeded": true })));
    assert!(get(&base, "/api/v1/status").await["sweep"]["succeeded_ms"].is_u64());
    let off = TestServer::start(&[WITH_KEY[0], WITH_KEY[1], ("DISABLE_CLEANUP_JOBS", "true")]).await;
    let refused = ask(&own_listener(&off), "POST", "/api/v1/sweep", Some(KEY), &Value::Null).await;
    assert_eq!(refused.status.as_u16(), 501);
}

#[tokio::test]
async fn an_address_that_was_set_must_be_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::TempDir::new().unwrap();
    std::fs::write(data.path().join("larder.toml"), "").unwrap();
    let error = TestServer::start_error(&data, &[("LARDER_MANAGEMENT_LISTEN", &address)]).await;
    assert!(error.to_string().contains("LARDER_MANAGEMENT_LISTEN"), "{error}");
}

/// Secrets are shown by no route.
#[tokio::test]
async fn the_configuration_has_no_secrets() {
    let server = TestServer::start(&WITH_KEY).await;
    let config = ask(&own_listener(&server), "GET", "/api/v1/config", Some(KEY), &Value::Null).await;
    let text = config.text().to_owned();
    assert!(!text.contains(KEY) && !text.contains(larder_tests::SECRET), "{text}");
    assert_eq!(config.json()["management"]["key"], "***");
}
