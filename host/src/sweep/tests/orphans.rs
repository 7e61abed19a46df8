//! What a sweep finds and cannot remove yet is counted.

use larder_index::{Area, Caps, Room};
use larder_storage::ObjectName;

use super::*;

async fn counted(fixture: &Fixture, area: &Area) -> u64 {
    fixture.tenant.index.usage_of(area).await.unwrap()
}

/// Stores a body of 12 bytes and a block for an upload, whose row is then lost.
async fn crashed(fixture: &Fixture, key: &str, reserved: u64) {
    let upload = fixture.upload(key, NOW_MS).await;
    if reserved > 0 {
        let room = fixture.tenant.index.reserve_room(&upload.name, reserved, &Caps::default()).await;
        assert_eq!(room.unwrap(), Room::Reserved);
    }
    fixture.tenant.storage.put(&upload.name, source()).await.unwrap();
    let block = BlockId::parse("block").unwrap();
    fixture.tenant.storage.put_block(&upload.name, &block, source()).await.unwrap();
    fixture.tenant.index.abandon(upload.id).await.unwrap();
}

async fn staged_bytes(fixture: &Fixture) -> u64 {
    let page = fixture.tenant.storage.list_uploads(None).await.unwrap();
    page.items.iter().map(|upload| upload.size_bytes).sum()
}

#[tokio::test]
async fn orphans_that_are_too_young_are_counted_until_they_are_removed() {
    with_fixture(async |fixture| {
        let kept = fixture.entry("kept", FAR_FUTURE_MS).await;
        crashed(&fixture, "crashed", 0).await;
        let staged = staged_bytes(&fixture).await;
        let both = [Area::Tenant, Area::Server];
        for area in &both {
            assert_eq!(counted(&fixture, area).await, kept.size_bytes);
        }
        for _ in 0..2 {
            fixture.sweep(NOW_MS).await;
            for area in &both {
                assert_eq!(counted(&fixture, area).await, kept.size_bytes + 12 + staged);
            }
        }
        assert_eq!(fixture.sweep(FAR_FUTURE_MS + 1).await.orphans, 2);
        for area in &both {
            assert_eq!(counted(&fixture, area).await, kept.size_bytes);
        }
        assert_eq!(fixture.tenant.index.recount().await.unwrap(), 0);
    })
    .await;
}

/// An object of a release whose names were random.
#[tokio::test]
async fn an_orphan_with_a_name_of_before_is_counted() {
    with_fixture(async |fixture| {
        let name = ObjectName::parse("p-0123456789abcdef0123456789abcdef").unwrap();
        let folder = fixture.folder.path().join("storage/objects/01");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name.as_str()), [7; 1000]).unwrap();
        fixture.sweep(NOW_MS).await;
        assert_eq!(counted(&fixture, &Area::Tenant).await, 1000);
        assert_eq!(fixture.sweep(FAR_FUTURE_MS).await.orphans, 1);
        assert_eq!(counted(&fixture, &Area::Tenant).await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_has_a_row_or_is_leaving_is_not_counted_twice() {
    with_fixture(async |fixture| {
        // Under way: what it stores is reserved in its row.
        let pending = fixture.upload("pending", NOW_MS).await;
        let room = fixture.tenant.index.reserve_room(&pending.name, 50, &Caps::default()).await;
        assert_eq!(room.unwrap(), Room::Reserved);
        fixture.tenant.storage.put(&pending.name, source()).await.unwrap();
        // Interrupted, and listed as leaving.
        crashed(&fixture, "crashed", 100).await;
        let deleted = fixture.entry("deleted", NOW_MS).await;
        let departure = larder_index::Departure { cause: larder_index::Cause::Manual, at_ms: NOW_MS };
        assert!(fixture.tenant.index.delete_entry(deleted.id, &departure).await.unwrap());
        assert_eq!(counted(&fixture, &Area::Tenant).await, 50 + 100 + 12);
        // A policy that keeps the upload under way.
        fixture.tenant.usage.record_activity(&pending.name, NOW_MS);
        fixture.sweep(NOW_MS).await;
        assert_eq!(counted(&fixture, &Area::Tenant).await, 50 + 100 + 12);
    })
    .await;
}

#[tokio::test]
async fn an_orphan_that_cannot_be_removed_stays_counted() {
    with_fixture(async |fixture| {
        crashed(&fixture, "crashed", 0).await;
        let staged = staged_bytes(&fixture).await;
        let (tenant, faults) = failing(&fixture);
        let sweeper = Sweeper::new(&tenant, &fixture.guest, GRACE_MS);
        faults.add("remove", 0, 1, Fault::Fail);
        faults.add("discard", 0, 1, Fault::Fail);
        assert_eq!(sweeper.sweep_once(FAR_FUTURE_MS).await.unwrap().orphans, 0);
        assert_eq!(counted(&fixture, &Area::Tenant).await, 12 + staged);
        assert_eq!(sweeper.sweep_once(FAR_FUTURE_MS).await.unwrap().orphans, 2);
        assert_eq!(counted(&fixture, &Area::Tenant).await, 0);
    })
    .await;
}
