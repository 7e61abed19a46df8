#![expect(clippy::unwrap_used, reason = "tests")]

use larder_index::{Attachment, KeyRule, Reservation, Slot, sqlite::SqliteIndex};
use larder_storage::{
    fs::{FsStorage, budget::Budget},
    testing::{
        faulty::{Fault, Faults, FaultyStorage},
        whole,
    },
};
use tempfile::TempDir;

use super::*;
use crate::testing::run_with_descriptors;

struct Fixture {
    folder: TempDir,
    storage: FaultyStorage,
    index: SqliteIndex,
    durability: DurabilityTracker,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let inner = Arc::new(FsStorage::open(folder.path().join("storage"), Budget::new(1 << 20)).unwrap());
        Self {
            storage: FaultyStorage { inner, faults: Faults::none() },
            index: SqliteIndex::open(&folder.path().join("larder.db"), KeyRule::AnyCase).unwrap(),
            durability: DurabilityTracker::new("this boot".into(), false),
            folder,
        }
    }

    async fn entry(&self, key: &str) -> Entry {
        let [repository, scope, version] = ["1", "main", "v"].map(str::to_owned);
        let slot = Slot { repository, scope, version, key: key.to_owned() };
        let Reservation::Reserved(upload) = self
            .index
            .reserve(&slot, "owner", &larder_common::facts::NO_FACTS, larder_index::Trust::Full, 1, 0)
            .await
            .unwrap()
        else {
            panic!("it is taken");
        };
        let stored = self.storage.put(&upload.name, whole(b"content")).await.unwrap();
        let attachment = Attachment { object: stored.object, size_bytes: stored.size_bytes };
        self.index.attach(upload.id, &attachment, None, 1).await.unwrap();
        let until = self.durability.of_new_entry();
        self.index.finalize(upload.id, &attachment, &until, 1).await.unwrap().unwrap()
    }

    async fn entries(&self, count: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        for number in 0..count {
            entries.push(self.entry(&number.to_string()).await);
        }
        entries
    }

    async fn flush(&self) -> Result<Pass, IndexError> {
        self.durability.flush_once(&self.storage, &self.index).await
    }

    async fn is_there(&self, entry: &Entry) -> bool {
        self.index.get_entry(entry.id).await.unwrap().is_some()
    }
}

/// Fault 6.
#[tokio::test]
async fn what_cannot_be_flushed_yet_waits_and_keeps_no_other_entry_waiting() {
    let fixture = Fixture::new();
    let entries = fixture.entries(3).await;
    fixture.storage.faults.add("flush", 1, 1, Fault::Fail);
    assert_eq!(fixture.flush().await.unwrap(), Pass { flushed: 2, waiting: 1 });
    for entry in &entries {
        assert!(fixture.is_there(entry).await, "nothing is given up");
    }
    // The two are marked: only the third is asked for again.
    fixture.storage.faults.take_calls();
    assert_eq!(fixture.flush().await.unwrap(), Pass { flushed: 1, waiting: 0 });
    assert_eq!(fixture.storage.faults.take_calls(), ["flush"]);
}

/// Fault 6.
#[tokio::test]
async fn a_lost_write_gives_up_the_one_entry_that_it_was_of() {
    let fixture = Fixture::new();
    let entries = fixture.entries(3).await;
    fixture.storage.faults.add("flush", 1, 1, Fault::Lost);
    assert_eq!(fixture.flush().await.unwrap(), Pass { flushed: 2, waiting: 0 });
    let there = [fixture.is_there(&entries[0]).await, fixture.is_there(&entries[2]).await];
    assert_eq!((there, fixture.is_there(&entries[1]).await), ([true, true], false));
    assert!(fixture.storage.stat(&entries[1].object).await.is_err(), "its object went, too");
}

/// Fault 6: the kernel reports a failed write once.
#[tokio::test]
async fn a_lost_write_is_not_made_good_by_a_later_flush() {
    let fixture = Fixture::new();
    let entries = fixture.entries(1).await;
    let beside = rusqlite::Connection::open(fixture.folder.path().join("larder.db")).unwrap();
    let refuse = "CREATE TRIGGER fault BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'fault'); END";
    beside.execute_batch(refuse).unwrap();
    fixture.storage.faults.add("flush", 0, 1, Fault::Lost);
    for _ in 0..2 {
        assert!(fixture.flush().await.is_err(), "the row cannot be deleted");
        let waits = fixture.index.list_volatile("this boot", true, EntryId(0), 10).await.unwrap();
        assert_eq!(waits.len(), 1, "it was not marked");
    }
    beside.execute_batch("DROP TRIGGER fault").unwrap();
    assert_eq!(fixture.flush().await.unwrap(), Pass::default());
    assert!(!fixture.is_there(&entries[0]).await);
}

