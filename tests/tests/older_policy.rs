//! A policy that was built for an earlier version of the world serves, and is refused where it would not ask
//! rules that have to be asked.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{path::Path, sync::Arc};

use http::StatusCode;
use larder::{
    Beside, ExplainError, LoadError, Scope, StartError,
    explain::{Found, Query},
};
use larder_rules::{Rules, Source};
use larder_tests::{Job, ServerLog, TestServer, tenants, test_config};
use tempfile::TempDir;

const OLDER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/older-policy.wasm"));
/// Rules that decide about requests, and rules that do not.
const RESTORE: &str = "export const restore = { judgeHit: () => ({ tag: 'skip', val: 'not now' }) };";
const ACCESS: &str = "export const access = { admit: () => ({ tag: 'default' }) };";
/// The causes of a miss that there were.
const CAUSES: [&str; 13] = [
    "never-saved",
    "other-scope",
    "other-version",
    "uploading",
    "stale",
    "quarantined",
    "expired",
    "evicted",
    "superseded",
    "revoked",
    "closed-scope",
    "deleted",
    "denied",
];

/// Writes a file into a folder; returns its path.
fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Starts a server with the policy, and with these rules if there are any.
async fn start(rules: Option<&str>) -> TestServer {
    let data = TempDir::new().unwrap();
    let policy = write(data.path(), "older.wasm", OLDER);
    let rules = rules.map(|text| write(data.path(), "rules.js", text));
    let rules = rules.iter().map(|file| ("LARDER_RULES", file.as_str()));
    let variables: Vec<_> = [("LARDER_POLICY", policy.as_str())].into_iter().chain(rules).collect();
    TestServer::start_on(data, &variables).await
}

async fn put(job: &Job<'_>, key: &str, content: &str) -> StatusCode {
    let target = format!("/keys/{key}");
    job.send("PUT", &target, &[("authorization", &job.bearer)], content.to_owned()).await.status
}

async fn get(job: &Job<'_>, key: &str) -> (StatusCode, String) {
    let response = job.send("GET", &format!("/keys/{key}"), &[("authorization", &job.bearer)], "").await;
    (response.status, response.text().to_owned())
}

#[tokio::test]
async fn it_saves_and_restores_and_says_why_it_misses() {
    let log = ServerLog::start(false);
    let server = start(None).await;
    let job = Job::new(&server);
    assert_eq!(put(&job, "a", "the content").await, StatusCode::CREATED);
    assert_eq!(put(&job, "a", "another").await, StatusCode::CONFLICT);
    assert_eq!(get(&job, "a").await, (StatusCode::OK, "the content".to_owned()));
    assert_eq!(get(&job, "b").await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/keys/a").await.status, StatusCode::UNAUTHORIZED);
    for (number, cause) in CAUSES.iter().enumerate() {
        let target = format!("/miss/{number}");
        assert_eq!(server.get(&target).await.status, StatusCode::NOT_FOUND);
        let is_it = |line: &serde_json::Value| line["path"] == target.as_str() && line["miss"].is_string();
        assert_eq!(log.line(&target, is_it).await["miss"], *cause);
    }
}

#[tokio::test]
async fn it_explains_a_lookup() {
    let server = start(None).await;
    let job = Job::new(&server);
    for key in ["a", "b", "c"] {
        assert_eq!(put(&job, key, "content").await, StatusCode::CREATED);
    }
    let policy = server.data.path().join("older.wasm");
    let config = test_config(server.data.path(), &[("LARDER_POLICY", policy.to_str().unwrap())]);
    let beside = Box::pin(Beside::open(&config, None)).await.unwrap().unwrap();
    let query = Query {
        repository: "1".to_owned(),
        scopes: vec![Scope { name: "all".to_owned(), read: true, write: true }],
        version: None,
        keys: ["a", "b", "c", "d"].map(str::to_owned).into(),
    };
    let told = beside.explain(query.clone()).await.unwrap();
    let found: Vec<_> = told.attempts.iter().map(|attempt| attempt.found).collect();
    assert_eq!(found, [Found::Stale, Found::Expired, Found::Match, Found::Nothing]);
    assert_eq!(told.attempts[2].finding.as_ref().unwrap().size_bytes, 7);
    let near: Vec<_> = told.near.iter().map(|near| &*near.cause).collect();
    assert_eq!(near, CAUSES);
    assert_eq!((told.cause.as_deref(), told.version.as_deref()), (Some("denied"), Some("v")));
    let deleted = told.near[0].deleted.as_ref().unwrap();
    assert_eq!((deleted.at_ms, deleted.cause.as_str()), (2, "rule:mine"));
    let rules = write(server.data.path(), "restore.js", RESTORE);
    let variables = [("LARDER_POLICY", policy.to_str().unwrap()), ("LARDER_RULES", rules.as_str())];
    let config = test_config(server.data.path(), &variables);
    let beside = Box::pin(Beside::open(&config, None)).await.unwrap().unwrap();
    assert!(matches!(beside.explain(query).await, Err(ExplainError::NotAsked)));
}

/// It cannot ask them: whoever they keep out would come in.
#[tokio::test]
async fn it_does_not_start_beside_rules_about_requests() {
    let data = TempDir::new().unwrap();
    write(data.path(), "larder.toml", "");
    let policy = write(data.path(), "older.wasm", OLDER);
    let rules = write(data.path(), "rules.js", RESTORE);
    let variables = [("LARDER_POLICY", policy.as_str()), ("LARDER_RULES", rules.as_str())];
    let error = TestServer::start_error(&data, &variables).await;
    assert!(matches!(error, StartError::Policy(LoadError::AsksNoRules)), "{error:?}");
}

#[tokio::test]
async fn rules_about_requests_that_come_later_are_refused_and_if_not_nothing_is_served() {
    let log = ServerLog::start(false);
    let server = start(Some(ACCESS)).await;
    let job = Job::new(&server);
    assert_eq!(put(&job, "a", "content").await, StatusCode::CREATED);
    write(server.data.path(), "rules.js", RESTORE);
    let refused = |line: &serde_json::Value| {
        line["error"].as_str().is_some_and(|error| error.contains("does not ask rules"))
    };
    log.line("rules that are refused", refused).await;
    assert_eq!(get(&job, "a").await.0, StatusCode::OK);
    // Past that: as if both had been exchanged in the same moment.
    let source = Source::Script { text: RESTORE.to_owned(), name: "restore.js".to_owned() };
    let rules = tokio::task::spawn_blocking(|| Rules::load(source, None).unwrap()).await.unwrap();
    server.rules().exchange(Some(Arc::clone(&rules)));
    let (status, body) = get(&job, "a").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("does not ask its rules"), "{body}");
    server.rules().exchange(None);
    assert_eq!(get(&job, "a").await.0, StatusCode::OK);
    // In the shadow they decide nothing.
    server.rules().set_shadow(Some(rules), 100).unwrap();
    assert_eq!(get(&job, "a").await.0, StatusCode::OK);
    // Beside a policy that asks them, the rules of the file are tried again.
    write(server.data.path(), "older.wasm", larder::BUILT_IN_POLICY);
    tenants::eventually(async || server.rules().decide_requests()).await;
}

