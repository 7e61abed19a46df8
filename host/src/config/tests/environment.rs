use std::ffi::OsString;

use super::{from_env, load, refused};
use crate::config::{Config, Settings};

/// A variable, its value, and how to see its effect.
type Effect = (&'static str, &'static str, fn(&Settings) -> String, &'static str);

#[test]
fn every_variable_sets_its_setting() {
    let cases: &[Effect] = &[
        ("LARDER_DATA", "/d", |s| s.data.display().to_string(), "/d"),
        ("LARDER_LISTEN", "[::1]:80", |s| s.server.listen.to_string(), "[::1]:80"),
        ("LARDER_LISTEN", "localhost:81", |s| s.server.listen.to_string(), "127.0.0.1:81"),
        ("LARDER_LISTEN", ":82", |s| s.server.listen.to_string(), "0.0.0.0:82"),
        ("LARDER_LISTEN", "83", |s| s.server.listen.to_string(), "127.0.0.1:83"),
        ("LARDER_LISTEN", "unix:/run//larder.sock", |s| s.server.listen.to_string(), "unix:/run/larder.sock"),
        ("LARDER_SOCKET_MODE", "0600", |s| format!("{:o}", s.server.socket_mode.bits()), "600"),
        ("NITRO_PORT", "8080", |s| s.server.listen.to_string(), "127.0.0.1:8080"),
        ("PORT", "8080", |s| s.server.listen.to_string(), "0.0.0.0:8080"),
        (
            "API_BASE_URL",
            "https://c.example//",
            |s| format!("{:?}", s.server.base_url),
            "Some(\"https://c.example\")",
        ),
        ("LARDER_THREADS", "3", |s| s.server.thread_count().to_string(), "3"),
        ("LARDER_MAX_CONNECTIONS", "9", |s| s.server.max_connections.to_string(), "9"),
        (
            "LARDER_TRUSTED_PROXIES",
            "10.0.0.5, fd00::/8",
            |s| format!("{:?}", s.server.trusted_proxies),
            "[10.0.0.5/32, fd00::/8]",
        ),
        ("STORAGE_DRIVER", "filesystem", |s| format!("{:?}", s.storage.driver), "Filesystem"),
        ("STORAGE_FILESYSTEM_PATH", "/f", |s| format!("{:?}", s.storage.filesystem.path), "Some(\"/f\")"),
        ("LARDER_RESERVE_BYTES", "1048576", |s| s.storage.filesystem.reserve_bytes.to_string(), "1048576"),
        ("LARDER_BUFFER_BYTES", "1048576", |s| s.storage.buffer_bytes.to_string(), "1048576"),
        ("DB_DRIVER", "sqlite", |s| format!("{:?}", s.database.driver), "Sqlite"),
        ("DB_SQLITE_PATH", "/s", |s| format!("{:?}", s.database.sqlite.path), "Some(\"/s\")"),
        (
            "DEFAULT_ACTIONS_RESULTS_URL",
            "http://u:1/",
            |s| format!("{:?}", s.upstream.url),
            "Some(\"http://u:1\")",
        ),
        ("DEFAULT_ACTIONS_RESULTS_URL", "", |s| format!("{:?}", s.upstream.url), "None"),
        ("DEFAULT_ACTIONS_RESULTS_URL", "none", |s| format!("{:?}", s.upstream.url), "None"),
        ("SKIP_TOKEN_VALIDATION", "1", |s| s.auth.skip_validation.to_string(), "true"),
        ("SKIP_TOKEN_VALIDATION", "False", |s| s.auth.skip_validation.to_string(), "false"),
        (
            "ACTIONS_TOKEN_ISSUER",
            "https://i.example",
            |s| s.auth.issuers[0].issuer.clone(),
            "https://i.example",
        ),
        (
            "ACTIONS_TOKEN_JWKS_URL",
            "https://k.example/keys",
            |s| format!("{:?}", s.auth.issuers[0].jwks_url),
            "Some(\"https://k.example/keys\")",
        ),
        ("LARDER_JWKS_FILE", "/k", |s| format!("{:?}", s.auth.issuers[0].jwks_file), "Some(\"/k\")"),
        (
            "LARDER_HS256_SECRET",
            "0123456789abcdef",
            |s| s.auth.hs256_secrets[0].expose().into(),
            "0123456789abcdef",
        ),
        (
            "LARDER_DEFAULT_REPOSITORY",
            "gitea",
            |s| format!("{:?}", s.auth.default_repository),
            "Some(\"gitea\")",
        ),
        ("LARDER_OWNERS", "octo, 42,", |s| s.auth.owners.join("|"), "octo|42"),
        ("LARDER_FACTS", "run_id, actor", |s| s.auth.facts.join("|"), "run_id|actor"),
        ("LARDER_FACTS", "none", |s| s.auth.facts.join("|"), ""),
        ("LARDER_REPOSITORIES", "octo/hello", |s| s.auth.repositories.join("|"), "octo/hello"),
        ("LARDER_DB_MAX_CONNECTIONS", "3", |s| s.database.max_connections.to_string(), "3"),
        ("LARDER_DB_TIMEOUT_MS", "300", |s| s.database.timeout_ms.to_string(), "300"),
        ("LARDER_CASE_SENSITIVE_KEYS", "true", |s| s.database.case_sensitive_keys.to_string(), "true"),
        ("URL_SIGNING_SECRET", "0123456789abcdef", |s| format!("{:?}", s.urls.signing_secret), "Some(***)"),
        ("LARDER_RULES", "/r.js", |s| format!("{:?}", s.rules.file), "Some(\"/r.js\")"),
        ("LARDER_RULES_SHADOW", "/s.js", |s| format!("{:?}", s.rules.shadow), "Some(\"/s.js\")"),
        ("LARDER_POLICY", "/p.wasm", |s| format!("{:?}", s.policy.component), "Some(\"/p.wasm\")"),
        ("CACHE_CLEANUP_OLDER_THAN_DAYS", "0", |s| s.retention.unused_days.to_string(), "0"),
        ("LARDER_NEVER_USED_DAYS", "7", |s| s.retention.never_used_days.to_string(), "7"),
        ("LARDER_MAX_AGE_DAYS", "30", |s| s.retention.max_age_days.to_string(), "30"),
        ("LARDER_BARRED_HOURS", "0", |s| s.retention.barred_hours.to_string(), "0"),
        ("ORPHANED_STORAGE_GRACE_PERIOD_HOURS", "2", |s| s.retention.orphan_grace_hours.to_string(), "2"),
        ("DISABLE_CLEANUP_JOBS", "true", |s| s.retention.disable.to_string(), "true"),
        ("LARDER_LOG_FORMAT", "json", |s| format!("{:?}", s.log.format), "Json"),
        ("DEBUG", "true", |s| s.log.debug.to_string(), "true"),
        ("NODE_EXTRA_CA_CERTS", "/ca", |s| format!("{:?}", s.tls.ca_file), "Some(\"/ca\")"),
        ("LARDER_CA_FILE", "/ca", |s| format!("{:?}", s.tls.ca_file), "Some(\"/ca\")"),
        ("HTTP_PROXY", "http://p", |s| s.proxy.for_http().unwrap().expose().to_owned(), "http://p"),
        ("http_proxy", "http://p", |s| s.proxy.for_http().unwrap().expose().to_owned(), "http://p"),
        ("HTTPS_PROXY", "p:3128", |s| s.proxy.for_https().unwrap().expose().to_owned(), "p:3128"),
        ("https_proxy", "https://p", |s| s.proxy.for_https().unwrap().expose().to_owned(), "https://p"),
        ("ALL_PROXY", "http://p", |s| s.proxy.for_https().unwrap().expose().to_owned(), "http://p"),
        ("all_proxy", "http://p", |s| s.proxy.for_http().unwrap().expose().to_owned(), "http://p"),
        ("NO_PROXY", "a,b", |s| s.proxy.no.clone(), "a,b"),
        ("no_proxy", "*", |s| s.proxy.no.clone(), "*"),
    ];
    for (name, value, effect, expected) in cases {
        let config = from_env(&[(name, value)]).unwrap_or_else(|e| panic!("{name}={value}: {e}"));
        assert_eq!(effect(&config.settings), *expected, "{name}={value}");
        assert!(config.warnings.is_empty(), "{name}: {:?}", config.warnings);
    }
}

#[test]
fn a_variable_wins_over_the_file_and_an_empty_one_does_not() {
    let file = "[server]\nthreads = 5\nlisten = \"10.0.0.1:1\"";
    let threads = |variables: &[(&str, &str)]| load(file, variables).unwrap().settings.server.threads;
    assert_eq!(threads(&[]), 5);
    assert_eq!(threads(&[("LARDER_THREADS", "6")]), 6);
    assert_eq!(threads(&[("LARDER_THREADS", "")]), 5);
    let listen =
        |variables: &[(&str, &str)]| load(file, variables).unwrap().settings.server.listen.to_string();
    assert_eq!(listen(&[("NITRO_PORT", "2")]), "10.0.0.1:2");
    assert_eq!(listen(&[("NITRO_PORT", "2"), ("LARDER_LISTEN", "127.0.0.1:3")]), "127.0.0.1:3");
    // Fault 23: where an address is configured, `PORT` is the port alone.
    assert_eq!(listen(&[("PORT", "2")]), "10.0.0.1:2");
    assert_eq!(listen(&[("PORT", "2"), ("LARDER_LISTEN", "127.0.0.1:3")]), "127.0.0.1:3");
    assert_eq!(listen(&[("PORT", "2"), ("NITRO_PORT", "4")]), "10.0.0.1:4");
}

#[test]
fn the_file_is_found_by_its_variable() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "data = \"/from/file\"").unwrap();
    let config = from_env(&[("LARDER_CONFIG", file.path().to_str().unwrap())]).unwrap();
    assert_eq!(config.settings.data.to_str(), Some("/from/file"));
    refused(from_env(&[("LARDER_CONFIG", "/no/such/file.toml")]), &["/no/such/file.toml", "cannot read"]);
}

