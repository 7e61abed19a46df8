use super::{from_env, load, refused};
use crate::config::{GITHUB_ISSUER, Provenance};

#[test]
fn paths_follow_the_data_folder() {
    let config = load("data = \"/srv\"", &[]).unwrap();
    assert_eq!(config.settings.storage.filesystem.path.unwrap().to_str(), Some("/srv/storage"));
    assert_eq!(config.settings.database.sqlite.path.unwrap().to_str(), Some("/srv/larder.db"));
}

#[test]
fn faults_in_the_file_are_told_with_line_and_setting() {
    let cases: &[(&str, &[&str])] = &[
        ("[server]\n\nthreads = \"two\"", &["line 3", "server.threads", "two"]),
        ("[server]\nthreds = 2", &["line 2", "threds", "threads"]),
        ("[sever]\nthreads = 2", &["line 1", "sever", "server"]),
        ("[server\n", &["line 1"]),
        ("data = 1\n", &["line 1", "data"]),
        ("server = 1\n", &["line 1", "server"]),
        ("[storage]\ndriver = \"s4\"", &["line 2", "storage.driver", "`s4`", "filesystem, s3"]),
        ("[storage.s3]\nbuckt = \"b\"", &["line 2", "buckt", "bucket"]),
        ("[storage.s3]\npath_style = true", &["line 2", "storage.s3.path_style"]),
        (
            "[storage.s3]\npath_style = \"yes\"",
            &["line 2", "storage.s3.path_style", "`yes`", "auto, on or off"],
        ),
        ("[server]\nthreads = -1", &["line 2", "server.threads"]),
        ("[server]\nlisten = \"nowhere\"", &["line 2", "server.listen", "`nowhere`", "localhost:3000"]),
        ("[server]\nlisten = true", &["line 2", "server.listen", "boolean"]),
        ("[server]\nlisten = \"unix:run/x\"", &["line 2", "server.listen", "must be absolute"]),
        ("[server]\nlisten = \"unix:/run/../x\"", &["line 2", "server.listen", "without `..`"]),
        ("[server]\nlisten = \"unix:/run/\"", &["line 2", "server.listen"]),
        ("[server]\nsocket_mode = \"888\"", &["line 2", "server.socket_mode", "`888`", "like 660"]),
        ("[server]\nsocket_mode = \"060\"", &["line 2", "server.socket_mode"]),
        ("[server]\nsocket_mode = 660", &["line 2", "server.socket_mode", "text in quotes"]),
        ("[server.tls]\nclient_certificates = \"maybe\"", &["line 2", "required or optional"]),
        ("[server.tls]\ncertificate = \"/c\"", &["server.tls.certificate", "server.tls.key is not"]),
        ("[server.tls]\nkey = \"/k\"", &["server.tls.key", "server.tls.certificate is not"]),
        ("[server.tls]\nclient_ca = \"/a\"", &["server.tls.client_ca", "server.tls.certificate is not"]),
        ("[server.tls]\nclient_certificates = \"optional\"", &["server.tls.client_ca is not"]),
        (
            "server = { listen = \"unix:/x\", tls = { certificate = \"/c\", key = \"/k\" } }",
            &["server.tls.certificate", "Unix socket"],
        ),
        ("[server]\nbase_url = 7", &["line 2", "server.base_url", "text"]),
        ("[auth]\nissuers = [{ issuer = \"https://a\", jwks = \"x\" }]", &["line 2", "auth.issuers", "jwks"]),
        ("[auth]\nissuers = [7]", &["line 2", "auth.issuers", "URL"]),
    ];
    for (text, parts) in cases {
        refused(load(text, &[]), parts);
    }
}

#[test]
fn of_several_faults_the_one_that_is_told_has_its_own_place() {
    let in_log = "[log]\nformat = \"xml\"";
    let error = load(in_log, &[("DB_DRIVER", "oracle")]).unwrap_err().to_string();
    assert!(error.starts_with("database.driver (DB_DRIVER) is `oracle`"), "{error}");
    let error = load("[storage]\ndriver = \"s4\"", &[("STORAGE_DRIVER", "s4")]).unwrap_err().to_string();
    assert!(error.starts_with("storage.driver (STORAGE_DRIVER) is `s4`"), "{error}");
    // The first fault of the file is repaired by a variable.
    let both = format!("[database]\ndriver = \"oracle\"\n{in_log}");
    let error = load(&both, &[("DB_DRIVER", "sqlite")]).unwrap_err().to_string();
    assert!(error.contains("log.format") && !error.contains("line 2"), "{error}");
    // A fault that a variable repairs is none.
    load(in_log, &[("LARDER_LOG_FORMAT", "json")]).unwrap();
}

