#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, atomic::Ordering::Relaxed};

use larder_common::clock::Clock;
use larder_index::{
    Durability, Entry, EntryId, Index, KeyRule, Slot,
    catalogue::{Catalogue, HOUR_MS, HistoryBy, HistoryCounts, HistoryKind, HistoryQuery},
    sqlite::SqliteIndex,
};
use larder_storage::ObjectName;

use super::{Counted, Evicted, Ghost, History};
use crate::config::HistoryConfig;

const NOW_MS: u64 = 500_000 * HOUR_MS;
const GB: u64 = 1_000_000_000;

fn history() -> (History, Arc<std::sync::atomic::AtomicU64>) {
    let (clock, now) = Clock::manual(NOW_MS);
    (History::new(&HistoryConfig { days: 2, rows: 100 }, 10, clock), now)
}

fn index(folder: &tempfile::TempDir) -> SqliteIndex {
    SqliteIndex::open(&folder.path().join("db"), KeyRule::AnyCase).unwrap()
}

fn request<'a>(outcome: &'a str, workflow: Option<&'a str>) -> Counted<'a> {
    Counted {
        outcome,
        repository: "7",
        key: "Linux-cargo-0123456789",
        entry: Some(1),
        workflow,
        bytes_out: 0,
        ghost: None,
    }
}

fn entry(size_bytes: u64) -> Entry {
    let [repository, scope, version, key] = ["7", "main", "v", "Linux-cargo-1"].map(str::to_owned);
    Entry {
        id: EntryId(1),
        slot: Slot { repository, scope, version, key },
        object: ObjectName::parse("0123456789abcdef0123456789abcdef").unwrap(),
        size_bytes,
        created_ms: 1,
        last_used_ms: 1,
        owner: None,
    }
}

async fn sums(index: &SqliteIndex, kind: HistoryKind) -> Vec<(String, HistoryCounts)> {
    let query = HistoryQuery { kind, by: HistoryBy::Name, limit: 9, ..HistoryQuery::default() };
    let sums = index.sum_history(&query).await.unwrap();
    sums.into_iter().map(|sum| (format!("{} {}", sum.repository, sum.name), sum.counts)).collect()
}

#[tokio::test]
async fn what_is_counted_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = history();
    history.count(&request("hit", Some("CI")), None);
    // Whose download it is, is known by the look-up.
    history.count(&Counted { bytes_out: 100, ..request("served", None) }, None);
    history.count(&request("miss", Some("CI")), None);
    history.saved(&entry(30), Some("CI"));
    history.evicted(&entry(5));
    // Neither is anything that history has.
    history.count(&request("reserved", Some("CI")), None);
    history.count(&Counted { entry: None, bytes_out: 9, ..request("served", None) }, None);
    history.flush_all(&index(&folder)).await.unwrap();

    let expected =
        HistoryCounts { hits: 1, misses: 1, served_bytes: 100, saved_bytes: 30, ..HistoryCounts::default() };
    let index = index(&folder);
    let tools = [("7 cargo".to_owned(), HistoryCounts { evicted_bytes: 5, ..expected })];
    assert_eq!(sums(&index, HistoryKind::Tool).await, tools);
    assert_eq!(sums(&index, HistoryKind::Workflow).await, [("7 CI".to_owned(), expected)]);
}

#[tokio::test]
async fn a_batch_is_written_once_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let (index, (history, now)) = (index(&folder), history());
    let hits = async || sums(&index, HistoryKind::Tool).await.first().map_or(0, |(_, counts)| counts.hits);
    for (seconds, written) in [(0, 1), (59, 1), (1, 3)] {
        now.fetch_add(seconds * 1_000, Relaxed);
        history.count(&request("hit", None), None);
        history.flush(&index).await.unwrap();
        assert_eq!(hits().await, written, "after {seconds}");
    }
}

