#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use larder_index::{Attachment, Durability, Entry, Index, KeyRule, Reservation, Slot, sqlite::SqliteIndex};

use super::UsageTracker;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// An index with one entry, made and used at 0.
async fn fixture() -> (tempfile::TempDir, Arc<dyn Index>, Entry) {
    let folder = tempfile::tempdir().unwrap();
    let index: Arc<dyn Index> =
        Arc::new(SqliteIndex::open(&folder.path().join("index.db"), KeyRule::AnyCase).unwrap());
    let [repository, scope, version, key] = ["r", "s", "v", "k"].map(str::to_owned);
    let slot = Slot { repository, scope, version, key };
    let Reservation::Reserved(upload) = index
        .reserve(&slot, "o", &larder_common::facts::NO_FACTS, larder_index::Trust::Full, 0, 0)
        .await
        .unwrap()
    else {
        panic!("the slot is taken");
    };
    let object = larder_storage::ObjectName::parse("object").unwrap();
    let attachment = Attachment { object, size_bytes: 1 };
    index.attach(upload.id, &attachment, None, 0).await.unwrap();
    let entry = index.finalize(upload.id, &attachment, &Durability::Durable, 0).await.unwrap().unwrap();
    (folder, index, entry)
}

async fn stored(index: &dyn Index, entry: &Entry) -> Option<u64> {
    index.get_entry(entry.id).await.unwrap().map(|entry| entry.last_used_ms)
}

#[tokio::test]
async fn a_use_after_a_long_time_is_written_at_once_and_others_in_batches() {
    let (_folder, index, entry) = fixture().await;
    let usage = UsageTracker::new(Some(90 * DAY_MS));
    assert!(usage.record_use(&*index, entry.id, 0, HOUR_MS - 1).await);
    assert_eq!(stored(&*index, &entry).await, Some(0));
    assert!(usage.has_buffered_use(entry.id));
    assert!(usage.record_use(&*index, entry.id, 0, HOUR_MS).await);
    assert_eq!(stored(&*index, &entry).await, Some(HOUR_MS));
    usage.flush(&index).await.unwrap();
    assert_eq!(stored(&*index, &entry).await, Some(HOUR_MS), "the earlier use does not set it back");
}

#[tokio::test]
async fn with_a_short_bound_on_unused_entries_a_long_time_is_shorter() {
    let (_folder, index, entry) = fixture().await;
    let usage = UsageTracker::new(Some(60_000));
    assert!(usage.record_use(&*index, entry.id, 0, 14_999).await);
    assert_eq!(stored(&*index, &entry).await, Some(0));
    assert!(usage.record_use(&*index, entry.id, 0, 15_000).await);
    assert_eq!(stored(&*index, &entry).await, Some(15_000));
}

#[tokio::test]
async fn the_sweep_of_another_server_spares_what_was_handed_out_and_what_it_took_is_not_handed_out() {
    let (_folder, index, entry) = fixture().await;
    let (here, there) = (UsageTracker::new(Some(DAY_MS)), Arc::clone(&index));
    let now_ms = 2 * DAY_MS;
    let departure = larder_index::Departure { cause: larder_index::Cause::Age, at_ms: now_ms };
    // The other server has listed the entry as unused, and does not know of this one's memory.
    assert!(here.record_use(&*index, entry.id, entry.last_used_ms, now_ms).await);
    assert!(!there.delete_entry_unused(entry.id, entry.last_used_ms, &departure).await.unwrap());
    // The other way round.
    assert!(there.delete_entry_unused(entry.id, now_ms, &departure).await.unwrap());
    assert!(!here.record_use(&*index, entry.id, entry.last_used_ms, now_ms).await);
}

/// Reserves a slot at this time.
async fn reserved(index: &dyn Index, key: &str, now_ms: u64) -> larder_index::Upload {
    let [repository, scope, version, key] = ["r", "s", "v", key].map(str::to_owned);
    let slot = Slot { repository, scope, version, key };
    let Reservation::Reserved(upload) = index
        .reserve(&slot, "o", &larder_common::facts::NO_FACTS, larder_index::Trust::Full, now_ms, 0)
        .await
        .unwrap()
    else {
        panic!("the slot is taken");
    };
    upload
}

/// Fault 1: what came for an upload is known at every moment, here or in the index, also where it
/// came in the millisecond of the reservation.
#[tokio::test]
async fn activity_of_an_upload_is_known_until_it_is_written_and_then_the_index_knows_it() {
    let (_folder, index, _) = fixture().await;
    let upload = reserved(&*index, "new", 1000).await;
    let usage = UsageTracker::default();
    assert_eq!(usage.last_activity_ms(&upload.name), None);
    usage.record_activity(&upload.name, 1000);
    assert_eq!(usage.last_activity_ms(&upload.name), Some(1001));
    usage.flush(&index).await.unwrap();
    assert_eq!(usage.last_activity_ms(&upload.name), None, "nothing is kept for ever");
    let stored = index.get_upload(&upload.name).await.unwrap().unwrap();
    assert_eq!((stored.created_ms, stored.last_activity_ms), (1000, 1001));
    assert!(!index.renew(upload.id, 1000, 5000).await.unwrap());
}

async fn uses(index: &dyn Index, entry: &Entry) -> Option<u64> {
    index.entry_details(&[entry.id]).await.unwrap()[0].uses
}

#[tokio::test]
async fn each_use_is_counted_once_whether_it_is_written_at_once_or_in_a_batch() {
    let (_folder, index, entry) = fixture().await;
    let usage = UsageTracker::new(None);
    for now_ms in [1_000, 1_000, 2_000] {
        assert!(usage.record_use(&*index, entry.id, 0, now_ms).await);
    }
    assert!(usage.record_use(&*index, entry.id, 0, HOUR_MS).await);
    assert_eq!(uses(&*index, &entry).await, Some(1));
    for _ in 0..2 {
        usage.flush(&index).await.unwrap();
        assert_eq!(uses(&*index, &entry).await, Some(4));
    }
    usage.buffer_use(entry.id, HOUR_MS + 1);
    usage.flush(&index).await.unwrap();
    assert_eq!(uses(&*index, &entry).await, Some(5));
    assert!(!usage.has_buffered_use(entry.id));
}

#[tokio::test]
async fn a_batch_whose_response_was_lost_counts_once_and_later_uses_are_not_lost() {
    let (_folder, index, entry) = fixture().await;
    let usage = UsageTracker::new(None);
    usage.buffer_use(entry.id, 1_000);
    usage.buffer_use(entry.id, 2_000);
    // It was recorded, and the server was told that it was not.
    let sent = usage.entries.lock().begin();
    index.touch_entries(&sent).await.unwrap();
    usage.buffer_use(entry.id, 3_000);
    assert!(usage.has_buffered_use(entry.id));
    usage.flush(&index).await.unwrap();
    assert_eq!(uses(&*index, &entry).await, Some(3));
    assert_eq!(stored(&*index, &entry).await, Some(3_000));
}
