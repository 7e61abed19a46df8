//! Rules of the operator about what is restored and saved, in a running server: in Rust and in
//! JavaScript, those that misbehave, too.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf};

use http::StatusCode;
use larder_tests::{Job, TestServer, token_with};
use serde_json::json;
use tempfile::TempDir;

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile-rules.wasm"));
const KINDS: [&str; 3] = ["trap", "spin", "memory"];
const BUILTIN: &str = "[rules]\non_failure = { restore = \"builtin\", save = \"builtin\" }\n";

/// As the hostile component, in JavaScript.
const HOSTILE_SCRIPT: &str = "
const hostile = (how) => {
  if (how === 'trap') throw new Error('on purpose');
  if (how === 'spin') for (;;);
  if (how === 'memory') for (let all = [];;) all.push(new Uint8Array(1 << 20));
};
export const restore = {
  judgeHit(caller, { key }) {
    if (key.startsWith('restore-')) hostile(key.slice(8));
    return { tag: 'accept' };
  },
};
export const save = {
  judgeSave(caller, key) {
    hostile(key);
    return { tag: 'default' };
  },
};";

fn example(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/rules");
    fs::read(folder.join(name)).unwrap()
}

async fn server(rules: &[u8], settings: &str) -> TestServer {
    let data = TempDir::new().unwrap();
    let file = data.path().join(if rules.starts_with(b"\0asm") { "rules.wasm" } else { "rules.js" });
    fs::write(&file, rules).unwrap();
    fs::write(data.path().join("larder.toml"), format!("[server]\nshutdown_ms = 1000\n{settings}")).unwrap();
    TestServer::start_on(data, &[("LARDER_RULES", file.to_str().unwrap())]).await
}

/// Tries to save, in vain, and returns what `@actions/cache` is told.
async fn refusal(job: &Job<'_>, key: &str) -> String {
    let response = job.call_about("CreateCacheEntry", key, json!({})).await;
    assert_eq!(response.status, StatusCode::OK, "{}", response.text());
    let response = response.json();
    assert_eq!(response["ok"], false, "{response}");
    response["message"].as_str().unwrap().to_owned()
}

async fn is_miss(job: &Job<'_>, key: &str) -> bool {
    job.look_up(key, &[]).await["ok"] == false
}

#[tokio::test]
async fn hostile_rules_refuse_and_harm_nobody_else() {
    for rules in [HOSTILE, HOSTILE_SCRIPT.as_bytes()] {
        let server = server(rules, "").await;
        let job = Job::new(&server);
        job.save("healthy", b"healthy").await;
        for kind in KINDS {
            let key = format!("restore-{kind}");
            job.save(&key, b"bytes").await;
            assert!(is_miss(&job, &key).await, "{kind}");
            assert_eq!(job.restore("healthy").await, "healthy");
            assert_eq!(refusal(&job, kind).await, "cache write denied: the rules of this server failed");
            job.save(&format!("after-{kind}"), b"bytes").await;
        }
        // The guest that asked lives: nothing of it was replaced.
        assert_eq!(job.restore("healthy").await, "healthy");
    }
}

#[tokio::test]
async fn rules_that_fail_change_nothing_where_the_operator_wants_the_decision_without_them() {
    for rules in [HOSTILE, HOSTILE_SCRIPT.as_bytes()] {
        let server = server(rules, BUILTIN).await;
        let job = Job::new(&server);
        for kind in KINDS {
            job.save(kind, b"bytes").await;
            let key = format!("restore-{kind}");
            job.save(&key, b"bytes").await;
            assert_eq!(job.restore(&key).await, "bytes");
        }
    }
}

#[tokio::test]
async fn what_a_suspect_saved_is_a_miss_and_the_next_best_is_found() {
    let server = server(&example("quarantine.js"), "").await;
    let suspect = token_with("1", &json!({ "actor": "octocat", "run_id": "1234567890" }));
    let main = Job::new(&server);
    main.save("npm-1", b"good").await;
    let url = {
        // Before it was known.
        let rules = server.rules().exchange(None);
        Job::with_token(&server, &suspect).save("npm-2", b"bad").await;
        let url = main.url("npm-2").await;
        server.rules().exchange(rules);
        url
    };
    assert!(is_miss(&main, "npm-2").await);
    assert_eq!(main.look_up("npm-2", &["npm-"]).await["matched_key"], "npm-1");
    // A URL that was handed out is good.
    assert_eq!(server.get(&url).await.body, "bad");
}

