//! Why a lookup misses: the word in its log line, and what `larder explain` tells, for each cause, on
//! each database.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{sync::Arc, time::Duration};

use larder::{
    Beside, Larder, Scope,
    config::Config,
    explain::{Found, Query},
    index::{Cause, Departure, Entry, EntryId, Index, KeyRule, sql, sqlite::SqliteIndex},
};
use larder_testing::service;
use larder_tests::{Job, ServerLog, TestServer, test_config, token};
use serde_json::{Value, json};
use tempfile::TempDir;

const MAIN: &str = "refs/heads/main";
const PULL: &str = "refs/pull/7/merge";
const OTHER: &str = "refs/heads/other";

/// Rules that pass over one key.
const RULES: &str = "export const restore = {
    judgeHit: (caller, { key }) => (key === 'passed-over' ? { tag: 'skip', val: 'not now' } : { tag: 'accept' }),
};";

/// Waits for the line of a lookup that found nothing.
async fn miss(log: &ServerLog, repository: &str, key: &str) -> Value {
    let is_it = |line: &Value| {
        line["target"] == "larder::request"
            && line["repository"] == repository
            && line["key"] == key
            && line["miss"].is_string()
    };
    log.line(&format!("a miss of {key}"), is_it).await
}

/// A server, and its database as another process would see it.
struct Fixture {
    server: TestServer,
    index: Arc<dyn Index>,
    config: Config,
    /// Of this test alone: a database server has others' rows, too.
    repository: String,
    log: ServerLog,
}

impl Fixture {
    async fn on_sqlite(variables: &[(&str, &str)]) -> Self {
        let data = TempDir::new().unwrap();
        let path = data.path().join("larder.db");
        let open = async move || {
            let index: Arc<dyn Index> = Arc::new(SqliteIndex::open(&path, KeyRule::AnyCase).unwrap());
            index
        };
        Self::start(data, variables, open).await
    }

    async fn start(
        data: TempDir,
        variables: &[(&str, &str)],
        open: impl AsyncFnOnce() -> Arc<dyn Index>,
    ) -> Self {
        let log = ServerLog::start(false);
        let config = test_config(data.path(), variables);
        let larder = Box::pin(Larder::builder(config.clone()).build()).await.expect("the server starts");
        let server = TestServer::around(larder, data);
        let nanoseconds =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        Self { server, index: open().await, config, repository: nanoseconds.to_string(), log }
    }

    fn job(&self, scopes: &[(&str, u8)]) -> Job<'_> {
        Job::with_token(&self.server, &token(&self.repository, scopes))
    }

    /// A job of the default branch.
    fn main(&self) -> Job<'_> {
        self.job(&[(MAIN, 3)])
    }

    /// A job of a pull request, which restores.
    fn pull(&self) -> Job<'_> {
        self.job(&[(PULL, 3), (MAIN, 1)])
    }

    /// Saves a key on the default branch.
    async fn saved(&self, key: &str) -> Entry {
        self.main().save(key, b"content").await;
        self.entry(key).await
    }

    async fn entry(&self, key: &str) -> Entry {
        let mut after = EntryId(0);
        loop {
            let page = self.index.list_entries(after, 1000).await.unwrap();
            after = page.last().expect("the entry").id;
            let is_it = |entry: &Entry| entry.slot.repository == self.repository && entry.slot.key == key;
            if let Some(entry) = page.into_iter().find(is_it) {
                return entry;
            }
        }
    }

    /// Deletes the entry of a key, as a sweep or an operator does.
    async fn delete(&self, key: &str, cause: Cause) {
        let entry = self.saved(key).await;
        let departure = Departure { cause, at_ms: entry.created_ms + 1 };
        assert!(self.index.delete_entry(entry.id, &departure).await.unwrap());
    }

    /// Looks a key up, which is a miss, and returns its cause: of the log line, and as it is explained.
    async fn causes(&self, job: &Job<'_>, scopes: &[(&str, u8)], key: &str) -> (String, String) {
        assert_eq!(job.look_up(key, &[]).await["ok"], false, "{key}");
        let line = miss(&self.log, &self.repository, key).await;
        let told = self.explain(scopes, Some("v"), &[key]).await;
        (line["miss"].as_str().unwrap().to_owned(), told.cause.expect("a miss").into_owned())
    }

    async fn explain(
        &self,
        scopes: &[(&str, u8)],
        version: Option<&str>,
        keys: &[&str],
    ) -> larder::explain::Explanation {
        let scope = |(name, bits): &(&str, u8)| Scope {
            name: (*name).to_owned(),
            read: bits & 1 > 0,
            write: bits & 2 > 0,
        };
        let query = Query {
            repository: self.repository.clone(),
            scopes: scopes.iter().map(scope).collect(),
            version: version.map(str::to_owned),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        let beside = Box::pin(Beside::open(&self.config, None)).await.unwrap().unwrap();
        beside.explain(query).await.unwrap()
    }

    /// Looks a key up as a pull request, and checks the cause.
    async fn assert_cause(&self, key: &str, expected: &str) {
        let causes = self.causes(&self.pull(), &[(PULL, 3), (MAIN, 1)], key).await;
        assert_eq!(causes, (expected.to_owned(), expected.to_owned()), "{key}");
    }
}

