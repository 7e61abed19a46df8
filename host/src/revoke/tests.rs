#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use larder_common::facts::Facts;
use larder_index::{
    Attachment, Cause, Durability, Index, KeyRule, MatchKind, Probe, Reservation, SavedBy, Slot, Trust,
    UploadId, sqlite::SqliteIndex,
};
use larder_metrics::{BuildInfo, Metrics, Settings};
use larder_storage::{
    Storage,
    fs::{FsStorage, budget::Budget},
    testing::whole,
};

use super::{Action, Revocation, revoke};
use crate::ending::{Ended, Ending};

struct Fixture {
    index: Arc<SqliteIndex>,
    storage: FsStorage,
    metrics: Arc<Metrics>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let index = SqliteIndex::open(&directory.path().join("index.db"), KeyRule::AnyCase).unwrap();
        let storage = FsStorage::open(directory.path().join("objects"), Budget::new(1 << 20)).unwrap();
        let metrics = Metrics::new(&Settings::default(), &BuildInfo::default());
        Self { index: Arc::new(index), storage, metrics, _directory: directory }
    }

    fn ending(&self) -> Ending<'_> {
        Ending { index: &*self.index, storage: &self.storage, metrics: &self.metrics }
    }

    async fn upload(&self, scope: &str, key: &str, run: &str, at_ms: u64) -> (UploadId, Attachment) {
        let slot = Slot {
            repository: "1".to_owned(),
            scope: scope.to_owned(),
            version: "v".to_owned(),
            key: key.to_owned(),
        };
        let facts = match run {
            "" => Facts::default(),
            run => Facts::try_from(&[("run_id", run), ("actor", "mallory")][..]).unwrap(),
        };
        let Reservation::Reserved(upload) =
            self.index.reserve(&slot, "o", &facts, Trust::Full, at_ms, 0).await.unwrap()
        else {
            panic!("the slot was taken")
        };
        let stored = self.storage.put(&upload.name, whole(b"bytes")).await.unwrap();
        (upload.id, Attachment { object: stored.object, size_bytes: 5 })
    }

    async fn save(&self, scope: &str, key: &str, run: &str, at_ms: u64) {
        let (id, content) = self.upload(scope, key, run, at_ms).await;
        self.index.attach(id, &content, None, at_ms).await.unwrap();
        self.index.finalize(id, &content, &Durability::Durable, at_ms).await.unwrap().unwrap();
    }

    async fn restores(&self, scope: &str, key: &str) -> bool {
        let probe = Probe { scope: scope.to_owned(), key: key.to_owned(), kind: MatchKind::Exact };
        self.index.find("1", "v", &[probe], &[]).await.unwrap().is_some()
    }

    fn removed_bytes(&self, reason: &str) -> u64 {
        let series = format!("larder_removed_bytes_total{{reason=\"{reason}\"}} ");
        let text = self.metrics.render();
        text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap()
    }

    async fn objects(&self) -> usize {
        self.storage.list_objects(None).await.unwrap().items.len()
    }
}

fn run(id: &str) -> SavedBy {
    SavedBy { facts: vec![("run_id".to_owned(), id.to_owned())], ..SavedBy::default() }
}

fn keys(done: &Revocation) -> Vec<&str> {
    done.entries.iter().map(|entry| &*entry.key).collect()
}