#[test]
fn wrong_values_are_refused_by_the_variables_name() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("LARDER_THREADS", "many", &["LARDER_THREADS", "`many`", "whole number"]),
        ("LARDER_THREADS", "-1", &["LARDER_THREADS", "`-1`"]),
        ("LARDER_THREADS", "5000", &["server.threads (LARDER_THREADS)", "5000", "from 0 to 1024"]),
        ("LARDER_MAX_CONNECTIONS", "0", &["LARDER_MAX_CONNECTIONS", "from 1"]),
        ("LARDER_LISTEN", "localhost", &["server.listen (LARDER_LISTEN)"]),
        ("LARDER_LISTEN", "::1:80", &["server.listen (LARDER_LISTEN)", "`::1:80`", "like 127.0.0.1:3000"]),
        (
            "LARDER_LISTEN",
            "host.invalid:80",
            &["server.listen (LARDER_LISTEN)", "no address", "`host.invalid`"],
        ),
        ("LARDER_LISTEN", ":70000", &["server.listen (LARDER_LISTEN)", "`:70000`"]),
        ("NITRO_PORT", "70000", &["NITRO_PORT", "`70000`", "65535"]),
        ("PORT", "http", &["PORT", "`http`", "65535"]),
        ("LARDER_OWNERS", "octo/hello", &["auth.owners (LARDER_OWNERS)", "`octo/hello`", "an id or a name"]),
        ("LARDER_FACTS", "run_id,secret", &["auth.facts (LARDER_FACTS)", "`secret`", "run_number"]),
        ("LARDER_REPOSITORIES", "a b", &["auth.repositories (LARDER_REPOSITORIES)", "`a b`", "`owner/name`"]),
        (
            "STORAGE_DRIVER",
            "floppy",
            &["storage.driver (STORAGE_DRIVER)", "`floppy`", "filesystem", "azblob"],
        ),
        ("DB_DRIVER", "oracle", &["database.driver (DB_DRIVER)", "`oracle`", "sqlite, postgres or mysql"]),
        ("LARDER_DB_MAX_CONNECTIONS", "0", &["LARDER_DB_MAX_CONNECTIONS", "from 1"]),
        ("LARDER_DB_TIMEOUT_MS", "1", &["LARDER_DB_TIMEOUT_MS", "from 100"]),
        ("LARDER_LOG_FORMAT", "xml", &["log.format (LARDER_LOG_FORMAT)", "`xml`", "text or json"]),
        ("DEBUG", "yes", &["DEBUG", "`yes`", "true, false, 1 or 0"]),
        (
            "API_BASE_URL",
            "cache.example.com",
            &["server.base_url (API_BASE_URL)", "`cache.example.com`", "https://"],
        ),
        ("API_BASE_URL", "ftp://h", &["API_BASE_URL", "http:// or https://"]),
        ("API_BASE_URL", "https://h/cache", &["API_BASE_URL", "must not have a path", "clients drop it"]),
        ("API_BASE_URL", "https://h?a=1", &["API_BASE_URL", "query"]),
        ("API_BASE_URL", "https://u:hush@h", &["API_BASE_URL", "user name or password"]),
        ("API_BASE_URL", "not a url:hush@h", &["API_BASE_URL"]),
        ("DEFAULT_ACTIONS_RESULTS_URL", "nope", &["upstream.url (DEFAULT_ACTIONS_RESULTS_URL)", "`nope`"]),
        (
            "ACTIONS_TOKEN_ISSUER",
            "http://evil.example",
            &["auth.issuers (ACTIONS_TOKEN_ISSUER)", "evil", "https"],
        ),
        (
            "ACTIONS_TOKEN_JWKS_URL",
            "http://k.example",
            &["ACTIONS_TOKEN_JWKS_URL", "`http://k.example`", "https"],
        ),
        ("LARDER_HS256_SECRET", "hush", &["auth.hs256_secrets (LARDER_HS256_SECRET)", "too short", "16"]),
        ("LARDER_HS256_SECRET", "base64:hush!", &["LARDER_HS256_SECRET", "not base64"]),
        (
            "LARDER_DEFAULT_REPOSITORY",
            "a:b",
            &["auth.default_repository (LARDER_DEFAULT_REPOSITORY)", "`a:b`"],
        ),
        ("URL_SIGNING_SECRET", "hush", &["urls.signing_secret (URL_SIGNING_SECRET)", "too short", "16"]),
        ("URL_SIGNING_ENABLED", "false", &["URL_SIGNING_ENABLED", "always signed"]),
        (
            "URL_SIGNING_SECRET_SECONDARY",
            "hush-hush-hush-hush",
            &["URL_SIGNING_SECRET_SECONDARY", "signing_secret is not"],
        ),
        (
            "CACHE_CLEANUP_OLDER_THAN_DAYS",
            "99999999",
            &["retention.unused_days (CACHE_CLEANUP_OLDER_THAN_DAYS)"],
        ),
    ];
    for (name, value, parts) in cases {
        refused(from_env(&[(name, value)]), parts);
    }
}

