use super::{from_env, load, refused};
use crate::config::{Settings, StorageDriver};

const S3: [(&str, &str); 2] = [("STORAGE_DRIVER", "s3"), ("STORAGE_S3_BUCKET", "bucket")];
const GCS: [(&str, &str); 2] = [("STORAGE_DRIVER", "gcs"), ("STORAGE_GCS_BUCKET", "bucket")];
const AZBLOB: [(&str, &str); 3] = [
    ("STORAGE_DRIVER", "azblob"),
    ("STORAGE_AZBLOB_CONTAINER", "bucket"),
    ("STORAGE_AZBLOB_ACCOUNT", "account"),
];

/// VariablePairs with their values.
type VariablePairs = &'static [(&'static str, &'static str)];

/// The variables of a driver and further ones; a later one replaces an earlier one of its name.
fn with<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    base.iter().chain(more).copied().collect()
}

fn settings(base: &[(&str, &str)], more: &[(&str, &str)]) -> Settings {
    let config = from_env(&with(base, more)).unwrap_or_else(|e| panic!("{more:?}: {e}"));
    assert_eq!(config.warnings, [""; 0]);
    config.settings
}

/// The variables of a driver, one more, and how to see its effect.
type Effect<'a> = (&'a [(&'a str, &'a str)], (&'a str, &'a str), fn(&Settings) -> String, &'a str);

