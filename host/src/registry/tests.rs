use super::*;

#[test]
fn hosts_are_compared_without_case_port_or_final_dot() {
    for (authority, host) in [
        ("Cache.Example:3000", "cache.example"),
        ("cache.example.", "cache.example"),
        ("cache.example.:80", "cache.example"),
        ("[::1]:3000", "[::1]"),
        ("[::1]", "[::1]"),
        ("127.0.0.1", "127.0.0.1"),
    ] {
        let whole = in_lower_case(authority);
        assert_eq!((&*whole, without_port(&whole)), (authority.to_ascii_lowercase().as_str(), host));
    }
}

#[test]
fn a_path_names_a_tenant_only_at_its_beginning() {
    assert_eq!(in_path("/@acme/devstoreaccount1/x"), Some(("acme", "/devstoreaccount1/x")));
    assert_eq!(in_path("/@/x"), Some(("", "/x")));
    for path in ["/@acme", "/x/@acme/y", "@acme/x", "//@acme/x", "/%40acme/x"] {
        assert_eq!(in_path(path), None, "{path}");
    }
}