#[test]
fn no_error_shows_a_secret() {
    for text in [
        "[auth]\nhs256_secrets = [\"hush\"]",
        "[auth]\nhs256_secrets = \"hush\"",
        "[auth]\nhs256_secrets = [{ a = \"hush\" }]",
        "[auth]\nhs256_secrets = { a = \"hush\" }",
        "[urls]\nsigning_secret = [\"hush-hush-hush-hush\"]",
        "[urls]\nsigning_secret = \"hush\"",
        "[urls]\nsigning_secret = \"hush\" x",
        "[urls]\nsigning_secret = hush",
        "[urls]\nsigning_secret = 'hush",
        "[auth]\nissuers = [{ issuer = \"https://a:hush@b\" }]",
        "[auth]\njwks_url = \"https://a:hush@b\"",
        "[upstream]\nurl = \"https://a:hush@b\"",
        "[storage.s3]\nsecret_access_key = \"hush\"",
        "[storage.s3]\nsecret_access_key = [\"hush\"]",
        "[storage.s3]\nendpoint = \"https://a:hush@b\"",
        "[storage.gcs]\nservice_account_key = { private_key = \"hush\" }",
        "[storage.azblob]\nconnection_string = \"AccountKey=hush\"",
        "[storage]\ndriver = \"azblob\"\n[storage.azblob]\nconnection_string = \"AccountKey=hush\"",
    ] {
        refused(load(text, &[]), &[]);
    }
}

/// Fault 28: the library quotes a number that is too large.
#[test]
fn a_secret_of_digits_without_quotes_is_not_shown() {
    let digits = "31415926535897932384626433832795";
    for text in [
        format!("[urls]\nsigning_secret = {digits}"),
        format!("[auth]\nhs256_secrets = [\n{digits},\n]"),
        format!("[auth]\nhs256_secrets = [{digits}x]"),
        format!("[storage.s3]\nsecret_access_key = {digits}.5.6"),
        format!("[database.postgres]\npassword = 0x{digits}{digits}"),
        format!("urls.signing_secret = {digits} x"),
    ] {
        let error = load(&text, &[]).unwrap_err().to_string();
        assert!(!error.contains("314159"), "{text}: {error}");
        assert!(error.contains("line "), "{error}");
    }
}

/// Fault 28.
#[test]
fn a_file_of_secrets_that_others_can_read_is_warned_of() {
    use std::{fs, os::unix::fs::PermissionsExt};
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let warnings = |text: &str, mode: u32| {
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        from_env(&[("LARDER_CONFIG", &path)]).unwrap().warnings
    };
    for text in [
        "[urls]\nsigning_secret = \"hush-hush-hush-hush\"",
        "[auth]\nhs256_secrets = [\"hush-hush-hush-hush\"]",
        "[proxy]\nall = \"http://u:hush@p\"",
    ] {
        for mode in [0o644, 0o640, 0o604] {
            let warnings = warnings(text, mode);
            assert!(
                warnings.len() == 1 && warnings[0].contains(&format!("chmod 600 {path}")),
                "{warnings:?}"
            );
            assert!(warnings[0].contains(&format!("mode {mode:o}")) && !warnings[0].contains("hush"));
        }
        assert_eq!(warnings(text, 0o600), Vec::<String>::new());
    }
    assert_eq!(warnings("[server]\nthreads = 2", 0o644), Vec::<String>::new());
}

#[test]
fn github_is_trusted_unless_something_else_is() {
    let issuers = |text| {
        let config = load(text, &[]).unwrap();
        config.settings.auth.issuers.into_iter().map(|i| i.issuer).collect::<Vec<_>>()
    };
    assert_eq!(issuers(""), [GITHUB_ISSUER]);
    assert_eq!(issuers("[auth]\nissuers = [\"https://ghes.example\"]"), ["https://ghes.example"]);
    assert!(issuers("[auth]\nhs256_secrets = [\"0123456789abcdef\"]").is_empty());
}

