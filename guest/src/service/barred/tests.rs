use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, NOW_MS};
use crate::ports::{Cause, IndexError, Trust};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// A trusted entry of the default branch that left, and a job that outsiders may start on it.
fn host(cause: Cause, trust: Trust) -> FakeHost {
    let host = FakeHost::new();
    host.configure(|settings| settings.barred_ms = Some(24 * HOUR_MS));
    host.allow("trusted", &["main=rw"]);
    host.allow("open", &["main=rw"]);
    host.set_event("open", "pull_request_target");
    let id = host.add_entry("main", "v", "k", b"x");
    host.set_trust(id, trust);
    host.depart(id, cause, NOW_MS - HOUR_MS);
    host.take_calls();
    host
}

fn save(host: &FakeHost, token: &str, agent: &str, key: &str, at_ms: u64) -> FakeResponse {
    let message = serde_json::json!({ "key": key, "version": "v" }).to_string();
    let call = FakeRequest::call("CreateCacheEntry", token, &message).header("user-agent", agent);
    host.send(call.at(at_ms))
}

#[test]
fn a_key_that_was_evicted_or_revoked_cannot_be_saved_with_less_trust() {
    for cause in [Cause::Revoked, Cause::Size, Cause::Quota] {
        let host = host(cause, Trust::Full);
        let refused = save(&host, "open", "curl", "k", NOW_MS);
        assert_eq!((refused.status, &*refused.member("code")), (403, "permission_denied"));
        assert!(refused.member("msg").starts_with("cache write denied:"), "{}", refused.text());
        assert!(host.uploads().is_empty());
        // Keys match in any case, and only this one is barred.
        assert_eq!(save(&host, "open", "curl", "K", NOW_MS).status, 403);
        assert_eq!(save(&host, "open", "curl", "k2", NOW_MS).status, 200);
        // Not for ever, and not for others.
        assert_eq!(save(&host, "open", "curl", "k", NOW_MS + 23 * HOUR_MS).status, 200);
        let host = self::host(Cause::Size, Trust::Full);
        assert_eq!(save(&host, "trusted", "curl", "k", NOW_MS).status, 200);
        assert!(!host.take_calls().contains(&"index.list-departed"), "only savers of low trust pay");
    }
}

#[test]
fn other_departures_and_those_of_low_trust_bar_nothing() {
    for (cause, trust) in [(Cause::Age, Trust::Full), (Cause::Stale, Trust::Full), (Cause::Size, Trust::Low)]
    {
        assert_eq!(save(&host(cause, trust), "open", "curl", "k", NOW_MS).status, 200);
    }
    // The last one counts.
    let host = host(Cause::Size, Trust::Full);
    let id = host.add_entry("main", "v", "k", b"x");
    host.depart(id, Cause::Age, NOW_MS - 1);
    assert_eq!(save(&host, "open", "curl", "k", NOW_MS).status, 200);
}

#[test]
fn other_scopes_and_versions_are_not_barred() {
    let host = host(Cause::Size, Trust::Full);
    host.allow("pr", &["pr=rw", "main=r"]);
    assert_eq!(save(&host, "pr", "curl", "k", NOW_MS).status, 200);
    let other = r#"{"key":"k","version":"w"}"#;
    assert_eq!(host.send(FakeRequest::call("CreateCacheEntry", "open", other)).status, 200);
}

#[test]
fn each_client_is_told_in_its_terms() {
    let host = host(Cause::Size, Trust::Full);
    let warned = save(&host, "open", "@actions/cache-6.3.0", "k", NOW_MS);
    assert_eq!((warned.status, warned.json()["ok"].as_bool()), (200, Some(false)));
    assert!(warned.member("message").starts_with("cache write denied:"), "{}", warned.text());
    // Its export fails on any other refusal.
    let exists = save(&host, "open", "buildkit/v0.25", "k", NOW_MS);
    assert_eq!((exists.status, &*exists.member("code")), (409, "already_exists"));
    let version_1 = FakeRequest::new("POST", "/_apis/artifactcache/caches").token("open");
    assert_eq!(host.send(version_1.body(r#"{"key":"k","version":"v"}"#)).status, 403);
}

/// Its key is the digest of its content.
#[test]
fn a_layer_of_buildkit_is_not_barred() {
    let host = host(Cause::Size, Trust::Full);
    let id = host.add_entry("main", "v", "buildkit-blob-1-sha256:00", b"x");
    host.depart(id, Cause::Size, NOW_MS - 1);
    assert_eq!(save(&host, "open", "buildkit/v0.25", "buildkit-blob-1-sha256:00", NOW_MS).status, 200);
}

#[test]
fn nothing_is_saved_while_it_is_unknown_and_nothing_asked_where_it_is_off() {
    let host = host(Cause::Size, Trust::Full);
    host.fail("index.list-departed", Fault::Index(IndexError::Unavailable("x".into())));
    assert_eq!(save(&host, "open", "curl", "k", NOW_MS).status, 503);
    host.configure(|settings| settings.barred_ms = None);
    assert_eq!(save(&host, "open", "curl", "k", NOW_MS).status, 200);
}
