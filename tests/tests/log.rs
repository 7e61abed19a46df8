//! Fault 25: each request logs one line with its outcome, every line about a request has its id,
//! and no line has secrets.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use larder_tests::{BRANCH, Job, ServerLog, TestServer, token, token_with};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const KEY: &str = "linux-deps-1";

/// Returns the log of this process, with the lines of `DEBUG=true`.
fn start_log() -> ServerLog {
    ServerLog::start(true)
}

/// Waits for a request's line with this repository, outcome and key.
async fn outcome(log: &ServerLog, repository: &str, outcome: &str, key: &str) -> Value {
    let is_it = |line: &Value| {
        line["target"] == "larder::request"
            && line["repository"] == repository
            && line["outcome"] == outcome
            && line["key"] == key
    };
    log.line(&format!("{repository} {outcome} {key}"), is_it).await
}

/// Fault 25: hit, miss, and each step of a save and a restore.
#[tokio::test]
async fn each_request_of_a_save_and_a_restore_logs_its_outcome() {
    let (log, server) = (start_log(), TestServer::start(&[]).await);
    let job = Job::of(&server, "101");
    assert_eq!(job.look_up(KEY, &[]).await["ok"], false);
    job.save(KEY, b"content").await;
    let again = job.call_about("CreateCacheEntry", KEY, json!({})).await;
    assert_eq!(again.status.as_u16(), 409);
    let hit = job.look_up("linux-deps-2", &["linux-deps-"]).await;
    server.get(hit["signed_download_url"].as_str().unwrap()).await;

    let miss = outcome(&log, "101", "miss", KEY).await;
    assert_eq!((&miss["status"], &miss["version"]), (&json!(200), &json!("v")));
    assert!(miss["duration_ms"].as_f64().unwrap() > 0.0, "{miss}");
    let reserved = outcome(&log, "101", "reserved", KEY).await;
    assert_eq!(reserved["scope"], BRANCH);
    let stored = outcome(&log, "101", "stored", KEY).await;
    assert_eq!((&stored["upload"], &stored["bytes_in"]), (&reserved["upload"], &json!(7)));
    assert!(stored["path"].as_str().unwrap().contains(stored["upload"].as_str().unwrap()));
    let finalized = outcome(&log, "101", "finalized", KEY).await;
    outcome(&log, "101", "exists", KEY).await;
    let hit = outcome(&log, "101", "hit", "linux-deps-2").await;
    assert_eq!((&hit["matched_key"], &hit["scope"]), (&json!(KEY), &json!(BRANCH)));
    assert_eq!(hit["entry"], finalized["entry"]);
    let served = outcome(&log, "101", "served", KEY).await;
    assert_eq!((&served["entry"], &served["bytes_out"]), (&hit["entry"], &json!(7)));
}

/// Fault 25: with `DEBUG=true` the log states why a lookup found its entry.
#[tokio::test]
async fn debug_lines_state_the_search_and_belong_to_the_request() {
    let (log, server) = (start_log(), TestServer::start(&[]).await);
    Job::of(&server, "102").look_up("explain-me", &["explain-"]).await;
    let request = outcome(&log, "102", "miss", "explain-me").await;
    for probe in [r#"key="explain-me" match="exact""#, r#"key="explain-" match="prefix""#] {
        let is_it = |line: &Value| line["fields"].as_str().is_some_and(|fields| fields.contains(probe));
        let line = log.line(probe, is_it).await;
        assert_eq!((&line["level"], &line["span"]["id"]), (&json!("DEBUG"), &request["id"]));
    }
}

/// Fault 25: refusals are logged with the client and the reason.
#[tokio::test]
async fn each_refusal_has_its_reason() {
    let (log, server) = (start_log(), TestServer::start(&[]).await);
    let refused = async |path: &str, headers: &[(&str, &str)], body: &str| {
        let response = server.send("POST", path, headers, body.to_owned()).await;
        let id = response.header("x-ms-request-id").to_owned();
        (response.status.as_u16(), id)
    };
    let lookup = "/twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL";
    let forged = format!("Bearer {}x", token("103", &[(BRANCH, 3)]));
    for (path, headers, reason, status) in [
        (lookup, vec![], "no token", 401),
        (lookup, vec![("authorization", forged.as_str())], "signature", 401),
        ("/_apis/artifactcache/caches", vec![("authorization", forged.as_str())], "signature", 401),
        ("/other-route", vec![], "no upstream is configured", 404),
    ] {
        assert_eq!(refused(path, &headers, "{}").await.0, status);
        let is_it = |line: &Value| {
            line["path"] == path && line["reason"].as_str().is_some_and(|text| text.contains(reason))
        };
        let line = log.line(&format!("{path}: {reason}"), is_it).await;
        assert_eq!(line["status"], status);
        assert!(["denied", "refused"].contains(&line["outcome"].as_str().unwrap()), "{line}");
    }
    let url = Job::of(&server, "103").create("forged").await;
    let (path, _) = url[server.base.len()..].split_once('?').unwrap();
    server.send("PUT", &format!("{}00", &url[server.base.len()..]), &[], "x").await;
    let line = log.line("a forged URL", |line| line["path"] == path && line["outcome"] == "denied").await;
    assert_eq!(line["reason"], "The URL's signature is wrong");
}