/// Each cause, by the clients' protocol.
async fn each_cause(fixture: &Fixture) {
    fixture.assert_cause("never", "never-saved").await;

    fixture.job(&[(OTHER, 3)]).save("elsewhere", b"x").await;
    fixture.assert_cause("elsewhere", "other-scope").await;

    let message = json!({ "key": "version", "version": "w" });
    let other_version = fixture.main().call("CreateCacheEntry", message.to_string()).await.json();
    let url = other_version["signed_upload_url"].as_str().unwrap().to_owned();
    fixture.main().send("PUT", &url, &[("x-ms-blob-type", "BlockBlob")], "x").await;
    let message = json!({ "key": "version", "version": "w", "size_bytes": 1 });
    assert_eq!(fixture.main().call("FinalizeCacheEntryUpload", message.to_string()).await.json()["ok"], true);
    fixture.assert_cause("version", "other-version").await;

    fixture.main().create("uploading").await;
    fixture.assert_cause("uploading", "uploading").await;

    let stale = fixture.saved("stale").await;
    remove_object(&fixture.server, stale.object.as_str());
    fixture.assert_cause("stale", "stale").await;

    let withheld = fixture.saved("withheld").await;
    assert_eq!(fixture.index.set_quarantined(&[withheld.id], Some(withheld.created_ms)).await.unwrap(), 1);
    fixture.assert_cause("withheld", "quarantined").await;

    for (key, cause, expected) in [
        ("age", Cause::Age, "expired"),
        ("never-used", Cause::NeverUsed, "expired"),
        ("max-age", Cause::MaxAge, "expired"),
        ("size", Cause::Size, "evicted"),
        ("quota", Cause::Quota, "evicted"),
        ("superseded", Cause::Superseded, "superseded"),
        ("revoked", Cause::Revoked, "revoked"),
        ("closed", Cause::ClosedScope, "closed-scope"),
        ("manual", Cause::Manual, "deleted"),
        ("rule", Cause::Rule("mine".to_owned()), "deleted"),
    ] {
        fixture.delete(key, cause).await;
        fixture.assert_cause(key, expected).await;
    }

    fixture.saved("denied").await;
    let scopes = [(PULL, 3), (MAIN, 2)];
    let causes = fixture.causes(&fixture.job(&scopes), &scopes, "denied").await;
    assert_eq!(causes, ("denied".to_owned(), "denied".to_owned()));
}

