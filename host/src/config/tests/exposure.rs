//! What an operator is told of who reaches the server, and who may use it.

use super::from_env;

const OPEN: &str = "EVERY repository on github.com";
const UNREACHABLE: &str = "no runner can connect";

/// The sentences, cut to their beginnings.
fn told(variables: &[(&str, &str)]) -> Vec<String> {
    from_env(variables).unwrap().exposure()
}

#[track_caller]
fn assert_told(variables: &[(&str, &str)], beginnings: &[&str]) {
    let told = told(variables);
    assert_eq!(told.len(), beginnings.len(), "{variables:?}: {told:?}");
    for (sentence, beginning) in told.iter().zip(beginnings) {
        assert!(sentence.starts_with(beginning), "{variables:?}: {sentence}");
    }
}

/// Fault 21.
#[test]
fn a_server_that_all_of_github_may_use_says_so() {
    let all = ("LARDER_LISTEN", ":3000");
    assert_told(&[], &[]);
    assert_told(&[all], &[OPEN]);
    assert_told(&[("PORT", "80")], &[OPEN]);
    assert_told(&[all, ("ACTIONS_TOKEN_ISSUER", "https://token.actions.githubusercontent.com/")], &[OPEN]);
    // A proxy in front.
    assert_told(&[("API_BASE_URL", "https://cache.example")], &[OPEN]);
    assert_told(&[("API_BASE_URL", "http://localhost:3000")], &[]);
    for closed in [
        ("LARDER_OWNERS", "42"),
        ("LARDER_REPOSITORIES", "octo/hello"),
        ("LARDER_HS256_SECRET", "0123456789abcdef"),
        ("ACTIONS_TOKEN_ISSUER", "https://ghes.example"),
        // The issuer of one enterprise.
        ("ACTIONS_TOKEN_ISSUER", "https://token.actions.githubusercontent.com/octo"),
        ("SKIP_TOKEN_VALIDATION", "1"),
    ] {
        assert_told(&[all, closed], &[]);
    }
}

/// Fault 23.
#[test]
fn a_base_url_that_leads_to_no_listener_is_told() {
    let owners = ("LARDER_OWNERS", "42");
    let base = ("API_BASE_URL", "http://cache.example:3000");
    assert_told(&[owners, base], &[UNREACHABLE]);
    assert!(told(&[owners, base])[0].contains("LARDER_LISTEN=0.0.0.0:3000"));
    assert_told(&[owners, base, ("LARDER_LISTEN", ":3000")], &[]);
    // This server has no TLS, so there is a proxy.
    assert_told(&[owners, ("API_BASE_URL", "https://cache.example")], &[]);
    assert_told(&[owners, ("API_BASE_URL", "http://[::1]:3000")], &[]);
    // With TLS there need not be one.
    let tls = [("LARDER_TLS_CERTIFICATE", "/c"), ("LARDER_TLS_KEY", "/k")];
    let with_tls = |url| [owners, ("API_BASE_URL", url), tls[0], tls[1]];
    assert_told(&with_tls("https://cache.example"), &[UNREACHABLE]);
    assert_told(
        &with_tls("http://cache.example"),
        &["jobs are sent to http://cache.example (server.base_url"],
    );
    // Before a Unix socket there is one.
    assert_told(&[owners, base, ("LARDER_LISTEN", "unix:/run/larder.sock")], &[]);
}