/// Fault 25: an incomplete body can be traced to its reservation.
#[tokio::test]
async fn a_body_that_breaks_off_names_its_upload_and_key() {
    let (log, server) = (start_log(), TestServer::start(&[]).await);
    let url = Job::of(&server, "104").create("broken").await;
    let target = &url[server.base.len()..];
    let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!("PUT {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly this");
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    let reserved = outcome(&log, "104", "reserved", "broken").await;
    let broken = outcome(&log, "104", "refused", "broken").await;
    assert_eq!((&broken["upload"], &broken["cut_off"]), (&reserved["upload"], &json!(true)));
    assert_eq!(broken["bytes_in"], 9);
    assert!(broken["reason"].as_str().unwrap().contains("The body ended early"), "{broken}");
}

/// Fault 25: lines that the host and the policy log within a request have its id.
#[tokio::test]
async fn lines_about_a_request_have_its_id() {
    let (log, server) = (start_log(), TestServer::start(&[]).await);
    let job = Job::of(&server, "105");
    job.save("gone", b"content").await;
    let objects = server.data.path().join("storage/objects");
    std::fs::remove_dir_all(&objects).unwrap();
    job.look_up("gone", &[]).await;
    let stale = outcome(&log, "105", "stale", "gone").await;
    let is_it = |line: &Value| line["message"] == "stale entry skipped" && line["span"]["id"] == stale["id"];
    log.line("the policy's warning", is_it).await;

    // A file in place of the folder makes the storage unavailable.
    std::fs::write(&objects, "").unwrap();
    let url = job.create("unstorable").await;
    let response = server.send("PUT", &url, &[("x-ms-blob-type", "BlockBlob")], "content").await;
    assert_eq!(response.status.as_u16(), 503);
    let failed = outcome(&log, "105", "failed", "unstorable").await;
    let is_it = |line: &Value| line["message"] == "storage unavailable" && line["span"]["id"] == failed["id"];
    log.line("the host's error", is_it).await;
}

/// Fault 25: no line has tokens, signatures or act's secret.
#[tokio::test]
async fn no_line_holds_a_secret() {
    let (log, server) = (start_log(), TestServer::start(&[]).await);
    let job = Job::of(&server, "106");
    job.save("secretive", b"content").await;
    let url = job.url("secretive").await;
    server.get(&url).await;
    let headers = [("authorization", job.bearer.as_str())];
    let path = "/acts-secret/_apis/artifactcache/cache?keys=secretive&version=v";
    assert_eq!(server.send("GET", path, &headers, "").await.status.as_u16(), 200);
    let is_it = |line: &Value| line["path"] == "…/_apis/artifactcache/cache" && line["repository"] == "106";
    log.line("version 1", is_it).await;
    outcome(&log, "106", "served", "secretive").await;
    let text = log.text();
    let signature = url.rsplit_once("sig=").unwrap().1;
    for secret in ["acts-secret", signature, job.bearer.trim_start_matches("Bearer "), "sig="] {
        assert!(!text.contains(secret), "{secret}");
    }
}

/// What a platform sends can be found out, and nothing of what it says.
#[tokio::test]
async fn the_names_of_a_tokens_claims_are_logged_once_for_its_issuer_and_no_values() {
    let log = start_log();
    let server = TestServer::start(&[]).await;
    let issuer = "https://names.example";
    for run in ["hushed-run-1", "hushed-run-2"] {
        let extra = json!({ "actor": "hushed-actor" }).to_string();
        let claims = json!({ "iss": issuer, "run_id": run, "custom": "hushed", "oidc_extra": extra });
        Job::with_token(&server, &token_with("1", &claims)).save(run, b"bytes").await;
    }
    log.line("the names", |line| line["issuer"] == issuer).await;
    server.stop();
    let lines: Vec<_> = log.lines().into_iter().filter(|line| line["issuer"] == issuer).collect();
    let [line] = &lines[..] else { panic!("not one line: {lines:?}") };
    assert_eq!(line["level"], "DEBUG");
    assert_eq!(line["claims"], "ac,custom,exp,iss,nbf,oidc_extra,repository_id,run_id");
    assert_eq!(line["oidc_extra"], "actor");
    assert!(!log.text().contains("hushed-actor"));
    // The runs' ids are keys in this test, so they occur, but not in the line.
    assert!(!line.to_string().contains("hushed"), "{line}");
}
