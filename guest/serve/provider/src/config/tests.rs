#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use super::Settings;
use crate::index::KeyRule;

const SECRET: (&str, &str) = ("LARDER_HS256_SECRET", "a secret of enough bytes");

fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
    Settings::read(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn settings_have_the_native_servers_names_and_defaults() {
    let settings =
        read(&[SECRET, ("API_BASE_URL", "https://cache.example.com/"), ("HOME", "/root")]).unwrap();
    assert_eq!(settings.base_url.as_deref(), Some("https://cache.example.com"));
    assert_eq!(settings.upstream.as_deref(), Some("https://results-receiver.actions.githubusercontent.com"));
    assert_eq!((settings.unused_days, settings.orphan_grace_ms), (90, 86_400_000));
    assert_eq!((settings.keys, settings.max_bytes, settings.sweep_token), (KeyRule::AnyCase, None, None));
    for none in ["", "none"] {
        assert_eq!(read(&[SECRET, ("DEFAULT_ACTIONS_RESULTS_URL", none)]).unwrap().upstream, None);
    }
}

#[test]
fn facts_are_those_of_the_native_server_unless_fewer_are_wanted() {
    let facts = |list| read(&[SECRET, ("LARDER_FACTS", list)]).unwrap().auth.facts;
    assert_eq!(facts(""), crate::facts::CLAIMS);
    assert_eq!(facts("none"), [""; 0]);
    assert_eq!(facts("run_id, actor"), ["run_id", "actor"]);
}

#[test]
fn what_cannot_be_followed_is_an_error_with_its_name() {
    for (name, value) in [
        ("LARDER_HS256_SECRT", "x"),
        ("LARDER_DATA", "/srv"),
        ("DB_DRIVER", "postgres"),
        ("STORAGE_DRIVER", "s3"),
        ("ACTIONS_TOKEN_JWKS_URL", "https://example.com/jwks"),
        ("API_BASE_URL", "cache.example.com"),
        ("API_BASE_URL", "https://cache.example.com/path"),
        ("DEBUG", "maybe"),
        ("LARDER_MAX_BYTES", "10G"),
        ("CACHE_CLEANUP_OLDER_THAN_DAYS", "-1"),
        ("LARDER_JWKS_FILE", "jwks.json"),
        ("ACTIONS_TOKEN_ISSUER", "https://example.com"),
        ("LARDER_SWEEP_TOKEN", "short"),
        ("URL_SIGNING_SECRET", "short"),
        ("URL_SIGNING_SECRET_SECONDARY", "long enough, but there is no first one"),
        ("SKIP_TOKEN_VALIDATION", "true"),
        ("RUST_LOG", "larder=debug"),
        ("LARDER_FACTS", "run_id,secret"),
    ] {
        let problem = read(&[SECRET, (name, value)]).expect_err(name);
        assert!(problem.contains(name), "{problem}");
        assert!(!problem.contains(SECRET.1), "{problem}");
    }
    assert!(read(&[]).unwrap_err().contains("LARDER_HS256_SECRET"));
    let outside = [("ACTIONS_TOKEN_ISSUER", "https://example.com"), ("LARDER_JWKS_FILE", "../jwks.json")];
    assert!(read(&outside).unwrap_err().contains("LARDER_JWKS_FILE"));
}

#[test]
fn a_secret_is_not_shown() {
    let settings = read(&[SECRET, ("URL_SIGNING_SECRET", "another secret, just as long")]).unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains(SECRET.1) && !shown.contains("another secret"), "{shown}");
}