/// Fault 24.
#[test]
fn proxies_that_cannot_be_used_are_refused_without_their_passwords() {
    for (name, value, problem) in [
        ("ALL_PROXY", "socks5h://u:hush@p:1080", "SOCKS"),
        ("HTTPS_PROXY", "ftp://u:hush@p", "must be like http://"),
        ("http_proxy", "http://u:hush@", "must be like http://"),
        ("http_proxy", "u:hush@not a host", "must be like http://"),
    ] {
        refused(from_env(&[(name, value)]), &[name, problem]);
        from_env(&[(name, value), ("NO_PROXY", "*")]).unwrap();
    }
    let both = from_env(&[("HTTPS_PROXY", "http://upper"), ("https_proxy", "http://lower:hush@p")]).unwrap();
    assert_eq!(both.settings.proxy.for_https().unwrap().expose(), "http://lower:hush@p");
    assert!(!both.effective_toml().contains("hush"));
}

#[test]
fn settings_of_another_driver_are_refused() {
    for (name, parts) in [
        ("DB_POSTGRES_URL", &["DB_POSTGRES_URL", "DB_DRIVER is not set", "DB_DRIVER=postgres"]),
        ("DB_POSTGRES_PASSWORD", &["DB_POSTGRES_PASSWORD", "DB_DRIVER is not set", "DB_DRIVER=postgres"]),
        ("DB_MYSQL_HOST", &["DB_MYSQL_HOST", "DB_DRIVER is not set", "DB_DRIVER=mysql"]),
    ] {
        refused(from_env(&[(name, "hush")]), parts);
        from_env(&[(name, "")]).unwrap();
    }
    refused(
        from_env(&[("DB_DRIVER", "sqlite"), ("DB_POSTGRES_URL", "postgres://u:hush@h")]),
        &["database.postgres.url (DB_POSTGRES_URL)", "database.driver (DB_DRIVER) is another one"],
    );
}

