#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use larder_common::clock::Clock;
use larder_index::{Attachment, Durability, KeyRule, Reservation, Slot, sqlite::SqliteIndex};
use larder_storage::{
    fs::{FsStorage, budget::Budget},
    testing::{new_upload, whole},
};
use tempfile::TempDir;

use super::*;

/// Later than all objects on disk.
const FAR_FUTURE_MS: u64 = 100_000_000_000_000;

fn now_ms() -> u64 {
    Clock::system().now_ms()
}

struct Fixture {
    folder: TempDir,
    storage: Arc<FsStorage>,
    index: SqliteIndex,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let storage = Arc::new(FsStorage::open(folder.path().join("storage"), Budget::new(1 << 20)).unwrap());
        let index = SqliteIndex::open(&folder.path().join("larder.db"), KeyRule::AnyCase).unwrap();
        Self { folder, storage, index }
    }

    /// An index for the same storage with another database file.
    fn beside_another_database(&self, name: &str) -> SqliteIndex {
        SqliteIndex::open(&self.folder.path().join(name), KeyRule::AnyCase).unwrap()
    }

    async fn orphans(&self, count: usize) {
        for _ in 0..count {
            self.storage.put(&new_upload(), whole(b"x")).await.unwrap();
        }
    }

    async fn entry(&self, index: &dyn Index, key: &str) -> EntryId {
        let [repository, scope, version] = ["1", "main", "v"].map(str::to_owned);
        let slot = Slot { repository, scope, version, key: key.to_owned() };
        let Reservation::Reserved(upload) = index
            .reserve(&slot, "owner", &larder_common::facts::NO_FACTS, larder_index::Trust::Full, 1, 0)
            .await
            .unwrap()
        else {
            panic!("it is taken");
        };
        let stored = self.storage.put(&upload.name, whole(b"content")).await.unwrap();
        let attachment = Attachment { object: stored.object, size_bytes: stored.size_bytes };
        index.attach(upload.id, &attachment, None, 1).await.unwrap();
        index.finalize(upload.id, &attachment, &Durability::Durable, 1).await.unwrap().unwrap().id
    }

    async fn ownership(&self, index: &dyn Index) -> Ownership {
        Ownership::determine(&*self.storage, index, Ages::new(FAR_FUTURE_MS, 0)).await.unwrap()
    }
}

/// Fault 14.
#[tokio::test]
async fn an_empty_database_beside_a_full_storage_owns_nothing_until_it_adopts_it() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.ownership(&fixture.index).await,
        Ownership::Own,
        "a new storage belongs to its first index"
    );
    for number in 0..20 {
        fixture.entry(&fixture.index, &number.to_string()).await;
    }
    assert_eq!(fixture.ownership(&fixture.index).await, Ownership::Own);
    let empty = fixture.beside_another_database("mistyped.db");
    assert_eq!(fixture.ownership(&empty).await, Ownership::Foreign);
    fixture.entry(&empty, "new").await;
    assert_eq!(fixture.ownership(&empty).await, Ownership::Foreign, "its own first entries change nothing");
    assert_eq!(fixture.ownership(&fixture.index).await, Ownership::Own, "the right one is unchanged");
    Ownership::adopt(&*fixture.storage, &empty).await.unwrap();
    assert_eq!(fixture.ownership(&empty).await, Ownership::Own);
    assert_eq!(fixture.ownership(&fixture.index).await, Ownership::Foreign);
}

/// Fault 14: the last release stored no identity.
#[tokio::test]
async fn a_storage_without_an_identity_belongs_to_the_index_that_knows_most_of_it() {
    let fixture = Fixture::new();
    for number in 0..6 {
        fixture.entry(&fixture.index, &number.to_string()).await;
    }
    fixture.orphans(5).await;
    let unknown = fixture.beside_another_database("mistyped.db");
    assert_eq!(fixture.storage.identity().await.unwrap(), None);
    assert_eq!(fixture.ownership(&fixture.index).await, Ownership::Own);
    assert_eq!(fixture.ownership(&unknown).await, Ownership::Foreign);

    let fixture = Fixture::new();
    fixture.orphans(20).await;
    assert_eq!(fixture.ownership(&fixture.index).await, Ownership::Foreign);
    for number in 0..30 {
        fixture.entry(&fixture.index, &number.to_string()).await;
    }
    assert_eq!(fixture.ownership(&fixture.index).await, Ownership::Foreign, "the result is stored");
    Ownership::adopt(&*fixture.storage, &fixture.index).await.unwrap();
    assert_eq!(fixture.ownership(&fixture.index).await, Ownership::Own);
}

/// Fault 14: the right database, emptied.
#[tokio::test]
async fn an_emptied_index_owns_only_a_few_leftovers() {
    for (left, expected) in [(MAX_LEFTOVERS, Ownership::Own), (MAX_LEFTOVERS + 1, Ownership::Foreign)] {
        let fixture = Fixture::new();
        assert_eq!(fixture.ownership(&fixture.index).await, Ownership::Own);
        let departure = larder_index::Departure { cause: larder_index::Cause::Manual, at_ms: 1 };
        for number in 0..left {
            let id = fixture.entry(&fixture.index, &number.to_string()).await;
            fixture.index.delete_entry(id, &departure).await.unwrap();
        }
        assert_eq!(fixture.ownership(&fixture.index).await, expected);
        assert_eq!(fixture.ownership(&fixture.index).await, expected);
        Ownership::adopt(&*fixture.storage, &fixture.index).await.unwrap();
        assert_eq!(fixture.ownership(&fixture.index).await, Ownership::Own, "the operator's decision stands");
    }
}

/// Objects whose rows may not be written yet are not orphans.
#[tokio::test]
async fn young_objects_prove_nothing() {
    let fixture = Fixture::new();
    fixture.orphans(30).await;
    let young =
        Ownership::determine(&*fixture.storage, &fixture.index, Ages::new(now_ms(), 60_000)).await.unwrap();
    assert_eq!(young, Ownership::Own);
}

/// Fault 14, with files that a wrong clock has written.
#[tokio::test]
async fn objects_from_the_future_are_not_young() {
    let fixture = Fixture::new();
    fixture.orphans(30).await;
    for item in fixture.storage.list_objects(None).await.unwrap().items {
        fixture.storage.set_object_time(&item.name, now_ms() + 86_400_000).await.unwrap();
    }
    let ages = Ages::new(now_ms(), 60_000);
    let ahead = Ownership::determine(&*fixture.storage, &fixture.index, ages).await.unwrap();
    assert_eq!(ahead, Ownership::Foreign);
}
