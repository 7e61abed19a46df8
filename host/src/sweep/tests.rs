//! Sweeps with the built-in policy, a real index and a real storage.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use larder_index::{Attachment, Durability, Entry, KeyRule, Reservation, Slot, Upload, sqlite::SqliteIndex};
use larder_storage::{
    BlockId, Source,
    testing::faulty::{Fault, Faults, FaultyStorage},
};
use tempfile::TempDir;
use tokio::task::LocalSet;

use super::{Ages, Ownership, Report, SweepError, Sweeper};
use crate::{
    BUILT_IN_POLICY,
    disk_pressure::DiskPressure,
    engine::{Engine, Guest, InstanceLimits, TICK},
    retention::durability::Pass,
    tenant::Tenant,
    testing::{NOW_MS, tenant},
};

mod facts;
mod full;
mod orphans;
mod rules;
mod times;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const MINUTE_MS: u64 = 60 * 1000;
/// A time at which everything on disk is old.
const FAR_FUTURE_MS: u64 = 100_000_000_000_000;
const GRACE_MS: u64 = DAY_MS;

struct Fixture {
    tenant: Arc<Tenant>,
    guest: Guest,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let tenant = tenant(folder.path());
        let policy =
            Engine::start(TICK).unwrap().load(BUILT_IN_POLICY, None, InstanceLimits::default()).unwrap();
        let guest = policy.start(&tenant);
        Self { tenant, guest, folder }
    }

    async fn sweep(&self, now_ms: u64) -> Report {
        Sweeper::new(&self.tenant, &self.guest, GRACE_MS).sweep_once(now_ms).await.unwrap()
    }

    async fn upload(&self, key: &str, at_ms: u64) -> Upload {
        let slot =
            Slot { repository: "1".into(), scope: "main".into(), version: "v".into(), key: key.into() };
        match self
            .tenant
            .index
            .reserve(&slot, "owner", &larder_common::facts::NO_FACTS, larder_index::Trust::Full, at_ms, 0)
            .await
            .unwrap()
        {
            Reservation::Reserved(upload) => upload,
            taken => panic!("{taken:?}"),
        }
    }

    async fn put(&self, upload: &Upload, at_ms: u64) -> Attachment {
        let stored = self.tenant.storage.put(&upload.name, source()).await.unwrap();
        let attachment = Attachment { object: stored.object, size_bytes: stored.size_bytes };
        self.tenant.index.attach(upload.id, &attachment, None, at_ms).await.unwrap();
        attachment
    }

    async fn entry(&self, key: &str, at_ms: u64) -> Entry {
        let upload = self.upload(key, at_ms).await;
        let attachment = self.put(&upload, at_ms).await;
        let made = self.tenant.index.finalize(upload.id, &attachment, &Durability::Durable, at_ms).await;
        made.unwrap().unwrap()
    }

    async fn entries(&self) -> usize {
        self.tenant.index.list_entries(larder_index::EntryId(0), 10_000).await.unwrap().len()
    }

    fn objects(&self) -> Vec<PathBuf> {
        files(&self.folder.path().join("storage/objects"))
    }

    fn staged(&self) -> Vec<PathBuf> {
        files(&self.folder.path().join("storage/uploads"))
    }
}

fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn source() -> Source {
    let bytes = Bytes::from_static(b"some content");
    Source::new(Some(bytes.len() as u64), stream::once(async { Ok(bytes) }).boxed())
}

async fn with_fixture(test: impl AsyncFnOnce(Fixture)) {
    let run = async {
        let fixture = Fixture::new();
        // As the start of a server does.
        let (storage, index) = (&*fixture.tenant.storage, &*fixture.tenant.index);
        assert_eq!(
            Ownership::determine(storage, index, Ages::new(NOW_MS, GRACE_MS)).await.unwrap(),
            Ownership::Own
        );
        test(fixture).await;
    };
    LocalSet::new().run_until(run).await;
}

#[tokio::test]
async fn an_idle_upload_is_abandoned_and_an_active_one_kept() {
    with_fixture(async |fixture| {
        let idle = fixture.upload("idle", NOW_MS).await;
        fixture.put(&idle, NOW_MS).await;
        let block = BlockId::parse("block").unwrap();
        fixture.tenant.storage.put_block(&idle.name, &block, source()).await.unwrap();
        let active = fixture.upload("active", NOW_MS).await;
        let later = NOW_MS + 12 * 60 * MINUTE_MS;
        fixture.tenant.usage.record_activity(&active.name, later - 1000);

        let small = Sweeper::new(&fixture.tenant, &fixture.guest, GRACE_MS).sweep_uploads_once(later).await;
        assert_eq!(small.unwrap(), Report { uploads: 1, ..Report::default() });
        assert_eq!(fixture.sweep(later).await, Report::default());
        assert!(fixture.tenant.index.get_upload(&idle.name).await.unwrap().is_none());
        assert!(fixture.tenant.index.get_upload(&active.name).await.unwrap().is_some());
        assert!(fixture.objects().is_empty() && fixture.staged().is_empty());
    })
    .await;
}

