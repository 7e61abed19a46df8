//! The trace, over HTTP: the events of a job, and nothing that is secret.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use larder_tests::{Job, TestServer, token_with};
use serde_json::{Value, json};
use tempfile::TempDir;

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

#[tokio::test]
async fn a_job_leaves_its_events_and_none_of_its_secrets() {
    let traces = TempDir::new().unwrap();
    let dir = traces.path().join("of/larder");
    let server = TestServer::start(&[("LARDER_TRACE_DIR", dir.to_str().unwrap())]).await;
    let token = token_with("42", &json!({ "run_id": "7", "actor": "mona" }));
    let job = Job::with_token(&server, &token);
    job.look_up("npm-1", &["npm-", "n"]).await;
    job.save("npm-1", b"content").await;
    assert_eq!(job.look_up("npm-2", &["npm-"]).await["ok"], true);
    job.restore("npm-1").await;
    server.stop();

    let text = std::fs::read_to_string(dir.join("default.jsonl")).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lookups = of_kind(&events, "lookup");
    let (miss, hit) = (lookups[0], lookups[1]);
    assert_eq!((&miss["outcome"], &miss["cause"]), (&json!("miss"), &json!("never-saved")), "{miss}");
    assert_eq!((&miss["key"], &miss["restore_keys"]), (&json!("npm-1"), &json!(["npm-", "n"])));
    assert_eq!((&miss["repository"], &miss["facts"]["actor"]), (&json!("42"), &json!("mona")));
    assert!(miss["time_ms"].as_u64().unwrap() > 1_700_000_000_000);
    let matched = (&hit["outcome"], &hit["key"], &hit["matched_key"], &hit["size"]);
    assert_eq!(matched, (&json!("hit"), &json!("npm-2"), &json!("npm-1"), &json!(7)));

    let (reserved, saved) = (of_kind(&events, "reserve")[0], of_kind(&events, "finalize")[0]);
    assert_eq!((&reserved["outcome"], &reserved["trust"]), (&json!("reserved"), &json!("full")));
    assert_eq!((&saved["outcome"], &saved["size"]), (&json!("finalized"), &json!(7)));
    // The whole version, of which the log has the beginning.
    assert_eq!((&saved["key"], &saved["version"]), (&json!("npm-1"), &miss["version"]));
    assert_eq!((&saved["scope"], &saved["entry"]), (&hit["scope"], &hit["entry"]));
    assert!(saved["scopes"].as_array().unwrap().iter().any(|scope| scope.as_str().unwrap().ends_with("=rw")));
    assert_eq!(of_kind(&events, "download")[0]["bytes_out"], 7);

    let signature = token.rsplit_once('.').unwrap().1;
    for secret in [&token, signature, "sig=", "http", "devstoreaccount1", "/"] {
        // A ref and the name of a client have slashes.
        let is_there = events.iter().any(|event| {
            let mut event = event.clone();
            for named in ["scope", "scopes", "client", "facts"] {
                event.as_object_mut().unwrap().remove(named);
            }
            event.to_string().contains(secret)
        });
        assert!(!is_there && (secret == "/" || !text.contains(secret)), "`{secret}` is in the trace: {text}");
    }
}

#[tokio::test]
async fn what_rules_refuse_and_pass_over_is_in_the_trace_with_its_request() {
    let folder = TempDir::new().unwrap();
    let (dir, file) = (folder.path().join("traces"), folder.path().join("rules.js"));
    let rules = "
        export const save = { judgeSave: (caller, key) =>
            key === 'refused' ? { tag: 'refuse', val: 'too large' }
            : key === 'quiet' ? { tag: 'refuse-quietly', val: 'hush' } : { tag: 'default' } };
        export const restore = { judgeHit: (caller, { key }) =>
            key === 'npm-2' ? { tag: 'skip', val: 'not this one' } : { tag: 'accept' } };";
    std::fs::write(&file, rules).unwrap();
    let variables = [("LARDER_TRACE_DIR", dir.to_str().unwrap()), ("LARDER_RULES", file.to_str().unwrap())];
    let server = TestServer::start(&variables).await;
    let token = token_with("42", &json!({ "actor": "mona" }));
    let job = Job::with_token(&server, &token);
    for key in ["npm-1", "npm-2"] {
        job.save(key, b"content").await;
    }
    assert_eq!(job.look_up("npm-3", &["npm-"]).await["ok"], true);
    for key in ["refused", "quiet"] {
        let answer = job.call_about("CreateCacheEntry", key, json!({})).await;
        assert!(!answer.status.is_success() || answer.json()["ok"] == false, "{}", answer.text());
    }
    server.stop();

    let text = std::fs::read_to_string(dir.join("default.jsonl")).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let skipped = of_kind(&events, "skip");
    assert_eq!(skipped.len(), 1, "{text}");
    assert_eq!((&skipped[0]["key"], &skipped[0]["reason"]), (&json!("npm-2"), &json!("not this one")));
    assert_eq!((&skipped[0]["size"], &skipped[0]["entry"]), (&json!(7), &json!(2)));
    assert_eq!(skipped[0]["request"], of_kind(&events, "lookup")[0]["request"]);
    let refused = of_kind(&events, "refuse");
    let told: Vec<_> = refused.iter().map(|event| (&event["key"], &event["reason"])).collect();
    assert_eq!(told, [(&json!("refused"), &json!("too large")), (&json!("quiet"), &json!("hush"))]);
    for decision in skipped.iter().chain(&refused) {
        assert_eq!((&decision["repository"], &decision["facts"]["actor"]), (&json!("42"), &json!("mona")));
        assert!(decision["scopes"][0].as_str().is_some_and(|scope| scope.ends_with('w')), "{decision}");
    }
}

#[tokio::test]
async fn without_the_setting_nothing_is_written() {
    let server = TestServer::start(&[]).await;
    Job::new(&server).save("k", b"content").await;
    let data = server.stop();
    let names: Vec<_> =
        std::fs::read_dir(data.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("trace")), "{names:?}");
}
