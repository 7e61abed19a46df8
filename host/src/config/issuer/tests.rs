use super::allowed_url;

#[test]
fn keys_may_come_by_https_or_from_this_machine() {
    for url in [
        "https://example.com",
        "https://example.com:8443/a?b",
        "HTTPS://example.com",
        "http://localhost:1/",
        "http://LOCALHOST/",
        "http://127.0.0.1:1/",
        "http://127.9.9.9/",
        "http://[::1]:1/",
    ] {
        assert!(allowed_url(url).is_some(), "{url}");
    }
    for url in [
        "http://example.com",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "http://[::2]/",
        "http://0.0.0.0/",
        "https://user:word@example.com/",
        "https://",
        "https:/a",
        "/a",
        "file:///etc/passwd",
        "data:,x",
        "",
    ] {
        assert!(allowed_url(url).is_none(), "{url}");
    }
}
