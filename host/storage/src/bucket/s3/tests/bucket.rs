//! The promises of all buckets.

use super::*;
use crate::bucket::conformance::{BucketFixture, bucket_conformance};

struct Server {
    bucket: Arc<dyn Bucket>,
    missing: Arc<dyn Bucket>,
}

impl Server {
    async fn found() -> Option<Self> {
        let settings = settings()?;
        let missing = S3Settings { bucket: "missing-bucket".to_owned(), ..settings.clone() };
        let (bucket, missing) = (connect(&settings).await.unwrap(), connect(&missing).await.unwrap());
        Some(Self { bucket, missing })
    }
}

impl BucketFixture for Server {
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

bucket_conformance!(Server::found().await);
