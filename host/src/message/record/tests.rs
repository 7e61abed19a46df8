//! What the request log may not say.

use http::{HeaderMap, Method, StatusCode};

use super::{Outcome, RequestRecord, loggable, milliseconds};
use crate::message::error_response;

/// Fault 25: act puts a secret before the path of the cache service.
#[test]
fn what_stands_before_a_service_is_not_logged() {
    for (path, logged) in [
        ("/hush/_apis/artifactcache/caches/1", "…/_apis/artifactcache/caches/1"),
        ("/a/hush/_apis/artifactcache/cache", "…/_apis/artifactcache/cache"),
        ("/hush/twirp/x.Service/Call", "…/twirp/x.Service/Call"),
        ("/hush/twirp/_apis/artifactcache/cache", "…/twirp/_apis/artifactcache/cache"),
        ("/_apis/artifactcache/cache", "/_apis/artifactcache/cache"),
        ("/twirp/x.Service/Call", "/twirp/x.Service/Call"),
        ("/devstoreaccount1/upload/u", "/devstoreaccount1/upload/u"),
    ] {
        assert_eq!(loggable(path), logged);
    }
    assert_eq!(loggable(&format!("/{}", "é".repeat(400))).len(), 255);
}

/// Fault 25: the unit is in the field's name.
#[test]
fn a_duration_is_in_milliseconds_with_decimals() {
    assert_eq!(milliseconds(1_234_567).to_string(), "1234.567");
    assert_eq!(milliseconds(250).to_string(), "0.25");
}

/// Fault 10: only a success shows that a URL's signature was valid.
#[test]
fn a_request_without_a_token_is_authorized_by_success_with_an_object() {
    let outcomes = [
        (Outcome { upload: Some("u".to_owned()), ..Outcome::default() }, true),
        (Outcome { entry: Some(1), ..Outcome::default() }, true),
        (Outcome { repository: Some("1".to_owned()), ..Outcome::default() }, false),
    ];
    for (outcome, names_object) in outcomes {
        for status in [StatusCode::CREATED, StatusCode::FORBIDDEN] {
            let record =
                RequestRecord::new("id", [192, 0, 2, 1].into(), &Method::GET, "/", &HeaderMap::new());
            record.set_outcome(outcome.clone());
            assert!(!record.is_authorized());
            record.set_response(&error_response(status, "code", "why", "id"), false);
            assert_eq!(record.is_authorized(), names_object && status.is_success(), "{outcome:?} {status}");
        }
    }
}