/// Fault 6: a descriptor that is missing for a while costs no acknowledged entry.
#[tokio::test]
async fn entries_are_flushed_when_descriptors_are_there_again() {
    let fixture = Fixture::new();
    fixture.entries(20).await;
    fixture.storage.faults.add("flush", 0, 60, Fault::Fail);
    for _ in 0..3 {
        assert_eq!(fixture.flush().await.unwrap(), Pass { flushed: 0, waiting: 20 });
    }
    assert_eq!(fixture.flush().await.unwrap(), Pass { flushed: 20, waiting: 0 });
}

const FEW_DESCRIPTORS: &str = "LARDER_TEST_FEW_DESCRIPTORS";

/// Not a test of its own: what [`acknowledged_entries_outlive_a_want_of_descriptors`] runs with a
/// low limit.
#[tokio::test]
async fn flushes_with_few_descriptors() {
    if larder_testing::variable(FEW_DESCRIPTORS).is_none() {
        return;
    }
    let fixture = Fixture::new();
    let entries = fixture.entries(20).await;
    // The first flush of all opens what is opened once.
    fixture.flush().await.unwrap();
    let more = fixture.entry("one more").await;
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    assert_eq!(fixture.flush().await.unwrap(), Pass { flushed: 0, waiting: 1 });
    drop(taken);
    assert_eq!(fixture.flush().await.unwrap(), Pass { flushed: 1, waiting: 0 });
    for entry in entries.iter().chain([&more]) {
        assert!(fixture.is_there(entry).await);
        assert!(fixture.storage.stat(&entry.object).await.is_ok());
    }
}

/// Fault 6, with the kernel's own EMFILE.
#[test]
fn acknowledged_entries_outlive_a_want_of_descriptors() {
    run_with_descriptors(100, "retention::durability::tests::flushes_with_few_descriptors", FEW_DESCRIPTORS);
}

#[tokio::test]
async fn a_restart_of_the_machine_abandons_uploads_that_began_before_it_or_in_the_future() {
    let fixture = Fixture::new();
    let now_ms = larder_common::clock::Clock::system().now_ms();
    for (key, created_ms) in [("before", 1), ("since", now_ms), ("future", now_ms + MAX_CLOCK_SKEW_MS + 1)] {
        let [repository, scope, version] = ["1", "main", "v"].map(str::to_owned);
        let slot = Slot { repository, scope, version, key: key.to_owned() };
        fixture
            .index
            .reserve(
                &slot,
                "owner",
                &larder_common::facts::NO_FACTS,
                larder_index::Trust::Full,
                created_ms,
                0,
            )
            .await
            .unwrap();
    }
    let keys = async || -> Vec<String> {
        let uploads = fixture.index.list_uploads(UploadId(0), 10).await.unwrap();
        uploads.into_iter().map(|upload| upload.slot.key).collect()
    };
    DurabilityTracker::new("this boot".into(), true).recover(&fixture.index, now_ms).await.unwrap();
    assert_eq!(keys().await, ["before", "since", "future"], "durable at once: nothing is given up");
    fixture.durability.recover(&fixture.index, now_ms).await.unwrap();
    assert_eq!(keys().await, ["since"]);
}

#[tokio::test]
async fn when_the_machine_booted_is_only_asked_where_there_are_uploads() {
    let fixture = Fixture::new();
    let asked = std::cell::Cell::new(0);
    let booted = || {
        asked.set(asked.get() + 1);
        Some(1)
    };
    abandon_interrupted(&fixture.index, booted, 2).await.unwrap();
    assert_eq!(asked.get(), 0);
    let [repository, scope, version, key] = ["1", "main", "v", "key"].map(str::to_owned);
    let slot = Slot { repository, scope, version, key };
    let facts = &larder_common::facts::NO_FACTS;
    fixture.index.reserve(&slot, "owner", facts, larder_index::Trust::Full, 1, 0).await.unwrap();
    abandon_interrupted(&fixture.index, booted, 2).await.unwrap();
    assert_eq!(asked.get(), 1);
}
