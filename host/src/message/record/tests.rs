//! What the request log may not say.

use super::{loggable, milliseconds};

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
