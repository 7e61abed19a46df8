//! A storage on a bucket under test.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::storage::{
    ObjectName, Storage,
    bucket::Bucket,
    conformance::Fixture,
    objects::{ObjectSettings, ObjectStorage},
};

/// Settings under which small blocks become parts.
pub(crate) fn small() -> ObjectSettings {
    ObjectSettings {
        spill_after: Duration::from_millis(50),
        min_part_bytes: 10_000,
        part_bytes: 16_000,
        ..ObjectSettings::new(4 << 20)
    }
}

pub(crate) struct ObjectFixture {
    bucket: Arc<dyn Bucket>,
    settings: ObjectSettings,
    storage: ObjectStorage,
}

impl ObjectFixture {
    pub(crate) fn new(bucket: Arc<dyn Bucket>, settings: ObjectSettings) -> Self {
        let storage = ObjectStorage::open(bucket.clone(), &settings).unwrap();
        Self { bucket, settings, storage }
    }
}

#[async_trait]
impl Fixture for ObjectFixture {
    fn storage(&self) -> &dyn Storage {
        &self.storage
    }

    async fn restart(&mut self) {
        self.storage.settle().await.unwrap();
        self.storage = ObjectStorage::open(self.bucket.clone(), &self.settings).unwrap();
    }

    async fn cut_short(&self, object: &ObjectName) {
        let (_, base) = object.as_str().split_once('-').unwrap();
        let key = format!("objects/{base}");
        let bytes = self.bucket.read(&key, 1 << 30).await.unwrap();
        self.bucket.put(&key, vec![bytes.slice(..bytes.len() - 1)]).await.unwrap();
    }
}
