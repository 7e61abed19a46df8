//! The promises of all buckets, against an emulator, and those of this driver.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use larder_testing::service;

use super::{calls::Sum, *};
use crate::{
    bucket::{
        conformance::{BucketFixture, bucket_conformance},
        http::tests::no_roots,
    },
    conformance::new_upload,
    objects::{ObjectSettings, tests::fixture::ObjectFixture},
};

fn settings(bucket: &str, endpoint: &str) -> GcsSettings {
    GcsSettings {
        bucket: bucket.to_owned(),
        prefix: "bucket-tests".to_owned(),
        service_account_key: None,
        endpoint: Some(endpoint.to_owned()),
        timeout: Duration::from_secs(10),
        tls: no_roots(),
        proxies: larder_common::Proxies::default(),
    }
}

/// The bucket of all tests.
struct Emulator {
    bucket: Arc<GcsBucket>,
    missing: Arc<GcsBucket>,
}

impl Emulator {
    async fn found() -> Option<Self> {
        let endpoint = service("LARDER_TEST_GCS_ENDPOINT")?;
        let bucket = service("LARDER_TEST_GCS_BUCKET")?;
        Some(Self {
            bucket: Arc::new(GcsBucket::connect(settings(&bucket, &endpoint)).await.unwrap()),
            missing: Arc::new(GcsBucket::connect(settings("missing-bucket", &endpoint)).await.unwrap()),
        })
    }
}

impl BucketFixture for Emulator {
    fn bucket(&self) -> Arc<dyn Bucket> {
        self.bucket.clone()
    }

    fn missing(&self) -> Arc<dyn Bucket> {
        self.missing.clone()
    }

    fn keeps_multiparts(&self) -> bool {
        true
    }
}

bucket_conformance!(Emulator::found().await);

/// The whole storage, with a prefix for each test.
mod storage_on_it {
    use super::*;

    async fn fixture() -> Option<ObjectFixture> {
        let (endpoint, bucket) = (service("LARDER_TEST_GCS_ENDPOINT")?, service("LARDER_TEST_GCS_BUCKET")?);
        let prefix = format!("storage-tests/{}", new_upload());
        let server = GcsSettings { prefix, ..settings(&bucket, &endpoint) };
        let settings =
            ObjectSettings { spill_after: Duration::from_millis(200), ..ObjectSettings::new(64 << 20) };
        let connect = move || {
            let server = server.clone();
            async move { Arc::new(GcsBucket::connect(server).await.unwrap()) as Arc<dyn Bucket> }
        };
        Some(ObjectFixture::connecting(settings, connect).await)
    }

    crate::conformance::storage_conformance!(match fixture().await {
        Some(fixture) => fixture,
        None => return,
    });

    mod of_a_tenant {
        crate::conformance::short_storage_conformance!(match super::fixture().await {
            Some(fixture) => crate::conformance::OfATenant::new(fixture).await,
            None => return,
        });
    }

    mod of_tenants {
        crate::conformance::short_tenants_conformance!(match super::fixture().await {
            Some(fixture) => fixture,
            None => return,
        });
    }
}

#[test]
fn sums_of_pieces_are_sums_of_the_whole() {
    let of = |bytes: &'static [u8]| Sum { crc: crc32c::crc32c(bytes), size_bytes: bytes.len() as u64 };
    let zero = Sum { crc: 0, size_bytes: 0 };
    assert_eq!(zero.then(of(b"one")).then(of(b"")).then(of(b" and two")), of(b"one and two"));
}

#[test]
fn parts_are_named_after_their_object_and_found_again() {
    assert_eq!(parts::parse_name("_parts/a/b/0123/00001"), Some(("a/b".to_owned(), "0123")));
    assert_eq!(parts::parse_name("_parts/a/0123/round-0-00001"), Some(("a".to_owned(), "0123")));
    let of_tenant = parts::parse_name("tenants/t/_parts/a/b/0123/00001");
    assert_eq!(of_tenant, Some(("tenants/t/a/b".to_owned(), "0123")));
    for other in ["a/00001", "_parts/a/00001", "a/b/0123/00001", "tenants/t/a/b/0123/00001", "tenants/t"] {
        assert_eq!(parts::parse_name(other), None, "{other}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_and_a_key_that_is_none_are_told_without_secrets() {
    let silent_server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent_server.local_addr().unwrap());
    let patient = GcsSettings { timeout: Duration::from_millis(100), ..settings("silent", &endpoint) };
    let bucket = GcsBucket::connect(patient).await.unwrap();
    let error = bucket.head("x").await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
    for key in ["{ \"hush\": 1 }", "{ hush", "/no/such/file/hush"] {
        let keyed = GcsSettings { service_account_key: Some(key.to_owned()), ..settings("b", &endpoint) };
        let Err(error) = GcsBucket::connect(keyed).await else { panic!("{key} is accepted") };
        let message = format!("{error:?}");
        assert!(
            message.contains("STORAGE_GCS_SERVICE_ACCOUNT_KEY") || message.contains("BadKey"),
            "{message}"
        );
        assert!(!message.contains("hush"), "{message}");
    }
}
