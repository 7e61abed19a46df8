//! A full disk, with the database beside the objects.

use larder_index::{Index, IndexError};
use larder_storage::{
    StorageError,
    fs::{FsStorage, budget::Budget},
    testing::pattern,
};

use super::*;
use crate::testing::SmallDisk;

const MIB: usize = 1 << 20;

fn content(bytes: &Bytes) -> Source {
    let bytes = bytes.clone();
    Source::new(Some(bytes.len() as u64), stream::once(async { Ok(bytes) }).boxed())
}

/// Saves an entry, as guest and interfaces do; abandons the upload if it does not fit. Returns
/// whether there is an entry.
async fn save(tenant: &Tenant, key: &str, bytes: &Bytes) -> bool {
    let slot = Slot { repository: "1".into(), scope: "main".into(), version: "v".into(), key: key.into() };
    let upload = match tenant
        .index
        .reserve(&slot, "owner", &larder_common::facts::NO_FACTS, larder_index::Trust::Full, NOW_MS, 0)
        .await
    {
        Ok(Reservation::Reserved(upload)) => upload,
        Err(IndexError::NoSpace { .. }) => return false,
        other => panic!("{other:?}"),
    };
    let stored = match tenant.storage.put(&upload.name, content(bytes)).await {
        Ok(stored) => stored,
        Err(StorageError::NoSpace) => {
            crate::capacity::abandon_upload(tenant, &upload.name).await;
            tenant.pressure.report();
            return false;
        }
        Err(error) => panic!("{error:?}"),
    };
    let attachment = Attachment { object: stored.object, size_bytes: stored.size_bytes };
    tenant.index.attach(upload.id, &attachment, None, NOW_MS).await.unwrap();
    let made = tenant.index.finalize(upload.id, &attachment, &Durability::Durable, NOW_MS).await;
    made.unwrap().is_some()
}

fn tenant_on(disk: &SmallDisk, fixture: &Fixture) -> Arc<Tenant> {
    let storage = FsStorage::open(disk.path().join("storage"), Budget::new(1 << 20)).unwrap();
    let database = disk.path().join("larder.db");
    let pressure = DiskPressure::beside(&database);
    pressure.make_ballast();
    let tenant = Tenant {
        storage: Arc::new(storage),
        index: Arc::new(SqliteIndex::open(&database, KeyRule::AnyCase).unwrap()),
        pressure: Arc::new(pressure),
        ..(*fixture.tenant).clone()
    };
    Arc::new(tenant)
}

/// Fault 13: saves that fill the disk 20 times never need an operator.
#[tokio::test]
async fn a_disk_that_is_filled_twenty_times_is_freed_by_each_sweep() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    with_fixture(async |fixture| {
        let tenant = tenant_on(&disk, &fixture);
        let bytes = Bytes::from(pattern(MIB, 1));
        for round in 0..20 {
            let mut saved = 0;
            while save(&tenant, &format!("{round} {saved}"), &bytes).await {
                saved += 1;
            }
            assert!(saved >= 20, "{saved} of 1 MiB fit in round {round}");
            // More saves are rejected, and leave nothing behind.
            for number in 0..50 {
                assert!(!save(&tenant, &format!("{round} too many {number}"), &bytes).await);
            }
            let kept = tenant.index.list_entries(larder_index::EntryId(0), 1).await.unwrap();
            assert!(tenant.storage.open(&kept[0].object, MIB as u64, None).await.is_ok(), "reads go on");
            assert!(tenant.index.list_uploads(larder_index::UploadId(0), 10).await.unwrap().is_empty());
            let sweeper = Sweeper::new(&tenant, &fixture.guest, GRACE_MS);
            let report = sweeper.sweep_once(NOW_MS + 92 * DAY_MS).await.unwrap();
            assert_eq!(report.entries, saved);
        }
    })
    .await;
}

/// Fault 13: another program has filled the disk; the reserve of the database allows rows to be
/// deleted.
#[tokio::test]
async fn rows_are_deleted_on_a_disk_filled_by_another_program() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    with_fixture(async |fixture| {
        let tenant = tenant_on(&disk, &fixture);
        let bytes = Bytes::from(pattern(MIB, 1));
        let mut saved = 0;
        while save(&tenant, &saved.to_string(), &bytes).await {
            saved += 1;
        }
        let mut hogs = 0;
        for size in [MIB, 1 << 16, 1 << 12, 1] {
            while std::fs::write(disk.path().join(format!("hog {hogs}")), vec![0; size]).is_ok() {
                hogs += 1;
            }
        }
        let full = fill_the_log(&*tenant.index).await;
        assert!(matches!(full, IndexError::NoSpace { .. }), "{full:?}");
        let sweeper = Sweeper::new(&tenant, &fixture.guest, GRACE_MS);
        let later = NOW_MS + 92 * DAY_MS;
        let mut report = sweeper.sweep_once(later).await;
        if report.is_err() {
            // As the janitor does.
            assert!(report.as_ref().is_err_and(SweepError::is_no_space), "{report:?}");
            assert!(tenant.pressure.drop_ballast());
            report = sweeper.sweep_once(later).await;
        }
        report.unwrap();
        assert_eq!(tenant.index.list_entries(larder_index::EntryId(0), 1000).await.unwrap().len(), 0);
        for number in 0..hogs {
            std::fs::remove_file(disk.path().join(format!("hog {number}"))).unwrap();
        }
        assert!(save(&tenant, "again", &bytes).await);
    })
    .await;
}

/// Reserves slots until the database has no space left.
async fn fill_the_log(index: &dyn Index) -> IndexError {
    for number in 0..100_000 {
        let key = format!("{number}{}", "k".repeat(400));
        let slot = Slot { repository: "1".into(), scope: "main".into(), version: "v".into(), key };
        if let Err(error) = index
            .reserve(&slot, "owner", &larder_common::facts::NO_FACTS, larder_index::Trust::Full, NOW_MS, 0)
            .await
        {
            return error;
        }
    }
    panic!("the disk is not full");
}
