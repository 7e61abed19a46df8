//! Scrubs of a folder and a real index.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{path::PathBuf, sync::Arc};

use larder_common::facts::NO_FACTS;
use larder_index::{
    Attachment, Cause, Durability, Entry, EntryId, MatchKind, Reservation, Slot, Trust, Upload,
};
use larder_management::ScrubStatus;
use larder_storage::{
    StorageError,
    testing::{id, ids, pattern, whole},
};
use tempfile::TempDir;

use super::{Plan, control::Run};
use crate::{tenant::Tenant, testing::tenant};

struct Fixture {
    tenant: Arc<Tenant>,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { tenant: tenant(folder.path()), folder }
    }

    async fn reserve(&self, repository: &str, key: &str) -> Upload {
        let [repository, scope, version, key] = [repository, "main", "v", key].map(str::to_owned);
        let slot = Slot { repository, scope, version, key };
        match self.tenant.index.reserve(&slot, "owner", &NO_FACTS, Trust::Full, 1, 0).await.unwrap() {
            Reservation::Reserved(upload) => upload,
            taken => panic!("{taken:?}"),
        }
    }

    /// An entry of two blocks. `is_recorded`: with their digest.
    async fn entry(&self, repository: &str, key: &str, is_recorded: bool) -> Entry {
        let upload = self.reserve(repository, key).await;
        let storage = &self.tenant.storage;
        for (name, seed) in [("a", 1), ("b", 2)] {
            let source = whole(&pattern(100_000, seed));
            let source = if is_recorded { source.recording_digest() } else { source };
            storage.put_block(&upload.name, &id(name), source).await.unwrap();
        }
        let stored = storage.commit(&upload.name, &ids(["b", "a"])).await.unwrap();
        assert_eq!(stored.digest.is_some(), is_recorded);
        let content = Attachment { object: stored.object, size_bytes: stored.size_bytes };
        self.tenant.index.attach(upload.id, &content, stored.digest.as_ref(), 1).await.unwrap();
        self.tenant.index.finalize(upload.id, &content, &Durability::Durable, 1).await.unwrap().unwrap()
    }

    /// Changes a bit of an object.
    fn flip(&self, entry: &Entry) {
        let path = file(&self.folder.path().join("storage/objects"), &entry.object.as_str()[2..]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[150_000] ^= 0x10;
        std::fs::write(path, bytes).unwrap();
    }

    async fn scrub(&self, plan: Plan) -> ScrubStatus {
        let run = Run::default();
        run.perform(&self.tenant, &plan).await;
        let status = run.status();
        assert!(status.complete && !status.running, "{status:?}");
        status
    }

    async fn is_there(&self, entry: &Entry) -> bool {
        self.tenant.index.get_entry(entry.id).await.unwrap().is_some()
    }
}

fn file(folder: &std::path::Path, part: &str) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(&part[part.len() - 8..]) {
                return path;
            }
        }
    }
    panic!("{part} is not there");
}

fn bad(status: &ScrubStatus) -> Vec<(u64, &str, bool)> {
    status.bad_entries.iter().map(|entry| (entry.id, &*entry.problem, entry.repaired)).collect()
}

const REPAIR: fn() -> Plan = || Plan { repair: true, ..Plan::default() };

#[tokio::test]
async fn a_flipped_bit_is_found_and_repaired() {
    let fixture = Fixture::new();
    let good = fixture.entry("1", "good", true).await;
    let damaged = fixture.entry("1", "damaged", true).await;
    assert_eq!(bad(&fixture.scrub(Plan::default()).await), []);
    fixture.flip(&damaged);
    let status = fixture.scrub(Plan::default()).await;
    assert_eq!(bad(&status), [(damaged.id.0, "damaged", false)]);
    assert_eq!((status.checked, status.bad, status.entries), (2, 1, Some(2)));
    assert!(fixture.is_there(&damaged).await, "nothing was to be repaired");
    let status = fixture.scrub(REPAIR()).await;
    assert_eq!(bad(&status), [(damaged.id.0, "damaged", true)]);
    assert!(!fixture.is_there(&damaged).await && fixture.is_there(&good).await);
    let gone = fixture.tenant.storage.stat(&damaged.object).await;
    assert!(matches!(gone, Err(StorageError::NotFound)), "{gone:?}");
    let departed = fixture.tenant.index.find_departed("1", "damaged", MatchKind::Exact, 9).await.unwrap();
    let causes: Vec<_> = departed.iter().map(|gone| (gone.entry, &gone.departure.cause)).collect();
    assert_eq!(causes, [(damaged.id, &Cause::Stale)]);
    assert_eq!(fixture.scrub(REPAIR()).await.checked, 1);
}

