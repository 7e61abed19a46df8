//! Orphans that were written while a clock was wrong.

use super::*;

/// An orphan whose time is in the future, or long past, was written while a clock was wrong. It is
/// removed after the grace period like others, counted from the sweep that saw it first.
#[tokio::test]
async fn an_orphan_with_an_impossible_time_is_neither_kept_for_ever_nor_removed_at_once() {
    with_fixture(async |fixture| {
        const NOW_MS: u64 = 1_900_000_000_000;
        let storage = &fixture.tenant.storage;
        let block = BlockId::parse("block").unwrap();
        for (number, at_ms) in [NOW_MS + 365 * DAY_MS, u64::MAX / 2, 86_400_000, 0].into_iter().enumerate() {
            let forgotten = fixture.upload(&format!("forgotten {number}"), NOW_MS).await;
            let object = storage.put(&forgotten.name, source()).await.unwrap().object;
            storage.put_block(&forgotten.name, &block, source()).await.unwrap();
            storage.set_object_time(&object, at_ms).await.unwrap();
            storage.set_upload_time(&forgotten.name, at_ms).await.unwrap();
            fixture.tenant.index.abandon(forgotten.id).await.unwrap();
        }
        let kept = fixture.entry("kept", NOW_MS).await;
        storage.set_object_time(&kept.object, NOW_MS + 365 * DAY_MS).await.unwrap();
        for later_ms in [0, GRACE_MS / 2, GRACE_MS] {
            assert_eq!(fixture.sweep(NOW_MS + later_ms).await.orphans, 0, "{later_ms}");
        }
        assert_eq!(fixture.sweep(NOW_MS + GRACE_MS + 1).await.orphans, 8);
        assert_eq!((fixture.objects().len(), fixture.staged().len()), (1, 0));
        assert!(storage.stat(&kept.object).await.is_ok(), "a row refers to it");
    })
    .await;
}

/// While this machine's clock is wrong, all orphans may be young.
#[tokio::test]
async fn a_sweep_by_a_wrong_clock_removes_no_orphan() {
    with_fixture(async |fixture| {
        let forgotten = fixture.upload("forgotten", NOW_MS).await;
        let object = fixture.tenant.storage.put(&forgotten.name, source()).await.unwrap().object;
        fixture.tenant.index.abandon(forgotten.id).await.unwrap();
        fixture.tenant.storage.set_object_time(&object, 1000).await.unwrap();
        assert_eq!(fixture.sweep(NOW_MS).await.orphans, 0);
        assert_eq!(fixture.objects().len(), 1);
    })
    .await;
}