#[test]
fn an_unknown_variable_of_ours_is_refused_with_the_nearest_name() {
    for (name, nearest) in [
        ("LARDER_LISTN", "LARDER_LISTEN"),
        ("LARDER_THREAD", "LARDER_THREADS"),
        ("LARDER_LOGFORMAT", "LARDER_LOG_FORMAT"),
    ] {
        refused(from_env(&[(name, "1")]), &[name, "not known", nearest]);
    }
    // Looks like Kubernetes's, but is not.
    refused(from_env(&[("LARDER_PORT", "3000")]), &["LARDER_PORT", "not known"]);
    refused(from_env(&[("LARDER_SHELF_PORT_X_TCP", "1")]), &["not known"]);
}

#[test]
fn foreign_variables_with_our_prefix_are_left_alone() {
    from_env(&[
        ("LARDER_SERVICE_HOST", "10.0.0.1"),
        ("LARDER_SERVICE_PORT", "3000"),
        ("LARDER_SERVICE_PORT_HTTP", "3000"),
        ("LARDER_PORT", "tcp://10.0.0.1:3000"),
        ("LARDER_PORT_3000_TCP", "tcp://10.0.0.1:3000"),
        ("LARDER_PORT_3000_TCP_PROTO", "tcp"),
        ("LARDER_PORT_3000_TCP_PORT", "3000"),
        ("LARDER_PORT_3000_TCP_ADDR", "10.0.0.1"),
        ("LARDER_METRICS_SERVICE_HOST", "10.0.0.1"),
        ("LARDER_METRICS_PORT_9_UDP_ADDR", "10.0.0.1"),
        ("LARDER_CI_X", "1"),
        ("LARDER_GUEST_X", "1"),
        ("LARDER_TEST_X", "1"),
        ("PATH", "/bin"),
    ])
    .unwrap();
}