#[tokio::test]
async fn unused_entries_are_deleted_even_if_never_downloaded() {
    with_fixture(async |fixture| {
        let used = fixture.entry("used", NOW_MS).await;
        fixture.entry("never downloaded", NOW_MS).await;
        let later = NOW_MS + 92 * DAY_MS;
        fixture.tenant.usage.buffer_use(used.id, later - DAY_MS);

        let report = fixture.sweep(later).await;
        assert_eq!(report, Report { entries: 1, bytes: 12, ..Report::default() });
        assert!(fixture.tenant.index.get_entry(used.id).await.unwrap().is_some());
        assert_eq!(fixture.objects().len(), 1, "the object goes after the row");
    })
    .await;
}

#[tokio::test]
async fn a_row_with_a_missing_or_truncated_object_is_deleted() {
    with_fixture(async |fixture| {
        let whole = fixture.entry("whole", NOW_MS).await;
        for (number, key) in ["gone", "cut off"].into_iter().enumerate() {
            let before = fixture.objects();
            fixture.entry(key, NOW_MS).await;
            let mine = fixture.objects().into_iter().find(|file| !before.contains(file)).unwrap();
            if number == 0 {
                std::fs::remove_file(mine).unwrap();
            } else {
                std::fs::write(mine, b"some").unwrap();
            }
        }
        assert_eq!(fixture.sweep(NOW_MS + 1).await.entries, 2);
        assert!(fixture.tenant.index.get_entry(whole.id).await.unwrap().is_some());
        assert_eq!(fixture.objects().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn layers_are_deleted_after_the_index_that_names_them() {
    with_fixture(async |fixture| {
        let layer = fixture.entry("buildkit-blob-1-sha256:00", NOW_MS).await;
        let index = fixture.entry("index-buildkit-1-00000000#1", NOW_MS + 1000).await;
        let later = NOW_MS + 100 * DAY_MS;
        fixture.tenant.usage.buffer_use(index.id, later - DAY_MS);
        assert_eq!(fixture.sweep(later).await.entries, 0, "the index is in use, the layer is not");
        let much_later = later + 100 * DAY_MS;
        assert_eq!(fixture.sweep(much_later).await.entries, 1);
        assert!(fixture.tenant.index.get_entry(layer.id).await.unwrap().is_some());
        assert!(fixture.tenant.index.get_entry(index.id).await.unwrap().is_none());
        assert_eq!(fixture.sweep(much_later).await.entries, 1, "then the layer");
    })
    .await;
}

#[tokio::test]
async fn deletions_over_many_pages_skip_nothing() {
    with_fixture(async |fixture| {
        let many = super::PAGE * 2 + 7;
        for number in 0..many {
            fixture.entry(&format!("key {number}"), NOW_MS).await;
        }
        assert_eq!(fixture.sweep(NOW_MS + 92 * DAY_MS).await.entries, many);
        assert_eq!((fixture.entries().await, fixture.objects().len()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn orphans_are_removed_after_the_grace_period_and_referenced_objects_kept() {
    with_fixture(async |fixture| {
        let kept = fixture.entry("kept", FAR_FUTURE_MS).await;
        let pending = fixture.upload("pending", FAR_FUTURE_MS).await;
        fixture.put(&pending, FAR_FUTURE_MS).await;
        let forgotten = fixture.upload("forgotten", FAR_FUTURE_MS).await;
        fixture.tenant.storage.put(&forgotten.name, source()).await.unwrap();
        let block = BlockId::parse("block").unwrap();
        fixture.tenant.storage.put_block(&forgotten.name, &block, source()).await.unwrap();
        fixture.tenant.index.abandon(forgotten.id).await.unwrap();

        let young = fixture.sweep(NOW_MS).await;
        assert_eq!(young, Report::default(), "objects younger than the grace period are left alone");
        let old = fixture.sweep(FAR_FUTURE_MS + 1).await;
        assert_eq!(old, Report { orphans: 2, ..Report::default() });
        assert_eq!((fixture.objects().len(), fixture.staged().len()), (2, 0));
        assert!(fixture.tenant.storage.stat(&kept.object).await.is_ok());
    })
    .await;
}

/// A tenant whose storage has injected failures.
fn failing(fixture: &Fixture) -> (Arc<Tenant>, Arc<Faults>) {
    let faults = Faults::none();
    let storage = FaultyStorage { inner: fixture.tenant.storage.clone(), faults: faults.clone() };
    let tenant = Tenant { storage: Arc::new(storage), ..(*fixture.tenant).clone() };
    (Arc::new(tenant), faults)
}

#[tokio::test]
async fn an_orphan_that_cannot_be_removed_does_not_block_the_others() {
    with_fixture(async |fixture| {
        for number in 0..3 {
            let forgotten = fixture.upload(&format!("forgotten {number}"), NOW_MS).await;
            fixture.tenant.storage.put(&forgotten.name, source()).await.unwrap();
            fixture.tenant.index.abandon(forgotten.id).await.unwrap();
        }
        let (tenant, faults) = failing(&fixture);
        let sweeper = Sweeper::new(&tenant, &fixture.guest, GRACE_MS);
        faults.add("remove", 0, 1, Fault::Fail);
        assert_eq!(sweeper.sweep_once(FAR_FUTURE_MS).await.unwrap().orphans, 2);
        assert_eq!(sweeper.sweep_once(FAR_FUTURE_MS).await.unwrap().orphans, 1);
        assert!(fixture.objects().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_object_that_cannot_be_removed_does_not_block_the_others_and_is_removed_later() {
    with_fixture(async |fixture| {
        for number in 0..3 {
            fixture.entry(&format!("unused {number}"), NOW_MS).await;
            let idle = fixture.upload(&format!("idle {number}"), NOW_MS).await;
            let block = BlockId::parse("block").unwrap();
            fixture.tenant.storage.put_block(&idle.name, &block, source()).await.unwrap();
            fixture.put(&idle, NOW_MS).await;
        }
        let (tenant, faults) = failing(&fixture);
        let sweeper = Sweeper::new(&tenant, &fixture.guest, GRACE_MS);
        // Of the first upload: its blocks and its object. Of the first entry: its object.
        faults.add("discard", 0, 1, Fault::Fail);
        faults.add("remove", 0, 1, Fault::Fail);
        faults.add("remove", 2, 1, Fault::Fail);
        let first = sweeper.sweep_once(NOW_MS + 92 * DAY_MS).await.unwrap();
        assert_eq!(first, Report { uploads: 3, entries: 3, bytes: 36, orphans: 0 });
        assert_eq!((fixture.objects().len(), fixture.staged().is_empty()), (2, false));
        let later = sweeper.sweep_once(FAR_FUTURE_MS).await.unwrap();
        assert_eq!(later, Report { orphans: 3, ..Report::default() });
        assert!(fixture.objects().is_empty() && fixture.staged().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_sweep_stops_after_too_many_failed_removals() {
    with_fixture(async |fixture| {
        for number in 0..30 {
            fixture.entry(&format!("unused {number}"), NOW_MS).await;
        }
        let (tenant, faults) = failing(&fixture);
        let sweeper = Sweeper::new(&tenant, &fixture.guest, GRACE_MS);
        faults.add("remove", 0, usize::MAX, Fault::Fail);
        let stopped = sweeper.sweep_once(NOW_MS + 92 * DAY_MS).await;
        assert!(matches!(stopped, Err(SweepError::Storage(_))), "{stopped:?}");
        assert_eq!(fixture.entries().await, 13, "it stopped after 17 failed removals");
    })
    .await;
}

#[tokio::test]
async fn an_open_reader_survives_the_deletion_of_its_entry() {
    with_fixture(async |fixture| {
        let entry = fixture.entry("old", NOW_MS).await;
        let open = fixture.tenant.storage.open(&entry.object, entry.size_bytes, None).await.unwrap();
        assert_eq!(fixture.sweep(NOW_MS + 92 * DAY_MS).await.entries, 1);
        let read: Vec<Bytes> = open.chunks.map(Result::unwrap).collect().await;
        assert_eq!(read.concat(), b"some content");
    })
    .await;
}

#[tokio::test]
async fn unflushed_entries_of_another_boot_are_dropped() {
    with_fixture(async |fixture| {
        let tenant = &fixture.tenant;
        for (key, boot) in [("lost", "an earlier boot"), ("waiting", "this boot")] {
            let upload = fixture.upload(key, NOW_MS).await;
            let attachment = fixture.put(&upload, NOW_MS).await;
            let until = Durability::Until { boot: boot.into() };
            tenant.index.finalize(upload.id, &attachment, &until, NOW_MS).await.unwrap().unwrap();
        }
        assert_eq!(tenant.durability.drop_unflushed(&*tenant.index).await.unwrap(), 1);
        for flushed in [1, 0] {
            let pass = tenant.durability.flush_once(&*tenant.storage, &*tenant.index).await;
            assert_eq!(pass.unwrap(), Pass { flushed, waiting: 0 });
        }
        let left = tenant.index.list_entries(larder_index::EntryId(0), 10).await.unwrap();
        assert_eq!(left.iter().map(|entry| entry.slot.key.as_str()).collect::<Vec<_>>(), ["waiting"]);
    })
    .await;
}

/// Fault 19.
#[tokio::test]
async fn future_times_are_corrected_by_the_next_sweep() {
    with_fixture(async |fixture| {
        const NOW_MS: u64 = 1_900_000_000_000;
        let ahead = NOW_MS + 365 * DAY_MS;
        let (entry, upload) = (fixture.entry("entry", ahead).await, fixture.upload("upload", ahead).await);
        assert_eq!(fixture.sweep(NOW_MS).await, Report::default());
        let times = async || {
            let entry = fixture.tenant.index.get_entry(entry.id).await.unwrap();
            let upload = fixture.tenant.index.get_upload(&upload.name).await.unwrap();
            (entry.map(|entry| entry.last_used_ms), upload.map(|upload| upload.last_activity_ms))
        };
        assert_eq!(times().await, (Some(NOW_MS), Some(NOW_MS)));
        assert_eq!(fixture.sweep(NOW_MS + 89 * DAY_MS).await.uploads, 1);
        assert_eq!(fixture.sweep(NOW_MS + 92 * DAY_MS).await.entries, 1);
        assert_eq!(times().await, (None, None));
    })
    .await;
}

/// Fault 14.
#[tokio::test]
async fn a_foreign_database_removes_nothing_until_the_storage_is_adopted() {
    with_fixture(async |fixture| {
        for number in 0..20 {
            fixture.entry(&number.to_string(), NOW_MS).await;
        }
        let staged = fixture.upload("staged", NOW_MS).await;
        let block = BlockId::parse("block").unwrap();
        fixture.tenant.storage.put_block(&staged.name, &block, source()).await.unwrap();
        let index = SqliteIndex::open(&fixture.folder.path().join("mistyped.db"), KeyRule::AnyCase).unwrap();
        let tenant = Arc::new(Tenant { index: Arc::new(index), ..(*fixture.tenant).clone() });
        let sweeper = Sweeper::new(&tenant, &fixture.guest, GRACE_MS);
        for _ in 0..2 {
            assert_eq!(sweeper.sweep_once(FAR_FUTURE_MS).await.unwrap(), Report::default());
            assert_eq!((fixture.objects().len(), fixture.staged().len()), (20, 2));
        }
        Ownership::adopt(&*tenant.storage, &*tenant.index).await.unwrap();
        assert_eq!(sweeper.sweep_once(FAR_FUTURE_MS).await.unwrap().orphans, 21);
        assert_eq!((fixture.objects().len(), fixture.staged().len()), (0, 0));
    })
    .await;
}

/// Fault 19: a clock that is behind corrects nothing.
#[tokio::test]
async fn a_wrong_clock_corrects_no_times() {
    with_fixture(async |fixture| {
        let entry = fixture.entry("entry", 1_900_000_000_000).await;
        assert_eq!(fixture.sweep(DAY_MS).await, Report::default());
        assert_eq!(fixture.tenant.index.get_entry(entry.id).await.unwrap(), Some(entry));
    })
    .await;
}

/// Fault 13: a failed step does not stop the next ones from freeing space, and spares what may be
/// in use.
#[tokio::test]
async fn an_index_that_rejects_updates_does_not_stop_the_sweep() {
    with_fixture(async |fixture| {
        let used = fixture.entry("used", NOW_MS).await;
        fixture.entry("unused", NOW_MS).await;
        let active = fixture.upload("active", NOW_MS).await;
        fixture.upload("idle", NOW_MS).await;
        let beside = rusqlite::Connection::open(fixture.folder.path().join("larder.db")).unwrap();
        let refuse = ["entries", "uploads"].map(|table| {
            format!("CREATE TRIGGER fault_{table} BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'fault'); END;")
        });
        beside.execute_batch(&refuse.concat()).unwrap();
        let later = NOW_MS + 92 * DAY_MS;
        fixture.tenant.usage.buffer_use(used.id, later);
        fixture.tenant.usage.record_activity(&active.name, later);
        let report = fixture.sweep(later).await;
        assert_eq!((report.entries, report.uploads), (1, 1));
        assert!(fixture.tenant.index.get_entry(used.id).await.unwrap().is_some());
        assert!(fixture.tenant.index.get_upload(&active.name).await.unwrap().is_some());
    })
    .await;
}
