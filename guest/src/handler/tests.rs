mod denied;
mod failures;
mod outcomes;
mod storm;

use crate::fake::{FakeHost, FakeRequest};
use crate::handler::is_repeatable;

/// Fault 3: if the policy fails on the request, this decides between a miss (404) and a retry
/// (503).
#[test]
fn only_requests_without_changes_are_repeatable() {
    let service = "/twirp/github.actions.results.api.v1.CacheService";
    for (method, path, expected) in [
        ("POST", &*format!("{service}/GetCacheEntryDownloadURL"), true),
        ("POST", &*format!("{service}/CreateCacheEntry"), false),
        ("POST", &*format!("{service}/FinalizeCacheEntryUpload"), false),
        ("GET", "/devstoreaccount1/download/1", true),
        ("HEAD", "/devstoreaccount1/download/1", true),
        ("PUT", "/devstoreaccount1/download/1", false),
        ("PUT", "/devstoreaccount1/upload/1", false),
        ("GET", "/devstoreaccount1/upload/1", false),
        ("GET", "/health", true),
        ("GET", "/", true),
        ("GET", "/elsewhere", false),
        ("GET", "/metrics", true),
        ("GET", "/_apis/artifactcache/cache", true),
        ("GET", "/_apis/artifactcache/caches", true),
        ("POST", "/_apis/artifactcache/caches", false),
        ("PATCH", "/_apis/artifactcache/caches/1", false),
        ("POST", "/_apis/artifactcache/caches/1", false),
    ] {
        assert_eq!(is_repeatable(method, path), expected, "{method} {path}");
    }
}

#[test]
fn the_servers_own_pages_make_no_host_calls() {
    let host = FakeHost::new();
    let health = host.send(FakeRequest::new("GET", "/health"));
    assert_eq!((health.status, &*health.text()), (200, r#"{"status":"ok"}"#));
    assert_eq!(health.header("content-type"), "application/json");
    let root = host.send(FakeRequest::new("GET", "/"));
    assert_eq!((root.status, &*root.member("server")), (200, "larder"));
    assert_eq!(root.member("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(host.send(FakeRequest::new("HEAD", "/health")).status, 200);
    assert!(host.take_calls().is_empty());
}