#[tokio::test]
async fn it_does_not_take_the_place_of_a_policy_that_asks_rules_in_force() {
    let log = ServerLog::start(false);
    let data = TempDir::new().unwrap();
    let policy = write(data.path(), "policy.wasm", larder::BUILT_IN_POLICY);
    let rules = write(data.path(), "rules.js", RESTORE);
    let variables = [("LARDER_POLICY", policy.as_str()), ("LARDER_RULES", rules.as_str())];
    let server = TestServer::start_on(data, &variables).await;
    let job = Job::new(&server);
    job.save("k", b"content").await;
    write(server.data.path(), "policy.wasm", OLDER);
    let refused = |line: &serde_json::Value| {
        line["error"].as_str().is_some_and(|error| error.contains("does not ask them"))
    };
    log.line("a policy that is refused", refused).await;
    assert_eq!(job.look_up("k", &[]).await["ok"], false);
}

#[tokio::test]
async fn a_tenant_with_rules_about_requests_is_not_served_by_it() {
    let log = ServerLog::start(false);
    let data = TempDir::new().unwrap();
    let policy = write(data.path(), "older.wasm", OLDER);
    let rules = write(data.path(), "rules.js", RESTORE);
    tenants::write(data.path(), "plain", "");
    tenants::write(data.path(), "ruled", &format!("[rules]\nfile = \"{rules}\"\n"));
    let server = larder_tests::TenantServer::start_on(data, &[("LARDER_POLICY", policy.as_str())]).await;
    server.until("plain", "/health", StatusCode::OK).await;
    let refused = |line: &serde_json::Value| {
        line["tenant"] == "ruled"
            && line["error"].as_str().is_some_and(|error| error.contains("does not ask them"))
    };
    log.line("a tenant that is refused", refused).await;
    let policy = Path::new(&policy);
    std::fs::write(policy, larder::BUILT_IN_POLICY).unwrap();
    server.until_served("ruled").await;
    // Its rules are not those of `default`, and count all the same.
    std::fs::write(policy, OLDER).unwrap();
    let refused = |line: &serde_json::Value| {
        line["tenant"].is_null()
            && line["error"].as_str().is_some_and(|error| error.contains("does not ask them"))
    };
    log.line("a policy that is refused", refused).await;
}
