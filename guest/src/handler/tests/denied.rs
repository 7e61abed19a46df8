//! Fault 21: the error of each call for a repository that may not use the server.

use crate::fake::{FakeHost, FakeRequest};
use crate::ports::AuthError;

const WHO: &str = "repository 42 (octo/hello) is not in auth.owners or auth.repositories";
const MESSAGE: &str = r#"{"key":"k","version":"v","size_bytes":"1"}"#;

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.set_token("t", Err(AuthError::NotAllowed(WHO.to_owned())));
    host
}

/// Fault 21: `@actions/cache` shows a warning if the text begins this way, and retries neither
/// status.
#[test]
fn calls_of_version_2_are_denied_with_the_prefix_that_clients_know() {
    for (call, access) in [
        ("GetCacheEntryDownloadURL", "read"),
        ("CreateCacheEntry", "write"),
        ("FinalizeCacheEntryUpload", "write"),
    ] {
        let answer = host().send(FakeRequest::call(call, "t", MESSAGE));
        assert_eq!((answer.status, answer.member("code").as_str()), (403, "permission_denied"), "{call}");
        assert_eq!(answer.member("msg"), format!("cache {access} denied: {WHO}"));
    }
}

/// Fault 21: for a reservation it reads the reason of a response with status 200 only.
#[test]
fn a_reservation_of_actions_cache_is_denied_with_a_message() {
    let create =
        FakeRequest::call("CreateCacheEntry", "t", MESSAGE).header("user-agent", "@actions/cache-6.3.0");
    let answer = host().send(create);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.member("message"), format!("cache write denied: {WHO}"));
    assert!(answer.text().contains(r#""ok":false"#));
}

/// Fault 21.
#[test]
fn calls_of_version_1_are_denied_with_a_message() {
    for (method, path, access) in [
        ("GET", "cache?keys=k&version=v", "read"),
        ("POST", "caches", "write"),
        ("PATCH", "caches/1", "write"),
        ("POST", "caches/1", "write"),
    ] {
        let request = FakeRequest::new(method, &format!("/_apis/artifactcache/{path}"));
        let answer = host().send(request.token("t").body(MESSAGE));
        assert_eq!(answer.status, 403, "{method} {path}");
        assert_eq!(answer.member("message"), format!("cache {access} denied: {WHO}"));
    }
}
