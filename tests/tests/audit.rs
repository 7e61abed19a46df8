//! The audit log: each change by the management API, or by the platform's webhook, writes one line that says who
//! changed what of how many, and no secret. What is refused, or changes nothing, writes none.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use aws_lc_rs::hmac;
use larder::BUILT_IN_POLICY;
use larder_tests::{Job, Response, SECRET, ServerLog, TestServer, tenants, tenants::eventually, token_with};
use serde_json::{Value, json};
use tempfile::TempDir;

const MASTER: &str = "the key of an administrator";
const WEBHOOKS: &str = "the secret of the platform's webhooks";
const ONLY_READ: &str = include_str!("../../examples/rules/pull-requests-read.js");

/// The audit lines: key, role, tenant, action, what, and how many.
fn audit(log: &ServerLog) -> Vec<String> {
    let lines = log.lines().into_iter().filter(|line| line["target"] == "larder::audit");
    let names = ["key", "role", "tenant", "action", "what", "count"];
    lines.map(|line| names.map(|name| word(&line, name)).join(" | ")).collect()
}

fn word(line: &Value, name: &str) -> String {
    match &line[name] {
        Value::String(text) => text.clone(),
        Value::Null => panic!("no {name}: {line}"),
        other => other.to_string(),
    }
}

/// Keys that the test makes: name, role and tenant.
const KEYS: [(&str, &str, Option<&str>); 3] =
    [("looker", "read", None), ("cleaner", "delete", None), ("acmes", "delete", Some("acme"))];

/// In place of the built-in policy as a body.
const THE_POLICY: &str = "the built-in policy";

