//! The management API of a running server: on its own listener, and on the main one where a key is set.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::path::Path;

use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{BUILT_IN_POLICY, versions::Version};
use larder_testing::certificates::Authority;
use larder_tests::{
    HOSTILE_POLICY, Job, Response, TenantServer, TestServer, tenants::eventually, tls::client_config, token,
    token_with,
};
use serde_json::{Value, json};

const KEY: &str = "the key of an administrator";
const WITH_KEY: [(&str, &str); 2] =
    [("MANAGEMENT_API_KEY", KEY), ("LARDER_MANAGEMENT_LISTEN", "127.0.0.1:0")];

/// Asks the API at an origin.
async fn ask(base: &str, method: &str, path: &str, key: Option<&str>, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(base, method, path, key, body.into_bytes()).await
}

/// The same with a body of any kind.
async fn send(base: &str, method: &str, path: &str, key: Option<&str>, body: Vec<u8>) -> Response {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut request = http::Request::builder().method(method).uri(format!("{base}{path}"));
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
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

/// The built-in policy as another component: with a custom section of this content.
fn variant(mark: u8) -> Vec<u8> {
    let mut component = BUILT_IN_POLICY.to_vec();
    component.extend([0, 3, 1, b'x', mark]);
    component
}

/// A request shows which policy is in force: the hostile one of the tests knows `/fine`.
#[tokio::test]
async fn a_policy_is_exchanged_rolled_back_and_left_to_the_configuration() {
    let server = TestServer::start(&[WITH_KEY[0], WITH_KEY[1], ("LARDER_THREADS", "1")]).await;
    let base = own_listener(&server);
    let is_hostile = async || server.get("/fine").await.status == 200;
    let built_in = get(&base, "/api/v1/policies").await;
    assert_eq!(
        (built_in["in_force"]["source"].clone(), built_in["previous"].clone(), built_in["chosen"].clone()),
        (json!("built in"), json!(null), json!(null))
    );
    let put = async |content: &[u8]| {
        send(&base, "POST", "/api/v1/policies/use?name=p.wasm", Some(KEY), content.to_vec()).await
    };
    for (content, why) in [
        (&b"half a comp"[..], "not a WebAssembly component"),
        (HOSTILE_POLICY, "does not keep to the protocol"),
    ] {
        let refused = put(content).await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains(why), "{}", refused.text());
        assert!(!is_hostile().await);
        assert_eq!(get(&base, "/api/v1/policies").await, built_in, "nothing has changed");
    }
    let nothing = send(&base, "POST", "/api/v1/policies/rollback", Some(KEY), Vec::new()).await;
    assert_eq!((nothing.status.as_u16(), nothing.json()["error"]["code"].clone()), (409, json!("conflict")));

    server.larder().exchange_policy(HOSTILE_POLICY.to_vec()).await.unwrap();
    assert!(is_hostile().await);
    let hostile = get(&base, "/api/v1/policies").await["in_force"].clone();
    assert_eq!(hostile["source"], "call");
    let used = put(&variant(1)).await;
    assert_eq!(used.status, 200, "{}", used.text());
    let used = used.json();
    assert_eq!(
        (used["name"].clone(), used["source"].clone(), used["digest"].clone()),
        (json!("p.wasm"), json!("chosen"), json!(Version::of(&variant(1), "").digest))
    );
    assert!(!is_hostile().await);
    let told = get(&base, "/api/v1/policies").await;
    assert_eq!(
        (told["in_force"].clone(), told["chosen"]["digest"].clone()),
        (used.clone(), used["digest"].clone())
    );
    assert_eq!(told["previous"]["digest"], hostile["digest"]);

    let back = send(&base, "POST", "/api/v1/policies/rollback", Some(KEY), Vec::new()).await;
    assert_eq!((back.status.as_u16(), back.json()["digest"].clone()), (200, hostile["digest"].clone()));
    assert!(is_hostile().await);
    let configured = send(&base, "DELETE", "/api/v1/policies/use", Some(KEY), Vec::new()).await;
    assert_eq!((configured.status.as_u16(), configured.json()["source"].clone()), (200, json!("built in")));
    assert!(!is_hostile().await);
    assert_eq!(get(&base, "/api/v1/policies").await["chosen"], json!(null));
}