/// Deletes the file of an object.
fn remove_object(server: &TestServer, object: &str) {
    let mut folders = vec![server.data.path().join("storage")];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap()) {
            if file.file_type().unwrap().is_dir() {
                folders.push(file.path());
            } else if file.file_name().to_str().unwrap() == object {
                return std::fs::remove_file(file.path()).unwrap();
            }
        }
    }
    panic!("no file of {object}");
}

#[tokio::test]
async fn each_miss_has_its_cause_on_sqlite() {
    each_cause(&Fixture::on_sqlite(&[]).await).await;
}

fn limits() -> sql::ClientLimits {
    sql::ClientLimits { connections: 2, call: Duration::from_secs(30) }
}

fn at(url: String) -> sql::ConnectionSettings {
    sql::ConnectionSettings { url: Some(url), ..sql::ConnectionSettings::default() }
}

async fn on_postgres(variables: &[(&str, &str)]) -> Option<Fixture> {
    let url = service("LARDER_TEST_POSTGRES_URL")?;
    let server = at(url.clone());
    let open = async move || {
        let opened = sql::postgres::open(&server, limits(), KeyRule::AnyCase, sql::OtherRule::Refuse).await;
        let index: Arc<dyn Index> = Arc::new(opened.unwrap());
        index
    };
    let driver = [("DB_DRIVER", "postgres"), ("DB_POSTGRES_URL", url.as_str())];
    let variables = [&driver[..], variables].concat();
    Some(Fixture::start(TempDir::new().unwrap(), &variables, open).await)
}

async fn on_mysql(variables: &[(&str, &str)]) -> Option<Fixture> {
    let url = service("LARDER_TEST_MYSQL_URL")?;
    let server = at(url.clone());
    let open = async move || {
        let opened = sql::mysql::open(&server, limits(), KeyRule::AnyCase, sql::OtherRule::Refuse).await;
        let index: Arc<dyn Index> = Arc::new(opened.unwrap());
        index
    };
    let driver = [("DB_DRIVER", "mysql"), ("DB_MYSQL_URL", url.as_str())];
    let variables = [&driver[..], variables].concat();
    Some(Fixture::start(TempDir::new().unwrap(), &variables, open).await)
}

#[tokio::test]
async fn each_miss_has_its_cause_on_postgres() {
    let Some(fixture) = on_postgres(&[]).await else { return };
    each_cause(&fixture).await;
}

#[tokio::test]
async fn each_miss_has_its_cause_on_mysql() {
    let Some(fixture) = on_mysql(&[]).await else { return };
    each_cause(&fixture).await;
}

/// A folder with a file of rules.
fn rules() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("rules.js");
    std::fs::write(&file, RULES).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

/// The cause that needs rules, which cost each start some time: in a test of its own.
async fn a_rule_is_a_cause(fixture: &Fixture) {
    fixture.saved("passed-over").await;
    fixture.assert_cause("passed-over", "rule").await;
}

#[tokio::test]
async fn a_rule_is_a_cause_on_postgres() {
    let (_folder, file) = rules();
    let Some(fixture) = on_postgres(&[("LARDER_RULES", file.as_str())]).await else { return };
    a_rule_is_a_cause(&fixture).await;
}

#[tokio::test]
async fn a_rule_is_a_cause_on_mysql() {
    let (_folder, file) = rules();
    let Some(fixture) = on_mysql(&[("LARDER_RULES", file.as_str())]).await else { return };
    a_rule_is_a_cause(&fixture).await;
}

