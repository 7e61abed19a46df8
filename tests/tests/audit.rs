//! The audit log: each change by the management API, or by the platform's webhook, writes one line that says who
//! changed what of how many, and no secret. What is refused, or changes nothing, writes none.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use aws_lc_rs::hmac;
use larder::{
    BUILT_IN_POLICY,
    telemetry::{LogFormat, start_logging_to},
};
use larder_tests::{Job, Response, SECRET, TestServer, tenants, tenants::eventually, token_with};
use serde_json::{Value, json};
use tempfile::TempDir;

const MASTER: &str = "the key of an administrator";
const WEBHOOKS: &str = "the secret of the platform's webhooks";
const ONLY_READ: &str = include_str!("../../examples/rules/pull-requests-read.js");

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The audit lines: key, role, tenant, action, what, and how many.
    fn audit(&self) -> Vec<String> {
        let text = self.text();
        // The last line may be incomplete.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let audit = lines.filter(|line| line["target"] == "larder::audit");
        let names = ["key", "role", "tenant", "action", "what", "count"];
        audit.map(|line| names.map(|name| word(&line, name)).join(" | ")).collect()
    }
}

fn word(line: &Value, name: &str) -> String {
    match &line[name] {
        Value::String(text) => text.clone(),
        Value::Null => panic!("no {name}: {line}"),
        other => other.to_string(),
    }
}

/// A request, and the line that it leaves: without the key's name and role, which are those of the caller.
struct Step<'a> {
    key: &'a str,
    method: &'a str,
    path: String,
    body: Vec<u8>,
    status: u16,
    line: Option<&'a str>,
}

fn step<'a>(key: &'a str, method: &'a str, path: &str, status: u16, line: &'a str) -> Step<'a> {
    Step {
        key,
        method,
        path: path.to_owned(),
        body: Vec::new(),
        status,
        line: Some(line).filter(|line| !line.is_empty()),
    }
}

fn with_body<'a>(step: Step<'a>, body: impl Into<Vec<u8>>) -> Step<'a> {
    Step { body: body.into(), ..step }
}

async fn send(server: &TestServer, key: &str, step: &Step<'_>) -> Response {
    let url = format!("http://{}{}", server.management_address().unwrap(), step.path);
    let headers = [("x-api-key", key), ("content-type", "application/json")];
    server.send(step.method, &url, &headers, step.body.clone()).await
}