/// Fault 28: of two settings that say opposite things one was not meant.
#[test]
fn tokens_that_are_not_verified_contradict_whatever_says_whose_count() {
    for (name, value) in [
        ("ACTIONS_TOKEN_ISSUER", "https://ghes.example"),
        ("ACTIONS_TOKEN_JWKS_URL", "https://k.example"),
        ("LARDER_JWKS_FILE", "/k"),
        ("LARDER_HS256_SECRET", "0123456789abcdef"),
        ("LARDER_OWNERS", "42"),
        ("LARDER_REPOSITORIES", "42"),
    ] {
        refused(
            from_env(&[("SKIP_TOKEN_VALIDATION", "true"), (name, value)]),
            &["SKIP_TOKEN_VALIDATION", name, "remove one"],
        );
        if name != "LARDER_OWNERS" {
            from_env(&[("SKIP_TOKEN_VALIDATION", "false"), (name, value)]).unwrap();
        }
    }
    let skipping = from_env(&[("SKIP_TOKEN_VALIDATION", "true")]).unwrap();
    let again = load(&skipping.effective_toml(), &[]).unwrap();
    assert_eq!(format!("{:?}", skipping.settings), format!("{:?}", again.settings));
}

/// Fault 22: a number may be the id of an issuer's repository.
#[test]
fn a_default_repository_is_no_number_where_an_issuer_is_trusted() {
    refused(
        from_env(&[("LARDER_DEFAULT_REPOSITORY", "123")]),
        &["LARDER_DEFAULT_REPOSITORY", "`123`", "id of"],
    );
    from_env(&[("LARDER_DEFAULT_REPOSITORY", "123"), ("LARDER_HS256_SECRET", "0123456789abcdef")]).unwrap();
    from_env(&[("LARDER_DEFAULT_REPOSITORY", "all-123")]).unwrap();
}

#[test]
fn keys_of_the_only_issuer_belong_to_it_and_to_no_other() {
    refused(
        load("[auth]\nissuers = [\"https://a/x\", \"https://a/y\"]\njwks_url = \"https://k\"", &[]),
        &["auth.jwks_url", "exactly one issuer", "auth.issuers has 2"],
    );
    refused(
        load("[auth]\njwks_url = \"https://k\"\njwks_file = \"/k\"", &[]),
        &["auth.jwks_url", "auth.jwks_file", "keep one"],
    );
    refused(
        load(
            "[auth]\njwks_url = \"https://k\"\nissuers = [{ issuer = \"https://a\", jwks_file = \"/k\" }]",
            &[],
        ),
        &["auth.jwks_url", "keep one"],
    );
    refused(
        load("[auth]\nhs256_secrets = [\"0123456789abcdef\"]\njwks_url = \"https://k\"", &[]),
        &["auth.jwks_url", "exactly one issuer"],
    );
}

#[test]
fn platforms_that_could_share_repository_ids_are_refused() {
    let shared = &["platforms", "repository_prefix"];
    refused(from_env(&[("ACTIONS_TOKEN_ISSUER", "https://a.example, https://b.example")]), shared);
    refused(
        from_env(&[
            ("ACTIONS_TOKEN_ISSUER", "https://a.example"),
            ("LARDER_HS256_SECRET", "0123456789abcdef"),
        ]),
        shared,
    );
    let b = "{ issuer = \"https://b\", repository_prefix = \"b:\" }";
    load(&format!("[auth]\nissuers = [\"https://a\", {b}]"), &[]).unwrap();
    refused(load(&format!("[auth]\nissuers = [{b}, {}]", b.replace("//b", "//c")), &[]), shared);
    let named = |name: &str| format!("{{ issuer = \"{name}\", jwks_file = \"/{name}\" }}");
    refused(
        load(&format!("[auth]\nissuers = [{}, {}]", named("platform one"), named("platform two")), &[]),
        shared,
    );
    // One platform, two names.
    load("[auth]\nissuers = [\"https://a.example/x\", \"https://A.example/y\"]", &[]).unwrap();
    refused(
        load("[auth]\nissuers = [{ issuer = \"https://b\", repository_prefix = \"b\" }]", &[]),
        &["`b`", "`:`"],
    );
}

#[test]
fn the_effective_configuration_can_be_read_back_and_hides_secrets() {
    let text = "data = \"/srv\"\n[urls]\nsigning_secret = \"hush-hush-hush-hush\"\n\
                [auth]\nhs256_secrets = [\"hush-hush-hush-hush\"]\n";
    let config = load(text, &[("LARDER_THREADS", "2")]).unwrap().with_policy("/p.wasm".into());
    let effective = config.effective_toml();
    assert!(!effective.contains("hush"), "{effective}");
    assert!(!format!("{config:?}").contains("hush"));
    for line in [
        "data = \"/srv\" # file",
        "threads = 2 # env LARDER_THREADS",
        "max_connections = 1024 # default",
        "signing_secret = \"***\" # file",
        "hs256_secrets = [\"***\"] # file",
        "component = \"/p.wasm\" # option --policy",
    ] {
        assert!(effective.lines().any(|l| l == line), "{line} is missing in\n{effective}");
    }
    // Masked secrets are too short to be taken for real ones by accident.
    refused(load(&effective, &[]), &["secret", "too short"]);
    let plain = from_env(&[]).unwrap();
    let again = load(&plain.effective_toml(), &[]).unwrap();
    assert_eq!(format!("{:?}", plain.settings), format!("{:?}", again.settings));
}

