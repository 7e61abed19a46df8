#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use larder_common::TenantName;
use larder_index::{Attachment, Durability, Facts, KeyRule, Reservation, Slot, sqlite::SqliteIndex};
use larder_storage::{
    fs::{FsStorage, budget::Budget},
    testing::{new_upload, whole},
};
use tempfile::TempDir;

use super::{super::Ages, *};

struct Fixture {
    _folder: TempDir,
    storage: Arc<dyn Storage>,
    index: Arc<dyn Index>,
}

impl Fixture {
    /// A tenant with an entry, and an object that no row names.
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let name = TenantName::parse("acme").unwrap();
        let storage = FsStorage::open(folder.path().join("storage"), Budget::new(1 << 20)).unwrap();
        let index = SqliteIndex::open(&folder.path().join("larder.db"), KeyRule::AnyCase).unwrap();
        let (storage, index) = (storage.tenant(&name).unwrap(), index.tenant(&name).unwrap());
        let [repository, scope, version, key] = ["1", "main", "v", "key"].map(str::to_owned);
        let slot = Slot { repository, scope, version, key };
        let Reservation::Reserved(upload) =
            index.reserve(&slot, "owner", &Facts::default(), larder_index::Trust::Full, 1, 0).await.unwrap()
        else {
            panic!("it is taken");
        };
        let stored = storage.put(&upload.name, whole(b"content")).await.unwrap();
        let attachment = Attachment { object: stored.object, size_bytes: stored.size_bytes };
        index.attach(upload.id, &attachment, None, 1).await.unwrap();
        index.finalize(upload.id, &attachment, &Durability::Durable, 1).await.unwrap();
        storage.put(&new_upload(), whole(b"of nobody")).await.unwrap();
        Self { _folder: folder, storage, index }
    }

    async fn remove(&self) -> Option<Report> {
        remove(&*self.storage, &*self.index).await.unwrap()
    }

    async fn objects(&self) -> usize {
        self.storage.list_objects(None).await.unwrap().items.len()
    }
}

#[tokio::test]
async fn all_is_deleted_and_again_is_nothing() {
    let fixture = Fixture::new().await;
    Ownership::determine(&*fixture.storage, &*fixture.index, Ages::new(0, 0)).await.unwrap();
    let report = fixture.remove().await.unwrap();
    assert_eq!((report.entries, report.orphans, fixture.objects().await), (1, 1, 0));
    assert_eq!(fixture.storage.identity().await.unwrap(), None);
    assert_eq!(fixture.remove().await, Some(Report::default()));
}

/// Two servers on one bucket, by mistake: what the other one has is not known here, and stays.
#[tokio::test]
async fn objects_of_another_database_stay() {
    let fixture = Fixture::new().await;
    fixture.storage.set_identity("another", false).await.unwrap();
    let report = fixture.remove().await.unwrap();
    assert_eq!((report.entries, report.orphans, fixture.objects().await), (1, 0, 1));
    assert_eq!(fixture.storage.identity().await.unwrap().as_deref(), Some("another"));
    assert!(fixture.index.list_entries(EntryId(0), 1).await.unwrap().is_empty());
}