#[tokio::test]
async fn an_explanation_tells_each_attempt_and_what_came_near() {
    let fixture = Fixture::on_sqlite(&[]).await;
    let entry = fixture.saved("npm-1").await;
    fixture.delete("npm-2", Cause::Quota).await;
    let told = fixture.explain(&[(PULL, 3), (MAIN, 1)], None, &["npm-2", "npm-"]).await;
    assert_eq!((told.version.as_deref(), told.cause), (Some("v"), None));
    let attempts: Vec<_> =
        told.attempts.iter().map(|a| (a.scope.as_str(), a.key.as_str(), a.is_prefix, a.found)).collect();
    let mut expected = Vec::new();
    for scope in [PULL, MAIN] {
        for (key, is_prefix) in [("npm-2", false), ("npm-2", true), ("npm-", false), ("npm-", true)] {
            expected.push((scope, key, is_prefix, Found::Nothing));
        }
    }
    expected[7].3 = Found::Match;
    assert_eq!(attempts, expected);
    assert_eq!(told.attempts[7].finding.as_ref().unwrap().entry, entry.id.0);
    let gone = &told.near[0];
    assert_eq!((&*gone.cause, gone.key.as_str()), ("evicted", "npm-2"));
    assert_eq!(gone.deleted.as_ref().unwrap().cause, "quota");
    // An explanation is no use.
    let details = fixture.index.entry_details(&[entry.id]).await.unwrap();
    assert_eq!(details[0].uses, Some(0));
}

#[tokio::test]
async fn what_a_rule_passes_over_is_explained_beside_the_server_too() {
    let (_folder, file) = rules();
    let fixture = Fixture::on_sqlite(&[("LARDER_RULES", file.as_str())]).await;
    a_rule_is_a_cause(&fixture).await;
    let told = fixture.explain(&[(MAIN, 3)], Some("v"), &["passed-over"]).await;
    assert!(told.attempts.iter().any(|attempt| attempt.found == Found::Skipped), "{:?}", told.attempts);
    fixture.saved("other").await;
    assert_eq!(fixture.explain(&[(MAIN, 3)], Some("v"), &["other"]).await.cause, None);
    // What holds in the server is what holds here: a version that was chosen stands above the file.
    let versions = larder::versions::Versions::of_rules(fixture.server.data.path());
    let chosen = versions.store(b"", "no rules").unwrap();
    versions.choose(&chosen).unwrap();
    assert_eq!(fixture.explain(&[(MAIN, 3)], Some("v"), &["passed-over"]).await.cause, None);
}

/// A client of each kind gets the miss that it always got.
#[tokio::test]
async fn a_hit_has_no_cause_and_a_denial_of_all_scopes_has_one() {
    let fixture = Fixture::on_sqlite(&[]).await;
    fixture.saved("k").await;
    assert_eq!(fixture.main().look_up("k", &[]).await["ok"], true);
    let unreadable = fixture.job(&[(MAIN, 2)]);
    let denied = unreadable.call_about("GetCacheEntryDownloadURL", "no-scope", json!({})).await;
    assert_eq!(denied.status, 403);
    assert_eq!(miss(&fixture.log, &fixture.repository, "no-scope").await["miss"], "denied");
    let text = fixture.log.text();
    let hits = text.lines().filter(|line| line.contains(&fixture.repository) && line.contains(r#""hit""#));
    assert!(hits.inspect(|line| assert!(!line.contains("miss"), "{line}")).count() > 0);
}

/// What was evicted or revoked cannot be put back by a job that outsiders may start.
#[tokio::test]
async fn a_revoked_key_is_barred_from_a_job_of_low_trust() {
    let fixture = Fixture::on_sqlite(&[]).await;
    let revoked = fixture.saved("k").await;
    let now_ms = revoked.created_ms + 1;
    let departure = Departure { cause: Cause::Revoked, at_ms: now_ms };
    assert!(fixture.index.delete_entry(revoked.id, &departure).await.unwrap());
    let claims = json!({
        "repository_id": fixture.repository,
        "event_name": "pull_request_target",
    });
    let open = larder_tests::token_with(&fixture.repository, &claims);
    let refused =
        Job::with_token(&fixture.server, &open).call_about("CreateCacheEntry", "k", json!({})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["ok"]), (200, &json!(false)));
    assert!(refused.json()["message"].as_str().unwrap().starts_with("cache write denied:"));
    fixture.main().save("k", b"again").await;
    assert_eq!(fixture.entry("k").await.size_bytes, 5);
}
