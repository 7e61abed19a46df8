//! Rules of the operator about tokens, in a running server.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, time::Duration};

use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{
    StartError,
    rules::{Interface, Rules, ShadowStatus, Source},
    versions::Versions,
};
use larder_tests::{
    BRANCH, Job, TenantServer, TestServer,
    tenants::{self, eventually},
    token, token_with,
};
use serde_json::{Value, json};
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

/// Rules that trap, spin, and answer what they may not, by repository.
const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile-rules.wasm"));

/// What the rules in the shadow were asked, once none of it waits.
async fn settled(server: &TestServer) -> ShadowStatus {
    let mut settled = None;
    eventually(async || {
        settled = server.rules().shadow_status();
        settled.as_ref().is_some_and(|status| status.answered + status.dropped == status.offered)
    })
    .await;
    settled.unwrap()
}

#[tokio::test]
async fn whatever_rules_in_the_shadow_do_requests_are_answered_as_without_them() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("hostile.wasm");
    fs::write(&file, HOSTILE).unwrap();
    let server = TestServer::start_on(data, &[("LARDER_RULES_SHADOW", file.to_str().unwrap())]).await;
    eventually(async || server.rules().shadow().is_some()).await;
    let healthy = Job::new(&server);
    for (turn, repository) in
        ["trap", "spin", "foreign-scope", "a-million-scopes", "no-reason"].iter().enumerate()
    {
        let key = format!("k-{turn}");
        healthy.save(&key, b"of the healthy one").await;
        // Each with a token of its own, so that each is a question; the breaker opens meanwhile.
        for actor in ["a", "b", "c", "d"] {
            let asking = token_with(repository, &json!({ "actor": actor }));
            let other = Job::with_token(&server, &asking);
            other.save(&format!("{key}-{actor}"), b"of the other").await;
            assert_eq!(other.restore(&format!("{key}-{actor}")).await, "of the other");
        }
        assert_eq!(healthy.restore(&key).await, "of the healthy one");
    }
    let status = settled(&server).await;
    let access = status.rules.interfaces.iter().find(|of| of.interface == Interface::Access).unwrap();
    assert!(access.failed >= 7, "{status:?}");
    let failed = status.differences.iter().find(|kind| kind.shadow == "failed").unwrap();
    assert_eq!((failed.interface, failed.active.as_str()), (Interface::Access, "default"));
    assert_eq!(failed.count, 20, "{status:?}");
    assert!(status.examples.iter().any(|example| example.repository == "no-reason"));
}

#[tokio::test]
async fn the_shadow_follows_its_file_and_what_was_chosen_and_is_reported_beside_the_data() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("shadow.js");
    // A file that cannot be loaded keeps nobody from starting.
    fs::write(&file, "export const access = {").unwrap();
    let server = TestServer::start_on(data, &[("LARDER_RULES_SHADOW", file.to_str().unwrap())]).await;
    let job = Job::new(&server);
    job.save("k", b"bytes").await;
    let draft = file.with_extension("draft");
    fs::write(&draft, "export const access = { admit: () => ({ tag: 'deny', val: 'nobody' }) };").unwrap();
    fs::rename(draft, &file).unwrap();
    eventually(async || server.rules().shadow().is_some()).await;
    assert_eq!(job.restore("k").await, "bytes");
    let report = server.data.path().join("rules/shadow/report.json");
    let reported =
        || serde_json::from_slice::<Value>(&fs::read(&report).unwrap_or_default()).unwrap_or_default();
    eventually(async || reported()["shadow"]["differ"].as_u64().is_some_and(|count| count > 0)).await;
    let report = reported();
    assert_eq!(report["shadow"]["differences"][0]["shadow"], "deny", "{report}");
    assert_eq!(
        (&report["shadow"]["examples"][0]["text"], &report["active"]),
        (&json!("nobody"), &Value::Null)
    );
    // What is chosen goes before the file, and nothing may be chosen, too.
    let versions = Versions::of_shadow_rules(server.data.path());
    versions.choose(&versions.store(b"", "no rules").unwrap()).unwrap();
    eventually(async || server.rules().shadow().is_none()).await;
}

#[tokio::test]
async fn a_tenant_has_a_shadow_of_its_own() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("acme.js");
    fs::write(&file, BY_ACTOR).unwrap();
    tenants::write(data.path(), "acme", &format!("[rules]\nshadow = \"{}\"\n", file.display()));
    tenants::write(data.path(), "umbrella", "");
    let key = "the key of an administrator";
    let variables = [("MANAGEMENT_API_KEY", key), ("LARDER_MANAGEMENT_LISTEN", "127.0.0.1:0")];
    let server = TenantServer::start_on(data, &variables).await;
    server.job("acme").save("k", b"bytes").await;
    server.job("umbrella").save("k", b"bytes").await;
    let base = format!("http://{}", server.server.management_address().unwrap());
    let rules_of = async |name: &str| {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = http::Request::get(format!("{base}/api/v1/rules?tenant={name}"))
            .header("authorization", format!("Bearer {key}"));
        let response = client.request(request.body(String::new()).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    // Tokens of these tests name no actor, so the rules throw.
    eventually(async || rules_of("acme").await["shadow"]["differences"][0]["shadow"] == "failed").await;
    assert_eq!(rules_of("umbrella").await, json!({ "active": null, "shadow": null }));
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