/// Who asks what, the body, the status, and the line that it leaves: without the key's name and role. `{N}` is the
/// number of the entry `k-N`, and `*` what is seen of a digest.
#[rustfmt::skip]
const STEPS: [(&str, &str, u16, &str); 45] = [
    // One of them, by each surface.
    ("cleaner DELETE /api/v1/entries/{0}", "", 204, "default | delete | entry {0} | 1"),
    ("cleaner DELETE /api/v1/entries/{0}", "", 404, ""),
    ("cleaner DELETE /repos/octo/hello/actions/caches/{1}", "", 204, "default | delete | entry {1} | 1"),
    ("cleaner DELETE /management-api/cache-entries/{2}", "", 200, "default | delete | entry {2} | 1"),
    ("cleaner DELETE /management-api/cache-entries/{2}", "", 200, ""),
    ("cleaner POST /management-api/_rpc/cacheEntries/delete", r#"{"json":{"id":"{3}"}}"#, 200,
        "default | delete | entry {3} | 1"),
    ("acmes DELETE /api/v1/entries/{acme}", "", 204, "acme | delete | entry {acme} | 1"),
    // By key.
    ("cleaner DELETE /repos/octo/hello/actions/caches?key=k-4", "", 200,
        "default | delete | entries with repository=7 key=k-4 | 1"),
    ("cleaner DELETE /repos/octo/hello/actions/caches?key=k-4", "", 404, ""),
    ("cleaner DELETE /api/v1/entries?key_prefix=k-5&dry_run=true", "", 200, ""),
    ("cleaner DELETE /api/v1/entries?key_prefix=k-5", "", 200, "default | delete | entries with key_prefix=k-5 | 1"),
    ("cleaner DELETE /management-api/cache-entries/?repoId=8", "", 200, ""),
    ("cleaner DELETE /management-api/cache-entries/", "", 400, ""),
    // By who saved it.
    ("cleaner DELETE /api/v1/runs/96?dry_run=true", "", 200, ""),
    ("cleaner DELETE /api/v1/runs/96", "", 200, "default | revoke | run_id=96 | 1"),
    ("cleaner DELETE /api/v1/runs/96", "", 200, ""),
    ("cleaner DELETE /api/v1/actors/who-7", "", 200, "default | revoke | actor=who-7 | 1"),
    ("cleaner POST /api/v1/revocations", r#"{"run":"98","action":"quarantine"}"#, 200, "default | quarantine | run_id=98 | 1"),
    ("cleaner POST /api/v1/revocations", r#"{"run":"98","action":"release"}"#, 200, "default | release | run_id=98 | 1"),
    ("cleaner POST /api/v1/entries/{9}/quarantine", "", 204, "default | quarantine | entry {9} | 1"),
    ("cleaner POST /api/v1/entries/{9}/quarantine", "", 204, ""),
    ("cleaner DELETE /api/v1/entries/{9}/quarantine", "", 204, "default | release | entry {9} | 1"),
    // Refused.
    ("looker DELETE /api/v1/entries/{9}", "", 403, ""),
    ("acmes DELETE /api/v1/entries/{9}?tenant=default", "", 403, ""),
    ("cleaner POST /api/v1/sweep", "", 403, ""),
    ("nobody DELETE /api/v1/entries?all=true", "", 401, ""),
    // Policy, rules and the shadow.
    ("master POST /api/v1/rules/use?name=r.js", ONLY_READ, 200, "default | use | rules * r.js | 1"),
    ("master POST /api/v1/rules/use?name=bad.js", "export const access = {", 422, ""),
    ("cleaner POST /api/v1/rules/use?name=r.js", ONLY_READ, 403, ""),
    ("master POST /api/v1/rules/rollback", "", 200, "default | roll back | rules * no rules | 1"),
    ("master DELETE /api/v1/rules/use", "", 200, "default | use the configured | rules * no rules | 1"),
    ("master POST /api/v1/rules/shadow?name=s.js", ONLY_READ, 200, "default | use | rules in the shadow * s.js | 1"),
    ("master DELETE /api/v1/rules/shadow", "", 200, "default | use | rules in the shadow * no rules | 1"),
    ("master POST /api/v1/rules/rollback?tenant=acme", "", 501, ""),
    ("master POST /api/v1/policies/rollback", "", 409, ""),
    ("master POST /api/v1/policies/use?name=p.wasm", "half a comp", 422, ""),
    // The one that serves keeps its name.
    ("master POST /api/v1/policies/use?name=p.wasm", THE_POLICY, 200, "default | use | policy * larder.wasm | 1"),
    ("master DELETE /api/v1/policies/use", "", 200, "default | use the configured | policy * larder.wasm | 1"),
    // Upkeep.
    ("master POST /api/v1/sweep", "", 200, "all | sweep | all tenants | 1"),
    ("cleaner DELETE /api/v1/scrub", "", 200, ""),
    ("cleaner POST /api/v1/scrub", r#"{"repair":true}"#, 202, "default | scrub and repair | all entries | 1"),
    // Keys.
    ("master POST /api/v1/keys", r#"{"name":"looker","role":"read"}"#, 409, ""),
    ("master DELETE /api/v1/keys/acmes", "", 204, "acme | remove | key acmes | 1"),
    ("master DELETE /api/v1/keys/acmes", "", 404, ""),
    ("acmes DELETE /api/v1/entries?all=true", "", 401, ""),
];

async fn send(server: &TestServer, key: &str, (method, path): (&str, &str), body: &[u8]) -> Response {
    let url = format!("http://{}{path}", server.management_address().unwrap());
    let headers = [("x-api-key", key), ("content-type", "application/json")];
    server.send(method, &url, &headers, body.to_owned()).await
}

/// The numbers of entries, by what stands for them in a step.
async fn numbers(server: &TestServer) -> Vec<(String, String)> {
    let mut numbers = Vec::new();
    for query in ["order=asc&sort=created_at", "tenant=acme"] {
        let listed = send(server, MASTER, ("GET", &format!("/api/v1/entries?{query}")), b"").await.json();
        for entry in listed["entries"].as_array().unwrap() {
            let key = entry["key"].as_str().unwrap();
            let name = key.strip_prefix("k-").unwrap_or("acme");
            numbers.push((format!("{{{name}}}"), entry["id"].to_string()));
        }
    }
    numbers
}

fn filled(text: &str, numbers: &[(String, String)]) -> String {
    numbers.iter().fold(text.to_owned(), |text, (name, number)| text.replace(name, number))
}

/// Makes the keys. Returns them by name, with the role, and adds their lines.
async fn make_keys(
    server: &TestServer,
    expected: &mut Vec<String>,
) -> Vec<(&'static str, &'static str, String)> {
    let mut keys = vec![("master", "admin", MASTER.to_owned())];
    for (name, role, tenant) in KEYS {
        let body = json!({ "name": name, "role": role, "tenant": tenant }).to_string();
        let made = send(server, MASTER, ("POST", "/api/v1/keys"), body.as_bytes()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        keys.push((name, role, made.json()["key"].as_str().unwrap().to_owned()));
        let tenant = tenant.unwrap_or("all");
        expected.push(format!(
            "MANAGEMENT_API_KEY | admin | {tenant} | add | key {name} with the role {role} | 1"
        ));
    }
    keys
}

async fn start() -> TestServer {
    let data = TempDir::new().unwrap();
    tenants::write(data.path(), "acme", "");
    let text = format!(
        "[server]\nshutdown_ms = 1000\n[webhooks]\nsecret = \"{WEBHOOKS}\"\n[tenants]\nhosts = [\"127.0.0.1\"]\n"
    );
    std::fs::write(data.path().join("larder.toml"), text).unwrap();
    let tenants = data.path().join("tenants.d");
    let variables = [
        ("MANAGEMENT_API_KEY", MASTER),
        ("LARDER_MANAGEMENT_LISTEN", "127.0.0.1:0"),
        ("LARDER_TENANTS_DIR", tenants.to_str().unwrap()),
    ];
    TestServer::start_on(data, &variables).await
}

/// Entries `k-0` to `k-9` of repository 7, each of a run of its own, and one of tenant `acme`.
async fn fill(server: &TestServer) {
    for number in 0..10 {
        let facts = json!({ "repository": "octo/hello", "run_id": format!("9{number}"), "actor": format!("who-{number}") });
        Job::with_token(server, &token_with("7", &facts)).save(&format!("k-{number}"), b"content").await;
    }
    eventually(async || {
        send(server, MASTER, ("GET", "/repos/octo/hello/actions/cache/usage"), b"").await.status == 200
    })
    .await;
    let acme = Job::at(server, &tenants::host_of("acme"), &tenants::secret_of("acme"));
    eventually(async || acme.probe().await == 200).await;
    acme.save("of-acme", b"content").await;
}

async fn webhook(server: &TestServer, body: &str) -> Response {
    let key = hmac::Key::new(hmac::HMAC_SHA256, WEBHOOKS.as_bytes());
    let signature: String =
        hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = [("x-hub-signature-256", &*format!("sha256={signature}")), ("x-github-event", "delete")];
    server.send("POST", "/_larder/webhooks/github", &headers, body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_leaves_one_line_with_who_and_what_and_how_many() {
    let log = ServerLog::start(false);
    let server = start().await;
    fill(&server).await;
    let numbers = numbers(&server).await;
    let mut expected = Vec::new();
    let keys = make_keys(&server, &mut expected).await;
    for (request, body, status, line) in STEPS {
        let request = filled(request, &numbers);
        let [key, method, path] = request.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let known = keys.iter().find(|(name, ..)| *name == key);
        let (role, secret) = known.map_or(("none", "no key"), |(_, role, secret)| (*role, secret.as_str()));
        let body =
            if body == THE_POLICY { BUILT_IN_POLICY.to_vec() } else { filled(body, &numbers).into_bytes() };
        let answer = send(&server, secret, (method, path), &body).await;
        assert_eq!(answer.status.as_u16(), status, "{request}: {}", answer.text());
        if line.is_empty() {
            continue;
        }
        let mut line = filled(line, &numbers);
        if line.contains('*') {
            line = line.replace('*', &answer.json()["digest"].as_str().unwrap()[..12]);
        }
        let name = if key == "master" { "MANAGEMENT_API_KEY" } else { key };
        expected.push(format!("{name} | {role} | {line}"));
    }
    let ended =
        json!({ "ref": "main", "ref_type": "branch", "repository": { "id": 7, "full_name": "octo/hello" } });
    for count in ["2", "none"] {
        let answer = webhook(&server, &ended.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        if count != "none" {
            let what = "end | scope refs/heads/main of octo/hello";
            expected.push(format!("webhooks.secret | webhook | default | {what} | {count}"));
        }
    }
    // The last line is there once all before it are.
    let last = send(&server, MASTER, ("DELETE", "/api/v1/keys/cleaner"), b"").await;
    assert_eq!(last.status, 204);
    expected.push("MANAGEMENT_API_KEY | admin | all | remove | key cleaner | 1".to_owned());
    eventually(async || audit(&log).last() == expected.last()).await;
    let found = audit(&log);
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "line {at}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    let text = log.text();
    let secrets = keys.iter().map(|(.., secret)| secret.as_str()).chain([WEBHOOKS, SECRET]);
    for secret in secrets {
        assert!(!text.contains(secret), "a secret is in the log: {secret}");
    }
}