#[tokio::test]
async fn old_hours_are_forgotten_and_no_history_is_kept_where_it_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let (index, (history, now)) = (index(&folder), history());
    history.count(&request("hit", None), None);
    history.flush_all(&index).await.unwrap();
    assert_eq!(sums(&index, HistoryKind::Tool).await.len(), 1);
    // Three days later.
    now.store(NOW_MS + 72 * HOUR_MS, Relaxed);
    history.flush_all(&index).await.unwrap();
    assert_eq!(sums(&index, HistoryKind::Tool).await, []);

    let off = History::new(&HistoryConfig { days: 0, rows: 100 }, 10, Clock::manual(NOW_MS).0);
    off.count(&request("hit", None), None);
    off.evicted(&entry(1));
    off.flush_all(&index).await.unwrap();
    assert_eq!(sums(&index, HistoryKind::Tool).await, []);
}

#[test]
fn a_ghost_is_as_far_as_its_size_and_what_was_evicted_since() {
    let mut evicted = Evicted::default();
    evicted.add(99, 1_000 * GB);
    evicted.add(100, 8 * GB);
    evicted.add(101, 5 * GB);
    let ghost = |at_ms, size_bytes| Ghost { version: "v".into(), size_bytes, at_ms };
    // In the middle of the hour, so half of it counts: 4 + 5 + 1.
    let half = ghost(100 * HOUR_MS + HOUR_MS / 2, GB);
    let ghosts = |ghost: &Ghost| evicted.haunting(ghost).ghosts();
    assert_eq!(ghosts(&half), [1, 1, 1]);
    assert_eq!(ghosts(&Ghost { size_bytes: 2 * GB, ..half.clone() }), [0, 1, 1]);
    assert_eq!(ghosts(&Ghost { size_bytes: 80 * GB, ..half }), [0, 0, 1]);
    assert_eq!(ghosts(&ghost(99 * HOUR_MS, GB)), [0, 0, 0]);
    // After the last eviction only its own size counts.
    assert_eq!(ghosts(&ghost(102 * HOUR_MS, 10 * GB)), [1, 1, 1]);
}

#[tokio::test]
async fn a_ghost_is_counted_by_the_multiple_of_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (index, (history, _)) = (index(&folder), history());
    let metrics = larder_metrics::Metrics::new(&larder_metrics::Settings::default(), &Default::default());
    let entry = entry(100);
    stored(&index, &entry.slot, 100).await;
    history.evicted(&entry);
    history.flush_all(&index).await.unwrap();
    for size_bytes in [50, 100, 250, 650, 5_000] {
        // It went at the end of the hour: nothing was evicted since.
        let ghost = Ghost { version: "v".into(), size_bytes, at_ms: NOW_MS + HOUR_MS - 1 };
        history.count(&Counted { ghost: Some(&ghost), ..request("miss", None) }, Some(&metrics));
    }
    let text = metrics.render();
    for line in [
        "larder_ghost_hits_total{would_fit=\"2x\"} 2",
        "larder_ghost_hits_total{would_fit=\"4x\"} 1",
        "larder_ghost_hits_total{would_fit=\"8x\"} 1",
        "larder_ghost_hit_bytes_total{would_fit=\"2x\"} 150",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    history.flush_all(&index).await.unwrap();
    let [(_, counts)] = &sums(&index, HistoryKind::Tool).await[..] else { panic!("one row") };
    assert_eq!((counts.misses, counts.ghosts), (5, [5, 5, 5]));
}

/// Saves an entry of so many bytes.
async fn stored(index: &SqliteIndex, slot: &Slot, size_bytes: u64) {
    let (facts, trust) = (larder_index::Facts::default(), larder_index::Trust::Full);
    let reserved = index.reserve(slot, "o", &facts, trust, NOW_MS, 0).await.unwrap();
    let larder_index::Reservation::Reserved(upload) = reserved else { panic!("the slot is taken") };
    let object = ObjectName::parse("0123456789abcdef0123456789abcdef").unwrap();
    let attachment = larder_index::Attachment { object, size_bytes };
    index.attach(upload.id, &attachment, None, NOW_MS).await.unwrap();
    index.finalize(upload.id, &attachment, &Durability::Durable, NOW_MS).await.unwrap().unwrap();
}