#[test]
fn every_variable_of_a_bucket_sets_its_setting() {
    fn text(value: Option<&String>) -> String {
        value.cloned().unwrap_or_default()
    }
    fn secret(value: Option<&crate::config::Secret>) -> String {
        value.map(|secret| secret.expose().to_owned()).unwrap_or_default()
    }
    const KEY: [(&str, &str); 4] =
        [S3[0], S3[1], ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hush")];
    let no_account: &[(&str, &str)] = &AZBLOB[..2];
    let cases: &[Effect<'_>] = &[
        (&S3, ("STORAGE_S3_BUCKET", "other"), |s| text(s.storage.s3.bucket.as_ref()), "other"),
        (&S3, ("AWS_REGION", "eu-1"), |s| text(s.storage.s3.region.as_ref()), "eu-1"),
        (&S3, ("AWS_ENDPOINT_URL", "http://h:1/"), |s| text(s.storage.s3.endpoint.as_ref()), "http://h:1"),
        (&S3, ("AWS_ENDPOINT_URL_S3", "http://h:1"), |s| text(s.storage.s3.endpoint.as_ref()), "http://h:1"),
        (&S3, ("STORAGE_S3_SOCKET_TIMEOUT_MS", "100"), |s| s.storage.s3.timeout_ms.to_string(), "100"),
        (&S3, ("LARDER_S3_PATH_STYLE", "on"), |s| s.storage.s3.is_path_style().to_string(), "true"),
        (&S3, ("LARDER_STORAGE_PREFIX", "/a/B_c/"), |s| s.storage.prefix.clone(), "a/B_c"),
        (&KEY, ("AWS_ACCESS_KEY_ID", "me"), |s| text(s.storage.s3.access_key_id.as_ref()), "me"),
        (&KEY, ("AWS_SECRET_ACCESS_KEY", "hus"), |s| secret(s.storage.s3.secret_access_key.as_ref()), "hus"),
        (&KEY, ("AWS_SESSION_TOKEN", "hush"), |s| secret(s.storage.s3.session_token.as_ref()), "hush"),
        (&GCS, ("STORAGE_GCS_BUCKET", "other"), |s| text(s.storage.gcs.bucket.as_ref()), "other"),
        (&GCS, ("STORAGE_GCS_ENDPOINT", "http://h"), |s| text(s.storage.gcs.endpoint.as_ref()), "http://h"),
        (
            &GCS,
            ("STORAGE_GCS_SERVICE_ACCOUNT_KEY", "/key"),
            |s| secret(s.storage.gcs.service_account_key.as_ref()),
            "/key",
        ),
        (&AZBLOB, ("STORAGE_AZBLOB_CONTAINER", "c-2"), |s| text(s.storage.azblob.container.as_ref()), "c-2"),
        (&AZBLOB, ("STORAGE_AZBLOB_ACCOUNT", "else"), |s| text(s.storage.azblob.account.as_ref()), "else"),
        (
            &AZBLOB,
            ("STORAGE_AZBLOB_ENDPOINT", "http://h/devstoreaccount1"),
            |s| text(s.storage.azblob.endpoint.as_ref()),
            "http://h/devstoreaccount1",
        ),
        (
            no_account,
            ("STORAGE_AZBLOB_CONNECTION_STRING", "AccountKey=hush"),
            |s| secret(s.storage.azblob.connection_string.as_ref()),
            "AccountKey=hush",
        ),
        (&S3, ("ENABLE_DIRECT_DOWNLOADS", "true"), |s| s.downloads.direct.to_string(), "true"),
        (&S3, ("LARDER_DIRECT_URL_MINUTES", "60"), |s| s.downloads.direct_url_minutes.to_string(), "60"),
    ];
    for (base, one, effect, expected) in cases {
        assert_eq!(effect(&settings(base, &[*one])), *expected, "{one:?}");
    }
}

#[test]
fn a_bucket_has_larger_buffers_unless_they_are_set() {
    assert_eq!(settings(&S3, &[]).storage.buffer_bytes, 64 << 20);
    assert_eq!(settings(&S3, &[("LARDER_BUFFER_BYTES", "1048576")]).storage.buffer_bytes, 1 << 20);
    assert_eq!(settings(&[], &[]).storage.buffer_bytes, 24 << 20);
}

#[test]
fn a_bucket_has_no_folder_and_a_folder_no_bucket() {
    let s3 = settings(&S3, &[]);
    assert_eq!((s3.storage.driver, s3.storage.filesystem.path), (StorageDriver::S3, None));
    for (name, value, driver) in [
        ("STORAGE_S3_BUCKET", "bucket", "s3"),
        ("STORAGE_S3_SOCKET_TIMEOUT_MS", "5000", "s3"),
        ("LARDER_S3_PATH_STYLE", "off", "s3"),
        ("STORAGE_GCS_BUCKET", "bucket", "gcs"),
        ("STORAGE_AZBLOB_CONNECTION_STRING", "hush", "azblob"),
        ("LARDER_STORAGE_PREFIX", "a/b", "s3, gcs or azblob"),
    ] {
        let set_it = format!("set STORAGE_DRIVER={driver}");
        refused(from_env(&[(name, value)]), &[name, "STORAGE_DRIVER is not set", &set_it]);
        refused(
            from_env(&[("STORAGE_DRIVER", "filesystem"), (name, value)]),
            &[name, "storage.driver (STORAGE_DRIVER) is `filesystem`", &set_it],
        );
        from_env(&[(name, "")]).unwrap();
    }
    refused(
        load("[storage.s3]\nregion = \"r\"", &[]),
        &["storage.s3.region is set", "STORAGE_DRIVER is not set"],
    );
    refused(
        from_env(&with(&GCS, &[("STORAGE_FILESYSTEM_PATH", "/f")])),
        &["storage.filesystem.path (STORAGE_FILESYSTEM_PATH) is set", "is `gcs`"],
    );
    refused(from_env(&with(&GCS, &[("STORAGE_S3_BUCKET", "bucket")])), &["STORAGE_S3_BUCKET", "is `gcs`"]);
}

#[test]
fn variables_of_the_aws_sdk_are_nobodys_business_where_the_storage_is_not_s3() {
    for base in [&[][..], &GCS, &AZBLOB] {
        let settings = settings(base, &[("AWS_REGION", "eu-1"), ("AWS_SECRET_ACCESS_KEY", "hush")]);
        assert_eq!(settings.storage.s3.region, None);
    }
}

#[test]
fn what_a_driver_needs_and_lacks_is_named() {
    let lacks: &[(VariablePairs, &[&str])] = &[
        (
            &S3[..1],
            &["storage.driver (STORAGE_DRIVER) is `s3`", "storage.s3.bucket (STORAGE_S3_BUCKET) is not set"],
        ),
        (&GCS[..1], &["is `gcs`", "storage.gcs.bucket (STORAGE_GCS_BUCKET) is not set"]),
        (&AZBLOB[..1], &["is `azblob`", "(STORAGE_AZBLOB_CONTAINER) is not set"]),
        (
            &AZBLOB[..2],
            &["is `azblob`", "(STORAGE_AZBLOB_CONNECTION_STRING) nor", "(STORAGE_AZBLOB_ACCOUNT) is set"],
        ),
    ];
    for (variables, parts) in lacks {
        refused(from_env(variables), parts);
    }
    let id = ("AWS_ACCESS_KEY_ID", "id");
    let secret = ("AWS_SECRET_ACCESS_KEY", "hush");
    let token = ("AWS_SESSION_TOKEN", "hush");
    refused(from_env(&with(&S3, &[id])), &["AWS_ACCESS_KEY_ID) is set", "(AWS_SECRET_ACCESS_KEY) is not"]);
    refused(
        from_env(&with(&S3, &[secret])),
        &["AWS_SECRET_ACCESS_KEY) is set", "(AWS_ACCESS_KEY_ID) is not"],
    );
    refused(from_env(&with(&S3, &[token])), &["AWS_SESSION_TOKEN) is set", "(AWS_ACCESS_KEY_ID) is not"]);
    settings(&S3, &[id, secret, token]);
    for (name, value) in [AZBLOB[2], ("STORAGE_AZBLOB_ENDPOINT", "http://h")] {
        let both = [AZBLOB[0], AZBLOB[1], ("STORAGE_AZBLOB_CONNECTION_STRING", "hush"), (name, value)];
        refused(from_env(&both), &["STORAGE_AZBLOB_CONNECTION_STRING", name, "keep one"]);
    }
}

#[test]
fn wrong_values_of_a_bucket_are_refused() {
    let cases: &[(VariablePairs, (&str, &str), &[&str])] = &[
        (
            &S3,
            ("STORAGE_S3_BUCKET", "s3://b/x"),
            &["storage.s3.bucket (STORAGE_S3_BUCKET)", "`s3://b/x`", "no URL"],
        ),
        (&S3, ("STORAGE_S3_BUCKET", "-ab"), &["`-ab`"]),
        (&S3, ("STORAGE_S3_BUCKET", "a..b"), &["`a..b`"]),
        (&AZBLOB, ("STORAGE_AZBLOB_ACCOUNT", "a.b/c"), &["STORAGE_AZBLOB_ACCOUNT", "`a.b/c`"]),
        (&S3, ("STORAGE_S3_SOCKET_TIMEOUT_MS", "5"), &["STORAGE_S3_SOCKET_TIMEOUT_MS", "from 100"]),
        (&S3, ("STORAGE_S3_BUCKETS", "b"), &["STORAGE_S3_BUCKETS is not known", "STORAGE_S3_BUCKET?"]),
        (&S3, ("LARDER_S3_PATH_STYLE", "maybe"), &["LARDER_S3_PATH_STYLE", "`maybe`", "auto, on or off"]),
        (&S3, ("AWS_ENDPOINT_URL", "minio:9000"), &["storage.s3.endpoint (AWS_ENDPOINT_URL)", "minio:9000"]),
        (&S3, ("AWS_ENDPOINT_URL", "ftp://h"), &["http:// or https://"]),
        (&S3, ("AWS_ENDPOINT_URL", "http://u:hush@h"), &["user name or password"]),
        (&GCS, ("STORAGE_GCS_ENDPOINT", "http://h?a=1"), &["STORAGE_GCS_ENDPOINT", "query"]),
        (&S3, ("LARDER_STORAGE_PREFIX", "a//b"), &["storage.prefix (LARDER_STORAGE_PREFIX)", "`a//b`"]),
        (&S3, ("LARDER_STORAGE_PREFIX", "a/../b"), &["`a/../b`"]),
        (&S3, ("LARDER_STORAGE_PREFIX", "a b"), &["`a b`"]),
        (&S3, ("LARDER_DIRECT_URL_MINUTES", "0"), &["LARDER_DIRECT_URL_MINUTES", "from 1 to 1440"]),
        (&S3, ("LARDER_DIRECT_URL_MINUTES", "600000"), &["LARDER_DIRECT_URL_MINUTES", "from 1 to 1440"]),
    ];
    for (base, one, parts) in cases {
        refused(from_env(&with(base, &[*one])), parts);
    }
}

#[test]
fn the_buckets_name_is_in_the_path_where_an_endpoint_is_set() {
    let path_style = |more: &[(&str, &str)]| settings(&S3, more).storage.s3.is_path_style();
    assert!(!path_style(&[]));
    assert!(path_style(&[("AWS_ENDPOINT_URL", "http://h")]));
    assert!(!path_style(&[("AWS_ENDPOINT_URL", "http://h"), ("LARDER_S3_PATH_STYLE", "off")]));
}

#[test]
fn direct_downloads_from_a_folder_are_warned_of() {
    let config = from_env(&[("ENABLE_DIRECT_DOWNLOADS", "true")]).unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(
        config.warnings[0].starts_with("downloads.direct (ENABLE_DIRECT_DOWNLOADS) is set but has no effect")
    );
    settings(&[], &[("ENABLE_DIRECT_DOWNLOADS", "false")]);
}

#[test]
fn the_effective_configuration_of_every_driver_can_be_read_back_and_hides_secrets() {
    let keyed = with(
        &S3,
        &[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hush"), ("AWS_SESSION_TOKEN", "hush")],
    );
    let gcs = with(&GCS, &[("STORAGE_GCS_SERVICE_ACCOUNT_KEY", "{ \"hush\": 1 }")]);
    let azblob = with(&AZBLOB[..2], &[("STORAGE_AZBLOB_CONNECTION_STRING", "AccountKey=hush")]);
    for variables in [keyed, gcs, azblob] {
        let config = from_env(&variables).unwrap();
        let effective = config.effective_toml();
        assert!(!effective.contains("hush") && !format!("{config:?}").contains("hush"), "{effective}");
        let again = load(&effective, &[]).unwrap();
        assert_eq!(format!("{:?}", again.settings), format!("{:?}", config.settings));
    }
}
