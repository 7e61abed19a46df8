//! What is refused, and what fails: the status of each.

use super::*;

#[test]
fn unknown_uploads_and_unknown_calls_are_404() {
    let host = host();
    for (method, path) in [
        ("PATCH", "caches/77"),
        ("PATCH", "caches/0"),
        ("PATCH", "caches/x"),
        ("PATCH", "caches/99999999999999999999999"),
        ("POST", "caches/77"),
        ("POST", "caches/-1"),
        ("DELETE", "caches/1"),
        ("GET", "artifacts/1"),
        ("POST", "clean"),
    ] {
        let request = FakeRequest::new(method, &format!("{API}/{path}")).token("t");
        let request =
            request.header("content-range", "bytes 0-9/*").body(r#"{"size":10}"#.get(..10).unwrap());
        let answer = host.send(request);
        let status = if method == "POST" && path.starts_with("caches/7") { 400 } else { 404 };
        assert_refused(&answer, status);
    }
    assert_refused(&commit(&host, 77, 1), 404);
}

#[test]
fn a_gitea_token_has_one_scope_without_a_name() {
    let host = host();
    host.set_token("gitea", Ok(claims("default", "gitea", &["=rw"])));
    let answer = reserve(&host, "gitea", r#"{"key":"k","version":"v"}"#);
    let id = answer.json()["cacheId"].as_u64().unwrap();
    let chunk = FakeRequest::new("PATCH", &format!("{API}/caches/{id}")).token("gitea");
    assert_done(&host.send(chunk.header("content-range", "bytes 0-0/*").body("x")));
    let done = FakeRequest::new("POST", &format!("{API}/caches/{id}")).token("gitea").body(r#"{"size":1}"#);
    assert_done(&host.send(done));
    let found = get(&host, "gitea", "cache?keys=k&version=v");
    assert_eq!((found.status, &*found.member("scope")), (200, ""));
}

#[test]
fn a_rejected_token_is_a_401() {
    for (error, status) in [
        (AuthError::Missing, 401),
        (AuthError::Expired, 401),
        (AuthError::BadSignature, 401),
        (AuthError::Unavailable("keys".into()), 503),
    ] {
        let host = FakeHost::new();
        host.set_token("t", Err(error));
        for (method, path) in [
            ("GET", "cache"),
            ("GET", "caches"),
            ("POST", "caches"),
            ("PATCH", "caches/1"),
            ("POST", "caches/1"),
        ] {
            let answer = host.send(FakeRequest::new(method, &format!("{API}/{path}")).token("t").body("{}"));
            assert_refused(&answer, status);
        }
        assert!(
            !host.take_calls().iter().any(|call| call.starts_with("storage.") || call.starts_with("http."))
        );
    }
}

#[test]
fn storage_failures_have_statuses_that_control_retries() {
    for (error, status) in [
        (StorageError::NotFound, 404),
        (StorageError::NoSpace, 507),
        (StorageError::TooLarge, 400),
        (StorageError::Invalid("x".into()), 400),
        (StorageError::Unavailable("x".into()), 503),
    ] {
        let host = host();
        let id = reserved(&host);
        host.fail("storage.put-block", Fault::Storage(error.clone()));
        assert_refused(&send(&host, id, 0, b"x"), status);
        host.heal();
        assert_done(&send(&host, id, 0, b"x"));
        for call in ["storage.blocks", "storage.commit"] {
            host.fail(call, Fault::Storage(error.clone()));
            assert_refused(&commit(&host, id, 1), status);
            host.heal();
        }
        assert_done(&commit(&host, id, 1));
    }
}

/// `@actions/cache` says at once how large the entry will be, and warns of a 400 alone.
#[test]
fn what_does_not_fit_is_refused_before_it_is_sent() {
    let host = host();
    host.fail("storage.reserve-room", Fault::Storage(StorageError::NoSpace));
    let reserve = |agent: &str, message: &str| {
        let request = FakeRequest::new("POST", &format!("{API}/caches")).token("t");
        host.send(request.header("user-agent", agent).body(message))
    };
    let sized = r#"{"key":"k","version":"v","cacheSize":123}"#;
    let refused = reserve("actions/cache", sized);
    assert_refused(&refused, 400);
    assert_eq!(refused.member("message"), crate::service::FULL);
    host.abandon_key("k");
    assert_refused(&reserve("act/0.2", sized), 507);
    host.abandon_key("k");
    // Its size is unknown: it is refused when it does not fit.
    assert_eq!(reserve("act/0.2", r#"{"key":"k","version":"v"}"#).status, 201);
    host.abandon_key("k");
    host.heal();
    host.take_calls();
    assert_eq!(reserve("actions/cache", sized).status, 201);
    assert!(host.take_calls().contains(&"storage.reserve-room"));
}

#[test]
fn index_failures_are_transient() {
    let fault = || Fault::Index(IndexError::Unavailable("x".into()));
    let host = host();
    host.fail("index.find", fault());
    assert_refused(&get(&host, "t", "cache?keys=k&version=v"), 503);
    host.heal();
    host.fail("index.reserve", fault());
    assert_refused(&reserve(&host, "t", r#"{"key":"k","version":"v"}"#), 503);
    host.heal();
    let id = reserved(&host);
    host.fail("index.get-upload-by-id", fault());
    assert_refused(&send(&host, id, 0, b"x"), 503);
    host.heal();
    assert_done(&send(&host, id, 0, b"x"));
    for call in ["index.get-upload-by-id", "index.attach", "index.finalize"] {
        host.fail(call, fault());
        assert_refused(&commit(&host, id, 1), 503);
        host.heal();
    }
    assert_done(&commit(&host, id, 1));
    host.fail("index.get-entry-of-upload", fault());
    assert_refused(&commit(&host, id, 1), 503);
    host.heal();
    for (error, status) in [(HttpError::TooLarge, 400), (HttpError::CutShort, 400), (HttpError::Busy, 503)] {
        host.fail("http.read-body", Fault::Http(error));
        assert_refused(&reserve(&host, "t", "{}"), status);
    }
}

#[test]
fn content_over_the_limit_is_rejected_as_early_as_possible() {
    let host = host();
    let id = reserved(&host);
    host.configure(|settings| settings.max_entry_bytes = Some(3));
    assert_refused(&send(&host, id, 0, b"four"), 400);
    assert_refused(&send(&host, id, 3, b"4"), 400);
    let chunks = FakeRequest::new("PATCH", &format!("/_apis/artifactcache/caches/{id}")).token("t");
    let longer = host.send(chunks.header("content-range", "bytes 0-2/*").chunked("four"));
    assert_refused(&longer, 400);
    assert!(longer.member("message").contains("larger than this server allows"));
    assert_done(&send(&host, id, 0, b"333"));
    host.configure(|settings| settings.max_entry_bytes = Some(2));
    assert_refused(&commit(&host, id, 3), 400);
    assert_nothing_is_stored(&host);
}