#[test]
fn origins_are_told_in_words() {
    assert_eq!(Provenance::Variable("DEBUG").to_string(), "env DEBUG");
    assert_eq!(Provenance::Default.to_string(), "default");
}

#[test]
fn keys_may_be_given_in_base64() {
    use crate::config::Secret;
    let bytes = |text: &str| Secret::new(text.to_owned()).key_bytes();
    assert_eq!(bytes("plain").unwrap(), b"plain");
    for text in ["base64:_-8", "base64:/+8", "base64:/+8=", "base64:_-8="] {
        assert_eq!(bytes(text).unwrap(), [0xff, 0xef], "{text}");
    }
    assert!(bytes("base64:???").is_err());
}

#[test]
fn parallel_downloads_need_a_host_that_actions_cache_knows_by_its_name() {
    for (url, problem) in [
        ("http://cache.example:3000", "must end with .blob.core.windows.net"),
        ("http://blob.core.windows.net.example", "must end with"),
        ("cache.blob.core.windows.net", "must be like"),
        ("ftp://cache.blob.core.windows.net", "must start with http"),
        ("http://cache.blob.core.windows.net/path", "must not have a path"),
    ] {
        let error = from_env(&[("LARDER_PARALLEL_DOWNLOAD_URL", url)]);
        refused(error, &["LARDER_PARALLEL_DOWNLOAD_URL", problem]);
    }
    let config = from_env(&[("LARDER_PARALLEL_DOWNLOAD_URL", "http://cache.blob.core.windows.net:3000/")]);
    let urls = config.unwrap().settings.urls;
    assert_eq!(urls.parallel_download_url.as_deref(), Some("http://cache.blob.core.windows.net:3000"));
}

/// Fault 10: bounds under which clients would keep each other out are refused.
#[test]
fn senseless_bounds_of_connections_are_refused() {
    let with = |text: &str| load(&format!("[server]\n{text}"), &[]);
    refused(with("threads = 4\nmax_connections = 4"), &["server.max_connections", "is 4", "threads", "5"]);
    refused(with("max_connections = 1"), &["server.max_connections", "is 1"]);
    refused(
        with("threads = 1\nmax_connections = 10\nmax_connections_per_client = 11"),
        &["max_connections_per_client", "11", "10"],
    );
    refused(with("keep_alive_ms = 0"), &["server.keep_alive_ms"]);
    with("threads = 4\nmax_connections = 5\nmax_connections_per_client = 5").unwrap();
}

/// Fault 27.
#[test]
fn trusted_proxies_are_addresses_and_networks() {
    let with = |text: &str| load(&format!("[server]\ntrusted_proxies = {text}"), &[]);
    let shown = |text: &str| format!("{:?}", with(text).unwrap().settings.server.trusted_proxies);
    assert_eq!(shown("[\"10.0.0.5\", \"2001:db8::/32\"]"), "[10.0.0.5/32, 2001:db8::/32]");
    assert_eq!(shown("[]"), "[]");
    refused(with("[\"nginx\"]"), &["line 2", "server.trusted_proxies", "`nginx`", "10.0.0.0/8"]);
    refused(with("[\"10.0.0.0/33\"]"), &["server.trusted_proxies", "10.0.0.0/33"]);
}

#[test]
fn limits_of_what_may_be_stored_are_checked() {
    for (text, problem) in [
        ("evict_to_percent = 96", "capacity.evict_to_percent is 96; it must not be more than"),
        ("evict_at_percent = 101", "capacity.evict_at_percent is 101; it must be from 1 to 100"),
        ("wait_ms = 60001", "capacity.wait_ms is 60001"),
        ("repositories = [{ max_bytes = 1 }]", "each needs an id or a name"),
        (
            "repositories = [{ repository = \"a/b\", max_bytes = 1 }, { repository = \"a/b\" }]",
            "capacity.repositories has `a/b` twice",
        ),
    ] {
        let error = load(&format!("[capacity]\n{text}"), &[]).unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
    let config = load("[capacity]\nscope_percent = 50", &[("CACHE_MAX_SIZE_BYTES", "7")]).unwrap();
    assert_eq!(config.settings.capacity.max_bytes, 7);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
}
