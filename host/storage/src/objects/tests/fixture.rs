//! A storage on a bucket under test.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
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

/// Makes a client of the bucket.
type Connect = Box<dyn Fn() -> BoxFuture<'static, Arc<dyn Bucket>> + Send + Sync>;

pub(crate) struct ObjectFixture {
    connect: Connect,
    settings: ObjectSettings,
    storage: ObjectStorage,
}

impl ObjectFixture {
    /// A storage whose process keeps its client of the bucket over a restart.
    pub(crate) fn new(bucket: Arc<dyn Bucket>, settings: ObjectSettings) -> Self {
        let storage = ObjectStorage::open(Arc::clone(&bucket), &settings).unwrap();
        let connect = move || std::future::ready(Arc::clone(&bucket)).boxed();
        Self { connect: Box::new(connect), settings, storage }
    }

    /// A storage whose process reconnects at each start. Connections end with the process that
    /// opened them.
    pub(crate) async fn connecting<F>(
        settings: ObjectSettings,
        connect: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Arc<dyn Bucket>> + Send + 'static,
    {
        let connect: Connect = Box::new(move || connect().boxed());
        let storage = ObjectStorage::open(connect().await, &settings).unwrap();
        Self { connect, settings, storage }
    }
}

#[async_trait]
impl Fixture for ObjectFixture {
    fn storage(&self) -> &dyn Storage {
        &self.storage
    }

    async fn restart(&mut self) {
        self.storage.settle().await.unwrap();
        self.storage = ObjectStorage::open((self.connect)().await, &self.settings).unwrap();
    }

    async fn change_below(&self, folder: &str, object: &ObjectName, change: crate::conformance::Change) {
        let (_, base) = object.as_str().split_once('-').unwrap();
        let key = format!("{folder}objects/{base}");
        let bucket = (self.connect)().await;
        let mut bytes = bucket.read(&key, 1 << 30).await.unwrap().to_vec();
        change(&mut bytes);
        bucket.put(&key, vec![bytes.into()]).await.unwrap();
    }
}
