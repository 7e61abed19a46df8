use crate::fake::{FakeHost, FakeRequest, FakeUpstream, Fault};
use crate::ports::HttpError;

fn artifact() -> FakeRequest {
    FakeRequest::new("POST", "/twirp/github.actions.results.api.v1.ArtifactService/CreateArtifact").body("{}")
}

#[test]
fn other_requests_are_forwarded_and_the_response_is_unchanged() {
    let host = FakeHost::new();
    host.set_upstream(FakeUpstream { status: 418, body: b"<html>".to_vec() });
    let answer = host.send(artifact());
    assert_eq!((answer.status, &*answer.text()), (418, "<html>"));
    assert!(answer.headers.is_empty());
    assert_eq!(host.take_calls(), ["http.forward"]);
}

/// Fault 26.
#[test]
fn misdirected_requests_get_an_explanation() {
    let service = "twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry";
    for (path, told) in [
        (&*format!("/x/{service}"), "without a path"),
        (&*format!("//{service}"), "without a path"),
        ("/x/devstoreaccount1/upload/u1", "without a path"),
        ("/metrics", "/health"),
        ("/favicon.ico", "/health"),
        ("/robots.txt", "/health"),
    ] {
        let host = FakeHost::new();
        host.set_upstream(FakeUpstream { status: 418, body: Vec::new() });
        for method in ["GET", "POST"] {
            let answer = host.send(FakeRequest::new(method, path).token("secret").body("{}"));
            assert_eq!((answer.status, &*answer.member("code")), (404, "bad_route"), "{path}");
            assert_eq!(answer.header("content-type"), "application/json");
            assert!(answer.member("msg").contains(told), "{path}: {}", answer.text());
        }
        assert!(host.take_calls().is_empty(), "{path}");
    }
}

#[test]
fn without_an_upstream_the_response_is_a_404_in_json() {
    let answer = FakeHost::new().send(artifact());
    assert_eq!((answer.status, &*answer.member("code")), (404, "bad_route"));
    assert_eq!(answer.header("content-type"), "application/json");
}

#[test]
fn forwarding_errors_are_json() {
    for (error, status, code) in [
        (HttpError::Unavailable("refused".to_owned()), 502, "unavailable"),
        (HttpError::CutShort, 400, "malformed"),
        (HttpError::TooLarge, 400, "invalid_argument"),
        (HttpError::BodyUsed, 500, "internal"),
    ] {
        let host = FakeHost::new();
        host.fail("http.forward", Fault::Http(error.clone()));
        let answer = host.send(artifact());
        assert_eq!((answer.status, &*answer.member("code")), (status, code), "{error:?}");
        assert_eq!(host.take_log().len(), usize::from(status >= 500), "{error:?}");
    }
}

/// The host logs that it is busy; a line for each request would be too many.
#[test]
fn a_busy_server_is_a_503() {
    let host = FakeHost::new();
    host.fail("http.forward", Fault::Http(HttpError::Busy));
    let answer = host.send(artifact());
    assert_eq!((answer.status, &*answer.member("code"), host.take_log().len()), (503, "unavailable", 0));
}