#[tokio::test]
async fn releases_take_only_what_a_protected_ref_saved() {
    let server = server(&example("release.js"), "").await;
    let of = |claims: &serde_json::Value| token_with("1", claims);
    let protected = of(&json!({ "workflow": "ci", "ref_protected": "true" }));
    let open = of(&json!({ "workflow": "ci", "ref_protected": "false" }));
    let release = of(&json!({ "workflow": "release" }));
    Job::with_token(&server, &protected).save("protected", b"good").await;
    Job::with_token(&server, &open).save("open", b"bad").await;
    let release = Job::with_token(&server, &release);
    assert_eq!(release.restore("protected").await, "good");
    assert!(is_miss(&release, "open").await);
    assert_eq!(Job::with_token(&server, &open).restore("open").await, "bad");
}

#[tokio::test]
async fn what_is_too_large_is_refused_at_the_end_with_a_warning() {
    let text = String::from_utf8(example("deny-large.js")).unwrap();
    let server = server(text.replace("2 * 1024 * 1024", "4").as_bytes(), "").await;
    let job = Job::new(&server);
    job.save("small", &[7; 4096]).await;
    let url = job.create("large").await;
    let headers = [("x-ms-blob-type", "BlockBlob")];
    let stored = job.send("PUT", &url, &headers, vec![7; 4097]).await;
    assert_eq!(stored.status, StatusCode::CREATED);
    let told = job.call_about("FinalizeCacheEntryUpload", "large", json!({ "size_bytes": 4097 })).await;
    let told = told.json();
    assert_eq!(told["ok"], false, "{told}");
    assert!(told["message"].as_str().unwrap().starts_with("cache write denied: "), "{told}");
    assert!(is_miss(&job, "large").await);
}

#[tokio::test]
async fn while_the_cache_is_frozen_keys_exist_and_restores_go_on() {
    let server = server(&example("freeze.js"), "").await;
    let rules = server.rules().exchange(None);
    let job = Job::new(&server);
    job.save("before", b"bytes").await;
    server.rules().exchange(rules);
    let told = job.call_about("CreateCacheEntry", "new", json!({})).await;
    assert_eq!((told.status, &told.json()["code"]), (StatusCode::CONFLICT, &json!("already_exists")));
    assert_eq!(job.restore("before").await, "bytes");
}

/// The host makes the caller of the token and the request; labels are part of the provenance.
#[tokio::test]
async fn rules_know_who_asks_and_see_the_labels_of_an_entry() {
    let rules = "
const value = (pairs, name) => pairs.find(([key]) => key === name)?.[1];
export const save = {
  judgeSave: ({ claims, client, scopes }) => ({
    tag: 'accept',
    val: { labels: [['by', `${value(claims, 'actor')} ${client} ${scopes.map(({ name }) => name)}`]] },
  }),
};
export const restore = {
  judgeHit({ claims, client, scopes }, { provenance, sizeKib, uses }) {
    const by = `${value(claims, 'actor')} ${client} ${scopes.map(({ name }) => name)}`;
    const isKnown = sizeKib === 1 && uses !== undefined && value(provenance, 'actor') === 'octocat';
    return isKnown && value(provenance, 'label.by') === by
      ? { tag: 'accept' }
      : { tag: 'skip', val: 'saved by another' };
  },
};";
    let server = server(rules.as_bytes(), "").await;
    let [octocat, other] = ["octocat", "other"].map(|actor| token_with("1", &json!({ "actor": actor })));
    Job::with_token(&server, &octocat).save("k", b"bytes").await;
    assert_eq!(Job::with_token(&server, &octocat).restore("k").await, "bytes");
    assert!(is_miss(&Job::with_token(&server, &other), "k").await);
}