async fn ids(server: &TestServer, query: &str) -> Vec<u64> {
    let listed =
        send(server, MASTER, &step("", "GET", &format!("/api/v1/entries?{query}"), 200, "")).await.json();
    listed["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap()).collect()
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
        let usage = step("", "GET", "/repos/octo/hello/actions/cache/usage", 200, "");
        send(server, MASTER, &usage).await.status == 200
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
    let log = Log::default();
    let _guard = start_logging_to(LogFormat::Json, None, false, log.clone()).unwrap();
    let server = start().await;
    fill(&server).await;
    let all = ids(&server, "sort=created_at&order=asc").await;
    let of_acme = ids(&server, "tenant=acme").await[0];
    let id = |at: usize| all[at];
    let make = |name: &str, role: &str, tenant: Value| {
        let body = json!({ "name": name, "role": role, "tenant": tenant }).to_string();
        with_body(step("master", "POST", "/api/v1/keys", 201, ""), body)
    };
    let mut keys = vec![("master".to_owned(), MASTER.to_owned())];
    let mut expected = Vec::new();
    for (name, role, tenant) in [
        ("looker", "read", json!(null)),
        ("cleaner", "delete", json!(null)),
        ("acmes", "delete", json!("acme")),
    ] {
        let made = send(&server, MASTER, &make(name, role, tenant.clone())).await;
        assert_eq!(made.status, 201, "{}", made.text());
        keys.push((name.to_owned(), made.json()["key"].as_str().unwrap().to_owned()));
        let tenant = tenant.as_str().unwrap_or("all").to_owned();
        expected.push(format!(
            "MANAGEMENT_API_KEY | admin | {tenant} | add | key {name} with the role {role} | 1"
        ));
    }
    let bad = "export const access = {";
    let steps = vec![
        // One of them, by each surface.
        step(
            "cleaner",
            "DELETE",
            &format!("/api/v1/entries/{}", id(0)),
            204,
            "default | delete | entry {0} | 1",
        ),
        step("cleaner", "DELETE", &format!("/api/v1/entries/{}", id(0)), 404, ""),
        step(
            "cleaner",
            "DELETE",
            &format!("/repos/octo/hello/actions/caches/{}", id(1)),
            204,
            "default | delete | entry {1} | 1",
        ),
        step(
            "cleaner",
            "DELETE",
            &format!("/management-api/cache-entries/{}", id(2)),
            200,
            "default | delete | entry {2} | 1",
        ),
        step("cleaner", "DELETE", &format!("/management-api/cache-entries/{}", id(2)), 200, ""),
        with_body(
            step(
                "cleaner",
                "POST",
                "/management-api/_rpc/cacheEntries/delete",
                200,
                "default | delete | entry {3} | 1",
            ),
            json!({ "json": { "id": id(3).to_string() } }).to_string(),
        ),
        step(
            "acmes",
            "DELETE",
            &format!("/api/v1/entries/{of_acme}"),
            204,
            "acme | delete | entry {acme} | 1",
        ),
        // By key.
        step(
            "cleaner",
            "DELETE",
            "/repos/octo/hello/actions/caches?key=k-4",
            200,
            "default | delete | entries with repository=7 key=k-4 | 1",
        ),
        step("cleaner", "DELETE", "/repos/octo/hello/actions/caches?key=k-4", 404, ""),
        step("cleaner", "DELETE", "/api/v1/entries?key_prefix=k-5&dry_run=true", 200, ""),
        step(
            "cleaner",
            "DELETE",
            "/api/v1/entries?key_prefix=k-5",
            200,
            "default | delete | entries with key_prefix=k-5 | 1",
        ),
        step("cleaner", "DELETE", "/management-api/cache-entries/?repoId=8", 200, ""),
        step("cleaner", "DELETE", "/management-api/cache-entries/", 400, ""),
        // By who saved it.
        step("cleaner", "DELETE", "/api/v1/runs/96?dry_run=true", 200, ""),
        step("cleaner", "DELETE", "/api/v1/runs/96", 200, "default | revoke | run_id=96 | 1"),
        step("cleaner", "DELETE", "/api/v1/runs/96", 200, ""),
        step("cleaner", "DELETE", "/api/v1/actors/who-7", 200, "default | revoke | actor=who-7 | 1"),
        with_body(
            step("cleaner", "POST", "/api/v1/revocations", 200, "default | quarantine | run_id=98 | 1"),
            json!({ "run": "98", "action": "quarantine" }).to_string(),
        ),
        with_body(
            step("cleaner", "POST", "/api/v1/revocations", 200, "default | release | run_id=98 | 1"),
            json!({ "run": "98", "action": "release" }).to_string(),
        ),
        step(
            "cleaner",
            "POST",
            &format!("/api/v1/entries/{}/quarantine", id(9)),
            204,
            "default | quarantine | entry {9} | 1",
        ),
        step("cleaner", "POST", &format!("/api/v1/entries/{}/quarantine", id(9)), 204, ""),
        step(
            "cleaner",
            "DELETE",
            &format!("/api/v1/entries/{}/quarantine", id(9)),
            204,
            "default | release | entry {9} | 1",
        ),
        // Refused.
        step("looker", "DELETE", &format!("/api/v1/entries/{}", id(9)), 403, ""),
        step("acmes", "DELETE", &format!("/api/v1/entries/{}?tenant=default", id(9)), 403, ""),
        step("cleaner", "POST", "/api/v1/sweep", 403, ""),
        step("nobody", "DELETE", "/api/v1/entries?all=true", 401, ""),
        // Policy, rules and the shadow.
        with_body(
            step("master", "POST", "/api/v1/rules/use?name=r.js", 200, "default | use | rules * r.js | 1"),
            ONLY_READ,
        ),
        with_body(step("master", "POST", "/api/v1/rules/use?name=bad.js", 422, ""), bad),
        with_body(step("cleaner", "POST", "/api/v1/rules/use?name=r.js", 403, ""), ONLY_READ),
        step("master", "POST", "/api/v1/rules/rollback", 200, "default | roll back | rules * no rules | 1"),
        step(
            "master",
            "DELETE",
            "/api/v1/rules/use",
            200,
            "default | use the configured | rules * no rules | 1",
        ),
        with_body(
            step(
                "master",
                "POST",
                "/api/v1/rules/shadow?name=s.js",
                200,
                "default | use | rules in the shadow * s.js | 1",
            ),
            ONLY_READ,
        ),
        step(
            "master",
            "DELETE",
            "/api/v1/rules/shadow",
            200,
            "default | use | rules in the shadow * no rules | 1",
        ),
        step("master", "POST", "/api/v1/rules/rollback?tenant=acme", 501, ""),
        step("master", "POST", "/api/v1/policies/rollback", 409, ""),
        with_body(step("master", "POST", "/api/v1/policies/use?name=p.wasm", 422, ""), "half a comp"),
        with_body(
            step(
                "master",
                "POST",
                "/api/v1/policies/use?name=p.wasm",
                200,
                "default | use | policy * larder.wasm | 1",
            ),
            BUILT_IN_POLICY,
        ),
        step(
            "master",
            "DELETE",
            "/api/v1/policies/use",
            200,
            "default | use the configured | policy * larder.wasm | 1",
        ),
        // Upkeep.
        step("master", "POST", "/api/v1/sweep", 200, "all | sweep | all tenants | 1"),
        step("cleaner", "DELETE", "/api/v1/scrub", 200, ""),
        with_body(
            step("cleaner", "POST", "/api/v1/scrub", 202, "default | scrub and repair | all entries | 1"),
            json!({ "repair": true }).to_string(),
        ),
        // Keys.
        make("looker", "read", json!(null)),
        step("master", "DELETE", "/api/v1/keys/acmes", 204, "acme | remove | key acmes | 1"),
        step("master", "DELETE", "/api/v1/keys/acmes", 404, ""),
        step("acmes", "DELETE", "/api/v1/entries?all=true", 401, ""),
    ];
    for step in steps {
        let secret =
            keys.iter().find(|(name, _)| name == step.key).map_or("no key", |(_, secret)| secret.as_str());
        let answer = send(&server, secret, &step).await;
        let status = if step.path == "/api/v1/keys" { 409 } else { step.status };
        assert_eq!(answer.status.as_u16(), status, "{} {}: {}", step.method, step.path, answer.text());
        let Some(line) = step.line else { continue };
        let (name, role) = match step.key {
            "master" => ("MANAGEMENT_API_KEY", "admin"),
            other => (other, "delete"),
        };
        let mut line = line.replace("{acme}", &of_acme.to_string());
        for at in 0..10 {
            line = line.replace(&format!("{{{at}}}"), &id(at).to_string());
        }
        if line.contains('*') {
            let digest = answer.json()["digest"].as_str().unwrap_or_default().to_owned();
            line = line.replace('*', digest.get(..12).unwrap_or_default());
        }
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
    let last = send(&server, MASTER, &step("", "DELETE", "/api/v1/keys/cleaner", 204, "")).await;
    assert_eq!(last.status, 204);
    expected.push("MANAGEMENT_API_KEY | admin | all | remove | key cleaner | 1".to_owned());
    eventually(async || log.audit().last() == expected.last()).await;
    let found = log.audit();
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "line {at}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    let text = log.text();
    let secrets = keys.iter().map(|(_, secret)| secret.as_str()).chain([WEBHOOKS, SECRET]);
    for secret in secrets {
        assert!(!text.contains(secret), "a secret is in the log: {secret}");
    }
}
