//! Rules of the operator about tokens, in a running server.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, time::Duration};

use http::StatusCode;
use larder::{
    StartError,
    rules::{Rules, Source},
};
use larder_tests::{
    BRANCH, Job, TenantServer, TestServer,
    tenants::{self, eventually},
    token, token_with,
};
use serde_json::json;
use tempfile::TempDir;

const PULL_REQUEST: &str = "refs/pull/7/merge";

const PULL_REQUESTS_ONLY_READ: &str = "
export const access = {
  admit({ scopes }) {
    const isPullRequest = scopes.some(({ name, write }) => write && name.startsWith('refs/pull/'));
    if (!isPullRequest) return { tag: 'default' };
    return { tag: 'scopes', val: scopes.map((scope) => ({ ...scope, write: false })) };
  },
};";

/// Refuses actors by name, and throws where the token says none.
const BY_ACTOR: &str = "
export const access = {
  admit({ claims }) {
    const actor = claims.find(([name]) => name === 'actor')[1];
    if (actor === 'spin') for (;;);
    return actor === 'mallory' ? { tag: 'deny', val: 'mallory may not use the cache' } : { tag: 'default' };
  },
};";

async fn server(rules: &str, settings: &str) -> TestServer {
    let data = TempDir::new().unwrap();
    let file = data.path().join("rules.js");
    fs::write(&file, rules).unwrap();
    fs::write(data.path().join("larder.toml"), format!("[server]\nshutdown_ms = 1000\n{settings}")).unwrap();
    TestServer::start_on(data, &[("LARDER_RULES", file.to_str().unwrap())]).await
}

fn of_actor(actor: &str) -> String {
    token_with("1", &json!({ "actor": actor }))
}

/// Tries to save, in vain, and returns what the client is told.
async fn refusal(job: &Job<'_>, key: &str) -> String {
    let response = job.call_about("CreateCacheEntry", key, json!({})).await;
    // In the words of the protocol, with which the client only warns.
    assert_eq!(response.status, StatusCode::OK, "{}", response.text());
    let response = response.json();
    assert_eq!(response["ok"], false, "{response}");
    response["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn pull_requests_only_read() {
    let server = server(PULL_REQUESTS_ONLY_READ, "").await;
    let main = Job::new(&server);
    main.save("deps", b"of main").await;
    let pull_request = token("1", &[(PULL_REQUEST, 3), (BRANCH, 1)]);
    let pull_request = Job::with_token(&server, &pull_request);
    assert_eq!(pull_request.restore("deps").await, "of main");
    for _ in 0..2 {
        let told = refusal(&pull_request, "mine").await;
        assert!(told.starts_with("cache write denied"), "{told}");
    }
    main.save("others", b"of main").await;
}

#[tokio::test]
async fn a_token_that_is_denied_reads_and_saves_nothing_and_is_told_why() {
    let server = server(BY_ACTOR, "").await;
    let (good, denied) = (of_actor("octocat"), of_actor("mallory"));
    Job::with_token(&server, &good).save("k", b"bytes").await;
    let denied = Job::with_token(&server, &denied);
    // The second time from the cache of tokens.
    for _ in 0..2 {
        assert_eq!(refusal(&denied, "mine").await, "cache write denied: mallory may not use the cache");
        let message = json!({ "restore_keys": [] });
        let refused = denied.call_about("GetCacheEntryDownloadURL", "k", message).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    }
}

#[tokio::test]
async fn rules_that_fail_refuse_unless_the_operator_wants_the_decision_without_them() {
    let nobody = token("1", &[(BRANCH, 3)]);
    let server_that_refuses = server(BY_ACTOR, "").await;
    for token in [&nobody, &of_actor("spin")] {
        // What the rule says is the operator's to read.
        let told = refusal(&Job::with_token(&server_that_refuses, token), "k").await;
        assert_eq!(told, "cache write denied: the rules of this server failed");
    }
    Job::with_token(&server_that_refuses, &of_actor("octocat")).save("k", b"bytes").await;
    let server = server(BY_ACTOR, "[rules]\non_failure = { access = \"builtin\" }\n").await;
    Job::with_token(&server, &nobody).save("k", b"bytes").await;
}

#[tokio::test]
async fn a_token_that_is_known_is_asked_about_again_when_rules_are_exchanged() {
    let server = server(BY_ACTOR, "").await;
    let token = of_actor("octocat");
    let job = Job::with_token(&server, &token);
    job.save("k", b"bytes").await;
    let source = Source::Script { text: BY_ACTOR.replace("mallory", "octocat"), name: "rules.js".to_owned() };
    let others = Rules::load(source, Some(&server.data.path().join("compiled"))).unwrap();
    let before = server.rules().exchange(Some(others));
    assert_eq!(refusal(&job, "mine").await, "cache write denied: octocat may not use the cache");
    server.rules().exchange(before);
    job.save("mine", b"bytes").await;
    server.rules().exchange(None);
    job.save("more", b"bytes").await;
}

#[tokio::test]
async fn a_tenant_has_rules_of_its_own_which_follow_their_file() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("acme.js");
    let deny = |reason: &str| {
        format!("export const access = {{ admit: () => ({{ tag: 'deny', val: '{reason}' }}) }};")
    };
    let write = |text: &str| {
        let draft = file.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, &file).unwrap();
    };
    write(&deny("of acme"));
    tenants::write(data.path(), "acme", &format!("[rules]\nfile = \"{}\"\n", file.display()));
    tenants::write(data.path(), "umbrella", "");
    let server = TenantServer::start_on(data, &[]).await;
    let acme = server.job("acme");
    assert_eq!(refusal(&acme, "k").await, "cache write denied: of acme");
    server.job("umbrella").save("k", b"bytes").await;
    write(&deny("otherwise"));
    eventually(async || refusal(&acme, "k").await == "cache write denied: otherwise").await;
    // What cannot be loaded changes nothing.
    write("export const access = {");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(refusal(&acme, "k").await, "cache write denied: otherwise");
}

#[tokio::test]
async fn rules_that_cannot_be_loaded_keep_the_server_from_starting() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("rules.js");
    fs::write(data.path().join("larder.toml"), "").unwrap();
    fs::write(&file, "export const access = { admit( };").unwrap();
    let error = TestServer::start_error(&data, &[("LARDER_RULES", file.to_str().unwrap())]).await;
    assert!(matches!(error, StartError::Rules { .. }), "{error:?}");
    fs::remove_file(&file).unwrap();
    let error = TestServer::start_error(&data, &[("LARDER_RULES", file.to_str().unwrap())]).await;
    assert!(matches!(error, StartError::Path { .. }), "{error:?}");
}
