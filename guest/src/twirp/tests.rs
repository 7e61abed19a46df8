#![expect(clippy::unwrap_used, reason = "tests")]

use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, claims};
use crate::ports::{AuthError, HttpError};

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";
const CALLS: [&str; 3] = ["CreateCacheEntry", "FinalizeCacheEntryUpload", "GetCacheEntryDownloadURL"];

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host
}

fn lookup(content_type: Option<&str>, body: &[u8]) -> FakeRequest {
    let request =
        FakeRequest::new("POST", &format!("{SERVICE}/GetCacheEntryDownloadURL")).token("t").body(body);
    match content_type {
        Some(content_type) => request.header("content-type", content_type),
        None => request,
    }
}

#[test]
fn replies_are_encoded_as_the_request_was() {
    let host = host();
    let (json, protobuf) = (br#"{"key":"k","version":"v"}"#, b"\x12\x01k\x22\x01v");
    for content_type in [None, Some(""), Some("application/json"), Some("Application/JSON; charset=utf-8")] {
        let answer = host.send(lookup(content_type, json));
        assert_eq!(
            (answer.status, &*answer.text()),
            (200, r#"{"ok":false,"signed_download_url":"","matched_key":""}"#),
            "{content_type:?}"
        );
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for content_type in ["application/protobuf", "APPLICATION/PROTOBUF ; x=y"] {
        let answer = host.send(lookup(Some(content_type), protobuf));
        assert_eq!((answer.status, &*answer.body), (200, &b""[..]), "{content_type}");
        assert_eq!(answer.header("content-type"), "application/protobuf");
    }
}

#[test]
fn errors_are_json_whatever_the_request_was() {
    let host = host();
    for (content_type, body) in [
        ("application/protobuf", &b"\xff"[..]),
        ("application/protobuf", b""),
        ("application/json", b"<html>"),
        ("application/json", b""),
        ("text/plain", b"{}"),
        ("application/jsonx", b"{}"),
    ] {
        let answer = host.send(lookup(Some(content_type), body));
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, "application/json"),
            "{content_type}"
        );
        assert!(["malformed", "invalid_argument"].contains(&&*answer.member("code")), "{content_type}");
        assert!(!answer.member("msg").is_empty());
    }
}

#[test]
fn each_token_error_has_its_message() {
    let text = || "x".repeat(100_000);
    for (error, status, code) in [
        (AuthError::Missing, 401, "unauthenticated"),
        (AuthError::Malformed(text()), 401, "unauthenticated"),
        (AuthError::Expired, 401, "unauthenticated"),
        (AuthError::NotYetValid, 401, "unauthenticated"),
        (AuthError::BadSignature, 401, "unauthenticated"),
        (AuthError::UntrustedIssuer(text()), 401, "unauthenticated"),
        (AuthError::BadClaim(text()), 401, "unauthenticated"),
        (AuthError::Unavailable("keys".to_owned()), 503, "unavailable"),
    ] {
        let host = FakeHost::new();
        host.set_token("t", Err(error.clone()));
        for call in CALLS {
            let answer = host.send(FakeRequest::call(call, "t", r#"{"key":"k","version":"v"}"#));
            assert_eq!((answer.status, &*answer.member("code")), (status, code), "{error:?}");
            assert!(answer.body.len() < 4096);
        }
        assert!(!host.take_calls().contains(&"http.read-body"), "the body of a stranger is not read");
    }
}

#[test]
fn an_unreadable_message_has_an_error() {
    for (error, status, code) in [
        (HttpError::TooLarge, 400, "invalid_argument"),
        (HttpError::CutShort, 400, "malformed"),
        (HttpError::BodyUsed, 500, "internal"),
        (HttpError::Unavailable("x".to_owned()), 503, "unavailable"),
        (HttpError::Busy, 503, "unavailable"),
    ] {
        let host = host();
        host.fail("http.read-body", Fault::Http(error.clone()));
        let answer = host.send(FakeRequest::call("CreateCacheEntry", "t", "{}"));
        assert_eq!((answer.status, &*answer.member("code")), (status, code), "{error:?}");
    }
    let answer = host().send(lookup(None, &vec![b' '; 256 * 1024 + 1]));
    assert_eq!((answer.status, &*answer.member("code")), (400, "invalid_argument"));
}

#[test]
fn unknown_calls_are_bad_route_in_json() {
    let host = host();
    for (method, call) in [
        ("POST", "DeleteCacheEntry"),
        ("POST", "ListCacheEntries"),
        ("POST", "LookupCacheEntry"),
        ("GET", "CreateCacheEntry"),
        ("PUT", "GetCacheEntryDownloadURL"),
        ("POST", ""),
    ] {
        let answer = host.send(FakeRequest::new(method, &format!("{SERVICE}/{call}")).token("t"));
        assert_eq!((answer.status, &*answer.member("code")), (404, "bad_route"), "{method} {call}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    assert!(host.take_calls().is_empty());
}

#[test]
fn authority_comes_from_the_token_and_never_from_the_message() {
    let host = host();
    host.set_token("other", Ok(claims("2", "other", &["main=rw"])));
    host.add_entry("main", "v", "k", b"secret");
    let message = r#"{"metadata":{"repository_id":"1","scope":[{"scope":"main","permission":"3"}]},"key":"k","version":"v"}"#;
    assert_eq!(
        host.send(FakeRequest::call("GetCacheEntryDownloadURL", "other", message)).text(),
        r#"{"ok":false,"signed_download_url":"","matched_key":""}"#
    );
    assert_eq!(host.send(FakeRequest::call("CreateCacheEntry", "other", message)).status, 200);
    assert_eq!(host.uploads()[0].slot.repository, "2");
}

#[test]
fn save_and_restore_work_in_protobuf() {
    let host = host();
    let call = |call: &str, body: &[u8]| {
        let request = FakeRequest::new("POST", &format!("{SERVICE}/{call}")).token("t");
        host.send(request.header("content-type", "application/protobuf").body(body))
    };
    let url = |answer: &FakeResponse| {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        text[text.find("http").unwrap()..].split('\u{1a}').next().unwrap().to_owned()
    };
    let created = call("CreateCacheEntry", b"\x12\x01k\x1a\x01v");
    assert_eq!((created.status, &created.body[..3]), (200, &b"\x08\x01\x12"[..]));
    assert_eq!(host.send(FakeRequest::new("PUT", &url(&created)).body("hello")).status, 201);
    let finalized = call("FinalizeCacheEntryUpload", b"\x12\x01k\x18\x05\x22\x01v");
    assert_eq!((finalized.status, &finalized.body[..3]), (200, &b"\x08\x01\x10"[..]));
    let found = call("GetCacheEntryDownloadURL", b"\x12\x01k\x22\x01v");
    assert!(found.body.ends_with(b"\x1a\x01k"));
    assert_eq!(host.send(FakeRequest::new("GET", &url(&found))).text(), "hello");
}