#[tokio::test]
async fn what_a_run_saved_is_deleted_with_its_objects_and_uploads() {
    let fixture = Fixture::new();
    fixture.save("main", "a", "7", 1_000).await;
    fixture.save("main", "b", "8", 2_000).await;
    fixture.save("feature", "c", "7", 3_000).await;
    fixture.save("main", "nobody's", "", 4_000).await;
    let (upload, _) = fixture.upload("main", "in progress", "7", 5_000).await;
    let objects = fixture.objects().await;

    let dry = revoke(fixture.ending(), &run("7"), Action::Delete, true, 9_000).await.unwrap();
    assert_eq!((keys(&dry), dry.uploads, dry.unknown), (vec!["a", "c"], 1, 1));
    assert!(fixture.restores("main", "a").await);
    assert_eq!(fixture.objects().await, objects);

    let done = revoke(fixture.ending(), &run("7"), Action::Delete, false, 9_000).await.unwrap();
    assert_eq!((keys(&done), done.uploads, done.unknown), (vec!["a", "c"], 1, 1));
    assert!(!fixture.restores("main", "a").await);
    assert!(!fixture.restores("feature", "c").await);
    assert!(fixture.restores("main", "b").await && fixture.restores("main", "nobody's").await);
    assert!(fixture.index.get_upload_by_id(upload).await.unwrap().is_none());
    assert!(fixture.objects().await <= objects - 2);
    let departed = fixture.index.find_departed("1", "a", MatchKind::Exact, 9).await.unwrap();
    assert_eq!(departed[0].departure.cause, Cause::Revoked);
    assert_eq!(fixture.removed_bytes("revoked"), 10);
    let again = revoke(fixture.ending(), &run("7"), Action::Delete, false, 9_000).await.unwrap();
    assert_eq!((keys(&again).len(), again.uploads), (0, 0));
}

#[tokio::test]
async fn quarantine_holds_back_until_it_is_released() {
    let fixture = Fixture::new();
    fixture.save("main", "a", "7", 1_000).await;
    fixture.save("main", "b", "7", 2_000).await;
    let early = SavedBy { to_ms: Some(1_500), ..run("7") };
    let held = revoke(fixture.ending(), &early, Action::Quarantine, false, 9_000).await.unwrap();
    assert_eq!(keys(&held), ["a"]);
    assert!(!fixture.restores("main", "a").await && fixture.restores("main", "b").await);
    assert_eq!(fixture.objects().await, 2);
    let held = revoke(fixture.ending(), &run("7"), Action::Quarantine, true, 9_000).await.unwrap();
    assert_eq!(keys(&held), ["b"], "the other is held already");
    let released = revoke(fixture.ending(), &run("7"), Action::Release, false, 9_000).await.unwrap();
    assert_eq!(keys(&released), ["a"]);
    assert!(fixture.restores("main", "a").await);
}

#[tokio::test]
async fn a_ref_is_that_of_the_facts_or_the_scope() {
    let fixture = Fixture::new();
    fixture.save("refs/heads/main", "a", "", 1_000).await;
    fixture.save("refs/heads/x", "b", "", 1_000).await;
    let by = SavedBy { git_ref: Some("refs/heads/x".to_owned()), ..SavedBy::default() };
    let done = revoke(fixture.ending(), &by, Action::Delete, true, 9_000).await.unwrap();
    assert_eq!(keys(&done), ["b"]);
}

#[tokio::test]
async fn a_scope_ends_with_all_that_it_has() {
    let fixture = Fixture::new();
    for number in 0..7 {
        fixture.save("refs/pull/1/merge", &number.to_string(), "7", 1_000).await;
    }
    fixture.upload("refs/pull/1/merge", "in progress", "7", 1_000).await;
    fixture.save("refs/pull/10/merge", "other", "7", 1_000).await;
    let ended = fixture.ending().scope("1", "refs/pull/1/merge", 9_000).await.unwrap();
    assert_eq!(ended, Ended { entries: 7, bytes: 35, uploads: 1 });
    assert_eq!(fixture.removed_bytes("closed-scope"), 35);
    assert!(fixture.restores("refs/pull/10/merge", "other").await);
    let departed = fixture.index.find_departed("1", "3", MatchKind::Exact, 9).await.unwrap();
    assert_eq!((&departed[0].departure.cause, departed[0].departure.at_ms), (&Cause::ClosedScope, 9_000));
    assert_eq!(fixture.ending().scope("1", "refs/pull/1/merge", 9_000).await.unwrap(), Ended::default());
}
