//! Against a real server (see `tests/scripts/services/seaweedfs.sh`); each test in a prefix of its
//! own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bucket;
mod failures;
mod outgoing_proxy;
mod parts;
mod proxy;
mod requests;

use std::{sync::Arc, time::Duration};

use larder_testing::service;

use super::{S3Settings, connect};
use crate::{
    bucket::Bucket,
    conformance::new_upload,
    objects::{ObjectSettings, tests::fixture::ObjectFixture},
};

/// Settings with a random prefix; `None` if there is no server.
fn settings() -> Option<S3Settings> {
    Some(S3Settings {
        prefix: format!("{}/", new_upload()),
        endpoint: Some(service("LARDER_TEST_S3_ENDPOINT")?),
        path_style: true,
        access_key_id: Some(service("LARDER_TEST_S3_ACCESS_KEY")?),
        secret_access_key: Some(service("LARDER_TEST_S3_SECRET_KEY")?),
        ..S3Settings::new(service("LARDER_TEST_S3_BUCKET")?)
    })
}

async fn bucket() -> Option<Arc<dyn Bucket>> {
    Some(connect(&settings()?).await.unwrap())
}

async fn fixture() -> Option<ObjectFixture> {
    let server = settings()?;
    let settings =
        ObjectSettings { spill_after: Duration::from_millis(200), ..ObjectSettings::new(64 << 20) };
    let connect = move || {
        let server = server.clone();
        async move { connect(&server).await.unwrap() }
    };
    Some(ObjectFixture::connecting(settings, connect).await)
}

mod conformance {
    crate::conformance::storage_conformance!(match super::fixture().await {
        Some(fixture) => fixture,
        None => return,
    });
}

mod of_a_tenant {
    crate::conformance::storage_conformance!(match super::fixture().await {
        Some(fixture) => crate::conformance::OfATenant::new(fixture).await,
        None => return,
    });
}

mod of_tenants {
    crate::conformance::tenants_conformance!(match super::fixture().await {
        Some(fixture) => fixture,
        None => return,
    });
}

#[test]
fn secrets_are_not_shown() {
    let settings = S3Settings { secret_access_key: Some("hidden".to_owned()), ..S3Settings::new("b") };
    assert!(!format!("{settings:?}").contains("hidden"));
}

#[tokio::test]
async fn half_an_access_key_and_a_bad_certificate_are_refused() {
    let half = S3Settings { access_key_id: Some("a".to_owned()), ..S3Settings::new("b") };
    assert!(connect(&half).await.is_err());
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(file.path(), text).unwrap();
        let bad = S3Settings { ca_file: Some(file.path().to_owned()), ..S3Settings::new("b") };
        let error = connect(&bad).await.map(drop).unwrap_err();
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
    }
}
