//! What the driver promises: everything that a bucket does, against an emulator, and what only it does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use super::{calls::Sum, *};
use crate::{
    net,
    storage::bucket::conformance::{BucketFixture, bucket_conformance},
    testing::service,
};

fn settings(bucket: &str, endpoint: &str) -> GcsSettings {
    GcsSettings {
        bucket: bucket.to_owned(),
        prefix: "bucket-tests".to_owned(),
        service_account_key: None,
        endpoint: Some(endpoint.to_owned()),
        timeout: Duration::from_secs(10),
        tls: net::client_config(None).unwrap(),
    }
}

/// The bucket that the tests share.
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

#[test]
fn sums_of_pieces_are_sums_of_the_whole() {
    let of = |bytes: &'static [u8]| Sum { crc: crc32c::crc32c(bytes), size_bytes: bytes.len() as u64 };
    let zero = Sum { crc: 0, size_bytes: 0 };
    assert_eq!(zero.then(of(b"one")).then(of(b"")).then(of(b" and two")), of(b"one and two"));
}

#[test]
fn parts_are_named_after_their_object_and_found_again() {
    assert_eq!(parts::parse_name("a/b/0123/00001"), Some(("a/b", "0123")));
    assert_eq!(parts::parse_name("a/0123/round-0-00001"), Some(("a", "0123")));
    assert_eq!(parts::parse_name("a/00001"), None);
}