#[tokio::test]
async fn rules_are_exchanged_rolled_back_and_put_in_the_shadow() {
    const ONLY_READ: &str = include_str!("../../examples/rules/pull-requests-read.js");
    let server = TestServer::start(&WITH_KEY).await;
    let base = own_listener(&server);
    let job = Job::with_token(&server, &token("1", &[("refs/pull/7/merge", 3), ("refs/heads/main", 1)]));
    let may_save =
        async |key: &str| job.call_about("CreateCacheEntry", key, json!({})).await.json()["ok"] == true;
    let change = async |method: &str, path: &str, content: &str| {
        send(&base, method, &format!("/api/v1/rules/{path}"), Some(KEY), content.into()).await
    };
    assert!(may_save("before").await);
    let used = change("POST", "use?name=only-read.js", ONLY_READ).await;
    assert_eq!(used.status, 200, "{}", used.text());
    assert!(!may_save("after").await);
    let told = get(&base, "/api/v1/rules/versions").await;
    assert_eq!(
        (told["in_force"].clone(), told["previous"]["name"].clone()),
        (used.json(), json!("no rules"))
    );
    for (content, why) in [
        ("export const access = {", "bad.js:1"),
        ("export const access = { admit() { throw new Error('never') } }", "bad.js failed its check"),
        ("export const other = {}", "`other` is none of access"),
    ] {
        let refused = change("POST", "use?name=bad.js", content).await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains(why), "{}", refused.text());
        assert_eq!(get(&base, "/api/v1/rules/versions").await, told, "nothing has changed");
    }
    assert!(!may_save("after-bad-ones").await);
    let key = json!({ "name": "deleter", "role": "delete" });
    let lower = ask(&base, "POST", "/api/v1/keys", Some(KEY), &key).await.json()["key"].clone();
    let denied = send(&base, "POST", "/api/v1/rules/rollback", lower.as_str(), Vec::new()).await;
    assert_eq!(denied.status, 403);
    assert!(!may_save("after-a-lower-key").await);
    assert_eq!(change("POST", "rollback", "").await.status, 200);
    assert!(may_save("rolled-back").await);

    assert_eq!(get(&base, "/api/v1/rules/shadow").await["in_force"], json!(null));
    let shadow = change("POST", "shadow?name=only-read.js", ONLY_READ).await;
    assert_eq!(shadow.status, 200, "{}", shadow.text());
    assert_eq!(get(&base, "/api/v1/rules").await["shadow"]["digest"], shadow.json()["digest"]);
    assert!(may_save("beside-the-shadow").await);
    assert_eq!(change("DELETE", "shadow", "").await.status, 200);
    assert_eq!(get(&base, "/api/v1/rules").await["shadow"], json!(null));
}

/// A tenant without a policy of its own follows the server's; what its file names is changed there.
#[tokio::test]
async fn a_tenants_versions_are_told_and_not_changed() {
    let server = TenantServer::start(&["acme"], &WITH_KEY).await;
    let base = own_listener(&server.server);
    server.until_served("acme").await;
    let used = send(&base, "POST", "/api/v1/policies/use?name=p.wasm", Some(KEY), variant(1)).await;
    assert_eq!(used.status, 200, "{}", used.text());
    let of_acme = get(&base, "/api/v1/policies?tenant=acme").await;
    assert_eq!(of_acme["in_force"]["digest"], used.json()["digest"]);
    assert_eq!(get(&base, "/api/v1/rules/versions?tenant=acme").await["in_force"], json!(null));
    for (method, path) in [
        ("POST", "use?name=r.js&tenant=acme"),
        ("POST", "rollback?tenant=acme"),
        ("DELETE", "use?tenant=acme"),
    ] {
        let refused =
            send(&base, method, &format!("/api/v1/rules/{path}"), Some(KEY), b"text".to_vec()).await;
        assert_eq!(refused.status, 501, "{path}: {}", refused.text());
        assert!(refused.text().contains("the configuration names"), "{}", refused.text());
    }
}

/// `gh` and Octokit follow the links of GitHub's routes as they are.
#[tokio::test]
async fn links_to_further_pages_lead_back_over_tls() {
    let authority = Authority::new();
    let pair = authority.issue("server", "127.0.0.1");
    let (certificate, key) = (pair.certificate.to_str().unwrap(), pair.key.to_str().unwrap());
    let tls = [
        ("LARDER_TLS_CERTIFICATE", certificate),
        ("LARDER_TLS_KEY", key),
        ("LARDER_MANAGEMENT_TLS_CERTIFICATE", certificate),
        ("LARDER_MANAGEMENT_TLS_KEY", key),
    ];
    let server = TestServer::start(&[WITH_KEY.as_slice(), &tls].concat()).await;
    let server = server.over_tls(client_config(Some(&authority), None));
    let job = Job::with_token(&server, &token_with("7", &json!({ "repository": "octo/hello" })));
    for entry in ["key-1", "key-2"] {
        job.save(entry, b"content").await;
    }
    for origin in [server.base.clone(), format!("https://{}", server.management_address().unwrap())] {
        let target = format!("{origin}/repos/octo/hello/actions/caches?per_page=1");
        let mut link = String::new();
        eventually(async || {
            let listed = server.send("GET", &target, &[("x-api-key", KEY)], "").await;
            listed.header("link").clone_into(&mut link);
            listed.status == 200
        })
        .await;
        assert!(link.starts_with(&format!("<{target}&page=2>; rel=\"next\"")), "{link}");
    }
}
