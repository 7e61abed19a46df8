//! Where a client reached the server.
#![allow(clippy::unwrap_used, reason = "tests")]

use http::request::Parts;

use super::origin::origin;

fn head(uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder().uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn the_configured_base_url_wins() {
    let head = head("/", &[("host", "other")]);
    assert_eq!(origin(Some("https://cache.example"), &head).unwrap(), "https://cache.example");
}

#[test]
fn else_the_host_field_counts_with_the_scheme_that_a_proxy_names() {
    assert_eq!(origin(None, &head("/", &[("host", "h:3000")])).unwrap(), "http://h:3000");
    let behind_tls = head("/", &[("host", "h"), ("x-forwarded-proto", "HTTPS")]);
    assert_eq!(origin(None, &behind_tls).unwrap(), "https://h");
    assert_eq!(origin(None, &head("http://from.http2:80/x", &[])).unwrap(), "http://from.http2:80");
}

#[test]
fn a_host_that_is_none_is_refused() {
    let long = "h".repeat(300);
    for host in ["", "a b", "user@host", "h/path", "h\"x", long.as_str()] {
        assert_eq!(origin(None, &head("/", &[("host", host)])), None, "{host:?}");
    }
    assert_eq!(origin(None, &head("/", &[])), None);
}
