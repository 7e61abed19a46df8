#![expect(clippy::unwrap_used, reason = "tests")]

use crate::fake::{FakeHost, FakeRequest, FakeResponse};
use crate::ports::{OutcomeKind, SaveVerdict};

const ACTIONS: &str = "@actions/cache-4.0.0";

fn host(rule: impl Fn(&str, Option<u64>) -> SaveVerdict + 'static) -> FakeHost {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host.set_save_rule(rule);
    host
}

fn accept() -> SaveVerdict {
    SaveVerdict::Accept(Vec::new())
}

/// Refuses what is known to be large.
fn deny_large(_: &str, size_bytes: Option<u64>) -> SaveVerdict {
    match size_bytes {
        Some(4..) => SaveVerdict::Refuse("too large".to_owned()),
        _ => accept(),
    }
}

fn call(host: &FakeHost, name: &str, agent: &str, key: &str) -> FakeResponse {
    let message = format!(r#"{{"key":"{key}","version":"v","size_bytes":5}}"#);
    host.send(FakeRequest::call(name, "t", &message).header("user-agent", agent))
}

fn create(host: &FakeHost, agent: &str, key: &str) -> FakeResponse {
    call(host, "CreateCacheEntry", agent, key)
}

/// Saves five bytes, and returns what the finalize says.
fn save(host: &FakeHost, agent: &str, key: &str) -> FakeResponse {
    let created = create(host, agent, key);
    let url = created.member("signed_upload_url");
    // BuildKit uploads by Azure's SDK.
    let uploads_as = if agent.starts_with("buildkit/") { "azsdk-go-azblob/v1.6.1" } else { agent };
    let stored = host.send(FakeRequest::new("PUT", &url).header("user-agent", uploads_as).body("hello"));
    assert_eq!(stored.status, 201, "{}", stored.text());
    call(host, "FinalizeCacheEntryUpload", agent, key)
}

fn assert_nothing_is_left(host: &FakeHost) {
    assert!(host.entries().is_empty());
    assert!(host.uploads().is_empty());
    assert!(host.objects().is_empty());
}

#[test]
fn the_terms_are_stored_beside_the_facts_of_the_token() {
    let label = ("label.team".to_owned(), "web".to_owned());
    let terms = vec![label.clone()];
    let host = host(move |_, _| SaveVerdict::Accept(terms.clone()));
    create(&host, "", "k");
    assert_eq!(host.facts(host.uploads()[0].id), [("actor".to_owned(), "t".to_owned()), label]);
}

#[test]
fn a_save_that_is_refused_is_a_warning_of_actions_cache_and_a_denial_for_others() {
    let host = host(|_, _| SaveVerdict::Refuse("frozen".to_owned()));
    let told = create(&host, ACTIONS, "k");
    assert_eq!((told.status, &*told.member("message")), (200, "cache write denied: frozen"));
    assert_eq!(told.outcome.kind, Some(OutcomeKind::Denied));
    let told = create(&host, "curl/8", "k");
    assert_eq!((told.status, &*told.member("msg")), (403, "cache write denied: frozen"));
    let reserve = FakeRequest::new("POST", "/_apis/artifactcache/caches").token("t");
    let told = host.send(reserve.body(r#"{"key":"k","version":"v"}"#));
    assert_eq!((told.status, &*told.member("message")), (403, "cache write denied: frozen"));
    assert_nothing_is_left(&host);
}

#[test]
fn a_quiet_refusal_is_a_key_that_exists_and_the_log_knows_better() {
    let host = host(|_, _| SaveVerdict::RefuseQuietly("frozen".to_owned()));
    let told = create(&host, ACTIONS, "k");
    assert_eq!((told.status, &*told.member("code")), (409, "already_exists"));
    assert_eq!(told.outcome.reason.unwrap(), "cache write denied: frozen");
    assert_nothing_is_left(&host);
}

#[test]
fn the_size_is_known_at_the_end_and_in_version_1_at_once() {
    let host = host(deny_large);
    let told = save(&host, ACTIONS, "k");
    assert_eq!((told.status, &*told.member("message")), (200, "cache write denied: too large"));
    assert_eq!(told.json()["ok"], false);
    assert_nothing_is_left(&host);
    let told = save(&host, "curl/8", "k");
    assert_eq!((told.status, &*told.member("msg")), (403, "cache write denied: too large"));
    let reserve = FakeRequest::new("POST", "/_apis/artifactcache/caches").token("t");
    let told = host.send(reserve.body(r#"{"key":"k","version":"v","cacheSize":5}"#));
    assert_eq!(told.status, 403);
    assert_nothing_is_left(&host);
}

#[test]
fn a_quiet_refusal_at_the_end_succeeds_in_words() {
    let host = host(|_, size| match size {
        Some(_) => SaveVerdict::RefuseQuietly("too large".to_owned()),
        None => accept(),
    });
    let told = save(&host, ACTIONS, "k");
    assert_eq!((told.status, told.json()["ok"].as_bool()), (200, Some(true)));
    assert_eq!(told.outcome.kind, Some(OutcomeKind::Refused));
    assert_nothing_is_left(&host);
}

/// The second answer can only refuse: its terms do not count.
#[test]
fn the_terms_are_those_of_the_first_answer() {
    let host = host(|_, size| {
        SaveVerdict::Accept(vec![(
            "label.asked".to_owned(),
            if size.is_some() { "last" } else { "first" }.to_owned(),
        )])
    });
    let created = create(&host, "", "k");
    let upload = host.uploads()[0].id;
    host.send(FakeRequest::new("PUT", &created.member("signed_upload_url")).body("hello"));
    assert_eq!(call(&host, "FinalizeCacheEntryUpload", "", "k").status, 200);
    assert_eq!(host.facts(upload)[1].1, "first");
}

/// An export fails with the first error, and an index must not name a layer that is not there.
#[test]
fn an_export_of_buildkit_does_not_fail_and_its_index_names_nothing_that_was_refused() {
    let layer = format!("buildkit-blob-1-sha256:{}", "1".repeat(64));
    for quiet in [true, false] {
        let host = host(move |key, _| match key.starts_with("buildkit-blob-") {
            true if quiet => SaveVerdict::RefuseQuietly("no layers".to_owned()),
            true => SaveVerdict::Refuse("no layers".to_owned()),
            false => accept(),
        });
        assert_eq!(create(&host, "buildkit/0.20", &layer).member("code"), "already_exists");
        let told = save(&host, "buildkit/0.20", "index-buildkit-1");
        assert_eq!((told.status, told.json()["ok"].as_bool()), (200, Some(true)));
        assert_nothing_is_left(&host);
    }
}

#[test]
fn an_export_that_is_refused_at_the_end_does_not_fail_either() {
    let host = host(deny_large);
    let layer = format!("buildkit-blob-1-sha256:{}", "1".repeat(64));
    let told = save(&host, "buildkit/0.20", &layer);
    assert_eq!((told.status, told.json()["ok"].as_bool()), (200, Some(true)));
    let told = save(&host, "buildkit/0.20", "index-buildkit-1");
    assert_eq!((told.status, told.json()["ok"].as_bool()), (200, Some(true)));
    assert_nothing_is_left(&host);
}

#[test]
fn without_rules_nobody_is_asked() {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    assert_eq!(save(&host, "", "k").status, 200);
    assert!(!host.take_calls().iter().any(|call| call.starts_with("rules.")));
}
