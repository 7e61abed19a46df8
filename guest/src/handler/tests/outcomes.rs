//! Fault 25: the outcome of each request in its log line.

use crate::fake::{FakeHost, FakeRequest, FakeResponse, FakeUpstream, Fault};
use crate::ports::{Level, OutcomeKind, StorageError};

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host
}

fn call(host: &FakeHost, name: &str, message: &str) -> FakeResponse {
    host.send(FakeRequest::call(name, "t", message))
}

fn kind(answer: &FakeResponse) -> OutcomeKind {
    answer.outcome.kind_or(answer.status)
}

/// Fault 25.
#[test]
fn a_lookup_records_its_result() {
    let host = host();
    host.add_entry("main", "v", "deps-1", b"content");
    let answer =
        call(&host, "GetCacheEntryDownloadURL", r#"{"key":"deps-2","version":"v","restore_keys":["deps-"]}"#);
    let outcome = &answer.outcome;
    assert_eq!(kind(&answer), OutcomeKind::Hit);
    assert_eq!((outcome.key.as_deref(), outcome.matched_key.as_deref()), (Some("deps-2"), Some("deps-1")));
    assert_eq!((outcome.scope.as_deref(), outcome.version.as_deref()), (Some("main"), Some("v")));
    let exact = call(&host, "GetCacheEntryDownloadURL", r#"{"key":"deps-1","version":"v"}"#);
    assert_eq!((kind(&exact), exact.outcome.matched_key.as_deref()), (OutcomeKind::Hit, None));
    let miss = call(&host, "GetCacheEntryDownloadURL", r#"{"key":"other","version":"v"}"#);
    assert_eq!((kind(&miss), miss.outcome.key.as_deref()), (OutcomeKind::Miss, Some("other")));
    let version_1 =
        FakeRequest::new("GET", "/_apis/artifactcache/cache?keys=other,deps-1&version=v").token("t");
    let answer = host.send(version_1);
    assert_eq!((kind(&answer), answer.outcome.matched_key.as_deref()), (OutcomeKind::Hit, Some("deps-1")));
}

/// Fault 25.
#[test]
fn a_lookup_with_only_stale_matches_is_stale() {
    let host = host();
    host.add_entry("main", "v", "k", b"content");
    host.fail("storage.stat", Fault::Storage(StorageError::NotFound));
    let stale = call(&host, "GetCacheEntryDownloadURL", r#"{"key":"k","version":"v"}"#);
    assert_eq!((kind(&stale), stale.status), (OutcomeKind::Stale, 200));
    host.fail("storage.stat", Fault::Storage(StorageError::Unavailable("it hangs".into())));
    let failed = call(&host, "GetCacheEntryDownloadURL", r#"{"key":"k","version":"v"}"#);
    assert_eq!((kind(&failed), failed.status), (OutcomeKind::Failed, 503));
    assert!(failed.outcome.reason.unwrap_or_default().ends_with("it hangs"));
}

/// Fault 25: all requests of an upload record the same name.
#[test]
fn all_requests_of_an_upload_record_the_same_name() {
    let host = host();
    let message = r#"{"key":"k","version":"0123456789abcdef0123","size_bytes":"1"}"#;
    let reserved = call(&host, "CreateCacheEntry", message);
    assert_eq!((kind(&reserved), reserved.outcome.scope.as_deref()), (OutcomeKind::Reserved, Some("main")));
    assert_eq!(reserved.outcome.version.as_deref(), Some("0123456789abcdef"));
    let url = reserved.member("signed_upload_url");
    for (query, expected) in [("&comp=block&blockid=a", OutcomeKind::Stored), ("", OutcomeKind::Stored)] {
        let stored = host.send(FakeRequest::new("PUT", &format!("{url}{query}")).body("x"));
        assert_eq!((kind(&stored), &stored.outcome.upload), (expected, &reserved.outcome.upload));
        assert_eq!(
            (stored.outcome.repository.as_deref(), stored.outcome.key.as_deref()),
            (Some("1"), Some("k"))
        );
    }
    let cut =
        host.send(FakeRequest::new("PUT", &format!("{url}&comp=block&blockid=b")).body("x").cut_short());
    assert_eq!((kind(&cut), &cut.outcome.upload), (OutcomeKind::Refused, &reserved.outcome.upload));
    let finalized = call(&host, "FinalizeCacheEntryUpload", message);
    assert_eq!(kind(&finalized), OutcomeKind::Finalized);
    let exists = call(&host, "CreateCacheEntry", message);
    assert_eq!((kind(&exists), exists.status), (OutcomeKind::Exists, 409));
}

/// Fault 25.
#[test]
fn rejections_have_reasons() {
    let host = host();
    for (request, expected, reason) in [
        (FakeRequest::call("CreateCacheEntry", "unknown", "{}"), OutcomeKind::Denied, ""),
        (FakeRequest::call("CreateCacheEntry", "t", "{"), OutcomeKind::Refused, "not the expected JSON"),
        (FakeRequest::call("Other", "t", "{}"), OutcomeKind::Refused, "no such call"),
        (FakeRequest::new("GET", "/elsewhere"), OutcomeKind::Refused, "no upstream"),
        (FakeRequest::new("PUT", "/devstoreaccount1/upload/x"), OutcomeKind::Denied, "not signed"),
        (
            FakeRequest::new("PATCH", "/_apis/artifactcache/caches/9").token("t"),
            OutcomeKind::Refused,
            "Content-Range",
        ),
    ] {
        let answer = host.send(request);
        let said = answer.outcome.reason.clone().unwrap_or_default();
        assert_eq!(kind(&answer), expected, "{said}");
        assert!(said.contains(reason) && !said.is_empty(), "{said}");
    }
    host.set_upstream(FakeUpstream { status: 500, body: Vec::new() });
    assert_eq!(kind(&host.send(FakeRequest::new("GET", "/elsewhere"))), OutcomeKind::Forwarded);
    assert_eq!(kind(&host.send(FakeRequest::new("GET", "/health"))), OutcomeKind::Served);
}

/// Fault 25: with DEBUG=true a lookup logs its probes.
#[test]
fn probes_are_logged_at_level_debug() {
    let host = host();
    let message = r#"{"key":"a","version":"v","restore_keys":["b"]}"#;
    call(&host, "GetCacheEntryDownloadURL", message);
    assert_eq!(host.take_log().iter().filter(|line| line.level == Level::Debug).count(), 0);
    host.configure(|settings| settings.debug = true);
    call(&host, "GetCacheEntryDownloadURL", message);
    let lines: Vec<_> = host.take_log().into_iter().filter(|line| line.message == "probe").collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[3].fields[1..3],
        [("key".to_owned(), "b".to_owned()), ("match".to_owned(), "prefix".to_owned())]
    );
}
