//! Failures within a change, at the commit, and of one change among others in a transaction.

use std::{sync::Arc, thread};

use super::{
    super::{SqliteIndex, schema},
    open,
};
use crate::{
    Durability, IndexError, KeyRule, Reservation,
    conformance::{Case, attachment, block_on},
};

/// Returns a trigger that makes a statement of the driver fail.
fn fault(on: &str) -> String {
    format!("CREATE TRIGGER fault BEFORE {on} BEGIN SELECT RAISE(ABORT, 'fault'); END")
}

const REPAIR: &str = "DROP TRIGGER fault";

#[test]
fn a_finalize_that_fails_half_way_changes_nothing() {
    let opened = open();
    block_on(async {
        let upload = opened.reserve(&opened.key("k"), 1).await;
        let content = attachment(1);
        opened.index.attach(upload.id, &content, None, 1).await.unwrap();
        opened.beside().execute_batch(&fault("DELETE ON uploads")).unwrap();
        let finalize = || opened.index.finalize(upload.id, &content, &Durability::Durable, 2);
        assert!(matches!(finalize().await, Err(IndexError::Unavailable { .. })));
        assert_eq!(opened.exact("k").await, None);
        assert!(opened.index.get_upload(&upload.name).await.unwrap().is_some());
        opened.beside().execute_batch(REPAIR).unwrap();
        assert!(finalize().await.unwrap().is_some());
    });
}

#[test]
fn a_reservation_that_fails_half_way_displaces_nothing() {
    let opened = open();
    block_on(async {
        let idle = opened.reserve(&opened.key("k"), 1).await;
        opened.beside().execute_batch(&fault("INSERT ON uploads")).unwrap();
        let reserve = || opened.index.reserve(&idle.slot, "o", &crate::NO_FACTS, crate::Trust::Full, 9, 5);
        assert!(reserve().await.is_err());
        assert_eq!(opened.index.find_upload(&idle.slot).await.unwrap().as_ref(), Some(&idle));
        opened.beside().execute_batch(REPAIR).unwrap();
        assert!(matches!(reserve().await, Ok(Reservation::Reserved(_))));
    });
}

/// Reserves slots at once, while another writer blocks them until all are queued. Returns which
/// were reserved.
fn reserve_as_a_group(opened: &super::TestIndex, keys: &[String]) -> Vec<bool> {
    let writer = opened.beside();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let threads: Vec<_> = keys
            .iter()
            .map(|key| {
                scope.spawn(|| {
                    block_on(opened.index.reserve(
                        &opened.key(key),
                        "o",
                        &crate::NO_FACTS,
                        crate::Trust::Full,
                        1,
                        0,
                    ))
                })
            })
            .collect();
        writer.execute_batch("COMMIT").unwrap();
        let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
        outcomes.map(|outcome| outcome.is_ok()).collect()
    })
}

#[test]
fn a_failed_change_fails_alone() {
    let opened = open();
    let only_bad = "INSERT ON uploads WHEN NEW.key = CAST('bad' AS BLOB)";
    opened.beside().execute_batch(&fault(only_bad)).unwrap();
    let mut keys: Vec<String> = (0..20).map(|number| format!("good-{number}")).collect();
    keys.insert(10, "bad".to_owned());
    let reserved = reserve_as_a_group(&opened, &keys);
    for (key, reserved) in keys.iter().zip(reserved) {
        assert_eq!(reserved, key != "bad", "{key}");
        let there = block_on(opened.index.find_upload(&opened.key(key))).unwrap();
        assert_eq!(there.is_some(), reserved, "{key}");
    }
}

#[test]
fn a_failed_commit_fails_all_changes_and_changes_nothing() {
    let opened = open();
    // COMMIT checks a deferred constraint, and leaves the transaction open if it fails.
    let broken = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER fault AFTER INSERT ON uploads BEGIN INSERT INTO child VALUES (1); END";
    opened.beside().execute_batch(broken).unwrap();
    let keys: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert!(reserve_as_a_group(&opened, &keys).into_iter().all(|reserved| !reserved));
    for key in &keys {
        let there = block_on(opened.index.find_upload(&opened.key(key))).unwrap();
        assert_eq!(there, None);
    }
    opened.beside().execute_batch(REPAIR).unwrap();
    assert!(reserve_as_a_group(&opened, &keys).into_iter().all(|reserved| reserved));
}

/// Opens an index whose file may grow by two pages only.
fn almost_full(path: &std::path::Path) -> Case {
    let conn = schema::open_for_writing(path, KeyRule::AnyCase).unwrap();
    let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    conn.pragma_update(None, "max_page_count", pages + 2).unwrap();
    let others = [0, 1].map(|_| schema::open_for_reading(path).unwrap());
    Case::new(Arc::new(SqliteIndex::start(path, KeyRule::AnyCase, conn, others).unwrap()))
}

/// Fault 13.
#[test]
fn a_full_disk_is_not_an_outage_and_is_temporary() {
    let directory = tempfile::tempdir().unwrap();
    let case = almost_full(&directory.path().join("index.db"));
    block_on(async {
        let entry = case.entry("k").await;
        let long = "l".repeat(4_000);
        let mut refused = None;
        for number in 0..10 {
            let slot = case.slot("main", &long, &number.to_string());
            refused = case
                .index
                .reserve(&slot, "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0)
                .await
                .err()
                .or(refused);
        }
        assert!(matches!(refused, Some(IndexError::NoSpace { .. })), "{refused:?}");
        assert_eq!(case.exact("k").await.as_deref(), Some("k"));
        // Deleting frees space.
        for upload in case.index.list_uploads(crate::UploadId(0), 100).await.unwrap() {
            case.index.abandon(upload.id).await.unwrap();
        }
        case.index.delete_entry(entry.id, &crate::conformance::DELETED).await.unwrap();
        case.entry("k").await;
    });
}