#[tokio::test]
async fn a_lost_object_is_found_with_and_without_a_digest() {
    let fixture = Fixture::new();
    let mut expected = Vec::new();
    for is_recorded in [true, false] {
        let entry = fixture.entry("1", &format!("lost {is_recorded}"), is_recorded).await;
        fixture.tenant.storage.remove(&entry.object).await.unwrap();
        expected.push((entry.id.0, "lost", true));
    }
    fixture.entry("1", "good", false).await;
    let status = fixture.scrub(REPAIR()).await;
    assert_eq!(bad(&status), expected);
    assert_eq!((status.checked, status.unrecorded), (3, 1));
}

#[tokio::test]
async fn what_is_not_known_is_recorded_if_that_is_asked_for() {
    let fixture = Fixture::new();
    let entry = fixture.entry("1", "old", false).await;
    let status = fixture.scrub(Plan::default()).await;
    assert_eq!((status.unrecorded, status.recorded, status.bytes), (1, 0, 0));
    let status = fixture.scrub(Plan { record: true, ..Plan::default() }).await;
    assert_eq!((status.unrecorded, status.recorded, status.bytes), (1, 1, 200_000));
    assert_eq!(fixture.scrub(Plan::default()).await.unrecorded, 0);
    fixture.flip(&entry);
    assert_eq!(fixture.scrub(Plan::default()).await.bad, 1);
}

#[tokio::test]
async fn what_cannot_be_read_stays() {
    use larder_storage::testing::faulty::{Fault, Faults, FaultyStorage};
    let fixture = Fixture::new();
    let entry = fixture.entry("1", "k", true).await;
    let faults = Faults::none();
    faults.add("open", 0, usize::MAX, Fault::Fail);
    let storage = FaultyStorage { inner: fixture.tenant.storage.clone(), faults };
    let tenant = Arc::new(Tenant { storage: Arc::new(storage), ..(*fixture.tenant).clone() });
    let run = Run::default();
    run.perform(&tenant, &REPAIR()).await;
    let status = run.status();
    assert_eq!((status.complete, status.unreadable, status.bad), (true, 1, 0));
    assert!(fixture.is_there(&entry).await);
}

#[tokio::test]
async fn one_that_is_stopped_leaves_all_as_it_was_and_another_goes_on() {
    let fixture = Fixture::new();
    let mut entries = Vec::new();
    for number in 0..5 {
        entries.push(fixture.entry("1", &format!("k{number}"), true).await);
    }
    fixture.flip(&entries[3]);
    let run = Run::default();
    run.stop();
    run.perform(&fixture.tenant, &REPAIR()).await;
    let status = run.status();
    assert_eq!((status.complete, status.checked, status.last_entry), (false, 0, 0));
    assert_eq!(fixture.tenant.index.list_entries(EntryId(0), 9).await.unwrap(), entries);
    let status = fixture.scrub(Plan { after: entries[1].id.0, ..Plan::default() }).await;
    assert_eq!((status.checked, status.last_entry), (3, entries[4].id.0));
    assert_eq!(bad(&status), [(entries[3].id.0, "damaged", false)]);
}

#[tokio::test]
async fn only_the_repositories_that_were_asked_for_are_read() {
    let fixture = Fixture::new();
    let (own, other) = (fixture.entry("1", "k", true).await, fixture.entry("2", "k", true).await);
    fixture.flip(&own);
    fixture.flip(&other);
    let status = fixture.scrub(Plan { repositories: vec!["2".to_owned()], ..REPAIR() }).await;
    assert_eq!(bad(&status), [(other.id.0, "damaged", true)]);
    assert!(fixture.is_there(&own).await);
}

#[test]
fn it_reads_no_faster_than_it_may() {
    let began = tokio::time::Instant::now();
    let mut pace = super::Pace::new(Some(1_000));
    let due: Vec<_> = (0..10).filter_map(|_| pace.due(1_000, began)).collect();
    assert!(due[9] >= began + std::time::Duration::from_secs(8), "{due:?}");
    // Who was slow may make up for a second of it.
    let late = began + std::time::Duration::from_secs(100);
    assert_eq!(pace.due(1_000, late), Some(late));
    assert_eq!(super::Pace::new(None).due(1_000, began), None);
}
