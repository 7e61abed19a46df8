//! Facts from tokens to the index, over HTTP: who saved an entry, how often it was used, what its
//! repository is called.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::sync::Arc;

use larder::{
    Larder,
    index::{EntryDetails, EntryId, Index, KeyRule, sqlite::SqliteIndex},
};
use larder_tests::{Job, TestServer, test_config, token_with};
use serde_json::{Value, json};
use tempfile::TempDir;

const SERVICE_V1: &str = "/_apis/artifactcache";

/// A server on an index that the test reads, too.
struct Fixture {
    server: TestServer,
    index: Arc<SqliteIndex>,
    _own: TempDir,
}

impl Fixture {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let (data, own) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let path = own.path().join("entries.db");
        let index = Arc::new(SqliteIndex::open(&path, KeyRule::AnyCase).unwrap());
        let config = test_config(data.path(), variables);
        let larder = Box::pin(Larder::builder(config).index(index.clone()).build()).await.unwrap();
        Self { server: TestServer::around(larder, data), index, _own: own }
    }

    /// The details of the entry with this key.
    async fn details(&self, key: &str) -> EntryDetails {
        let entries = self.index.list_entries(EntryId(0), 100).await.unwrap();
        let entry = entries.into_iter().find(|entry| entry.slot.key == key).expect("the entry");
        self.index.entry_details(&[entry.id]).await.unwrap().remove(0)
    }

    async fn facts(&self, key: &str) -> Value {
        serde_json::to_value(self.details(key).await.facts.expect("facts")).unwrap()
    }
}

/// What GitHub's runtime token carries, as far as it is known: claims of its own, and more in a text.
fn claims(run: u64, actor: &str) -> Value {
    let extra = json!({
        "repository": "octo/hello", "repository_owner": "octo", "actor": actor, "ref": "refs/heads/main",
        "event_name": "push", "workflow": "CI", "hush": "hush-hush",
    });
    json!({ "run_id": run.to_string(), "trust_tier": 2, "hush": "hush-hush", "oidc_extra": extra.to_string() })
}

fn expected(run: u64, actor: &str) -> Value {
    json!({
        "run_id": run.to_string(), "trust_tier": "2", "repository": "octo/hello", "repository_owner": "octo",
        "actor": actor, "ref": "refs/heads/main", "event_name": "push", "workflow": "CI",
    })
}

/// Saves with protocol version 1: the first token reserves, the other one sends and commits.
async fn save_with_version_1(fixture: &Fixture, key: &str, [first, other]: [&str; 2]) {
    let send = async |method: &str, path: &str, token: &str, range: &str, body: Vec<u8>| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-range", range)];
        let count = if range.is_empty() { 1 } else { 2 };
        fixture.server.send(method, &format!("{SERVICE_V1}{path}"), &headers[..count], body).await
    };
    let message = json!({ "key": key, "version": "v" }).to_string().into_bytes();
    let reserved = send("POST", "/caches", first, "", message).await;
    assert_eq!(reserved.status, 201, "{}", reserved.text());
    let path = format!("/caches/{}", reserved.json()["cacheId"]);
    let sent = send("PATCH", &path, other, "bytes 0-4/*", b"bytes".to_vec()).await;
    assert_eq!(sent.status, 204, "{}", sent.text());
    let committed = send("POST", &path, other, "", br#"{"size":5}"#.to_vec()).await;
    assert_eq!(committed.status, 204, "{}", committed.text());
}

#[tokio::test]
async fn an_entry_has_the_facts_of_the_token_that_reserved_it() {
    let fixture = Fixture::start(&[]).await;
    let [first, other] = [claims(1, "octocat"), claims(2, "other")].map(|claims| token_with("1", &claims));
    save_with_version_1(&fixture, "version-1", [&first, &other]).await;
    assert_eq!(fixture.facts("version-1").await, expected(1, "octocat"));
    Job::with_token(&fixture.server, &other).save("version-2", b"bytes").await;
    assert_eq!(fixture.facts("version-2").await, expected(2, "other"));
    // A key that exists is another token's in vain.
    let job = Job::with_token(&fixture.server, &first);
    let exists = job.call_about("CreateCacheEntry", "version-2", json!({})).await;
    assert_eq!(exists.status, 409);
    assert_eq!(fixture.facts("version-2").await, expected(2, "other"));
}

#[tokio::test]
async fn a_token_without_facts_or_with_a_malformed_oidc_extra_saves() {
    let fixture = Fixture::start(&[]).await;
    for (key, claims) in
        [("none", json!({})), ("malformed", json!({ "RunID": 7, "oidc_extra": "{\"actor\":" }))]
    {
        let token = token_with("1", &claims);
        Job::with_token(&fixture.server, &token).save(key, b"bytes").await;
    }
    assert_eq!(fixture.facts("none").await, json!({}));
    assert_eq!(fixture.facts("malformed").await, json!({ "run_id": "7" }));
}

#[tokio::test]
async fn the_operator_may_keep_less_or_nothing() {
    for (variable, kept) in [("run_id,actor", json!({ "run_id": "1", "actor": "me" })), ("none", json!({}))] {
        let fixture = Fixture::start(&[("LARDER_FACTS", variable)]).await;
        let token = token_with("1", &claims(1, "me"));
        Job::with_token(&fixture.server, &token).save("k", b"bytes").await;
        assert_eq!(fixture.facts("k").await, kept);
        let Fixture { server, index, _own } = fixture;
        server.stop();
        assert_eq!(index.repository_name("1").await.unwrap(), None, "its name is not kept");
    }
}

#[tokio::test]
async fn uses_are_counted_and_the_name_of_the_repository_follows_the_latest_token() {
    let fixture = Fixture::start(&[]).await;
    let named = |name: &str, issued: u64| token_with("1", &json!({ "repository": name, "iat": issued }));
    let (old, new) = (named("octo/old", 1_000), named("octo/new", 2_000));
    Job::with_token(&fixture.server, &new).save("k", b"bytes").await;
    let job = Job::with_token(&fixture.server, &old);
    job.save("other", b"bytes").await;
    for _ in 0..3 {
        job.restore("k").await;
    }
    // What is no hit is no use.
    job.look_up("missing", &[]).await;
    job.restore("other").await;
    let Fixture { server, index, _own } = fixture;
    server.stop();
    let entries = index.list_entries(EntryId(0), 10).await.unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    let uses: Vec<_> = index.entry_details(&ids).await.unwrap().iter().map(|details| details.uses).collect();
    assert_eq!(uses, [Some(3), Some(1)]);
    assert_eq!(index.repository_name("1").await.unwrap().as_deref(), Some("octo/new"));
    assert_eq!(index.find_repositories("OCTO/new").await.unwrap(), ["1"]);
}

/// Nothing of a token that is not a fact is in any file of the server.
#[tokio::test]
async fn nothing_else_of_a_token_is_stored() {
    let server = TestServer::start(&[]).await;
    let token = token_with("1", &claims(1, "octocat"));
    Job::with_token(&server, &token).save("k", b"bytes").await;
    let data = server.stop();
    let signature = token.rsplit('.').next().unwrap();
    let mut folders = vec![data.path().to_owned()];
    let mut found = false;
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap()) {
            if file.file_type().unwrap().is_dir() {
                folders.push(file.path());
            } else if file.file_type().unwrap().is_file() {
                let bytes = std::fs::read(file.path()).unwrap();
                let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
                assert!(!has("hush") && !has(signature), "{:?}", file.path());
                found |= has("octocat");
            }
        }
    }
    assert!(found, "the facts are not where this test looks");
}