#[test]
fn names_without_effect_are_warned_of_by_name_alone() {
    let config = from_env(&[("EAGER_MERGE", "true"), ("BENCHMARK", "")]).unwrap();
    assert_eq!(config.warnings, ["EAGER_MERGE is set but has no effect in this version"]);
    let config = from_env(&[("NITRO_PORT", "1"), ("LARDER_LISTEN", "127.0.0.1:2")]).unwrap();
    assert_eq!(config.warnings, ["NITRO_PORT is set but has no effect because LARDER_LISTEN is set, too"]);
}

#[test]
fn the_log_filter_is_passed_on() {
    assert_eq!(from_env(&[("RUST_LOG", "debug")]).unwrap().log_filter.as_deref(), Some("debug"));
    assert_eq!(from_env(&[]).unwrap().log_filter, None);
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_text_is_refused_only_where_it_matters() {
    use std::os::unix::ffi::OsStringExt;
    let garbage = || OsString::from_vec(vec![0xff, 0xfe]);
    Config::load(None, [("OTHER".into(), garbage()), (garbage(), "x".into())]).unwrap();
    refused(Config::load(None, [("LARDER_DATA".into(), garbage())]), &["LARDER_DATA", "UTF-8"]);
}

#[test]
fn the_management_api_has_a_listener_on_this_machine_unless_it_is_off() {
    let listen =
        |text: &str| from_env(&[("LARDER_MANAGEMENT_LISTEN", text)]).map(|c| c.settings.management.listen);
    assert_eq!(from_env(&[]).unwrap().settings.management.listen, Some("127.0.0.1:3001".parse().unwrap()));
    assert_eq!(listen("off").unwrap(), None);
    assert_eq!(listen(":9").unwrap(), Some("0.0.0.0:9".parse().unwrap()));
    let error = listen("nowhere:x").unwrap_err().to_string();
    assert!(error.contains("LARDER_MANAGEMENT_LISTEN") && error.contains("or off"), "{error}");
    let off = from_env(&[("LARDER_MANAGEMENT_LISTEN", "off")]).unwrap().effective_toml();
    assert!(off.contains("listen = \"off\""), "{off}");
}

#[test]
fn a_short_management_key_is_refused_and_never_shown() {
    let error = from_env(&[("MANAGEMENT_API_KEY", "hush")]).unwrap_err().to_string();
    assert!(error.contains("MANAGEMENT_API_KEY") && !error.contains("hush"), "{error}");
    let config = from_env(&[("MANAGEMENT_API_KEY", "a key of an administrator")]).unwrap();
    assert!(!config.effective_toml().contains("administrator"));
    assert!(config.warnings.is_empty());
}
