//! Opening, closing, and several users of one database file.

use std::{error::Error, os::unix::fs::PermissionsExt as _, sync::Arc, thread};

use larder_common::TenantName;

use super::{
    super::{
        SqliteIndex,
        find::{self, Search, SearchOutcome},
        tenant::TenantConnection,
    },
    open,
};
use crate::{
    EntryId, Index, IndexError, KeyRule, Reservation,
    conformance::{Case, attachment, block_on, prefix},
};

/// Returns the messages of an error and its causes, the outermost first.
pub(super) fn messages(error: &IndexError) -> String {
    let mut messages = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        messages = format!("{messages}: {error}");
        source = error.source();
    }
    messages
}

#[test]
fn data_survives_reopening() {
    let opened = open();
    let (entry, upload) = block_on(async {
        let upload = opened.reserve(&opened.key("upload"), 1).await;
        (opened.entry("k").await, upload)
    });
    let path = opened.path();
    let super::TestIndex { case, directory } = opened;
    drop(case);
    let left: Vec<_> = directory.path().read_dir().unwrap().collect();
    assert_eq!(left.len(), 1, "the log was not folded into the database: {left:?}");
    for _ in 0..2 {
        let index = SqliteIndex::open(&path, KeyRule::AnyCase).unwrap();
        block_on(async {
            assert_eq!(index.get_entry(entry.id).await.unwrap().as_ref(), Some(&entry));
            assert_eq!(index.get_upload(&upload.name).await.unwrap().as_ref(), Some(&upload));
        });
    }
}

#[test]
fn dropping_the_index_completes_the_queue() {
    let opened = open();
    let slots: Vec<_> = (0..50).map(|number| opened.key(&number.to_string())).collect();
    block_on(async {
        // Each is polled once, which queues it, and then dropped.
        for slot in &slots {
            let mut reserving = opened.index.reserve(slot, "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0);
            std::future::poll_fn(|context| {
                let _ = reserving.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        }
    });
    let path = opened.path();
    let super::TestIndex { case, directory: _directory } = opened;
    drop(case);
    let index = SqliteIndex::open(&path, KeyRule::AnyCase).unwrap();
    for slot in &slots {
        assert!(block_on(index.find_upload(slot)).unwrap().is_some(), "{slot:?}");
    }
}

#[test]
fn an_empty_file_becomes_a_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.db");
    std::fs::write(&path, b"").unwrap();
    let case = Case::new(Arc::new(SqliteIndex::open(&path, KeyRule::AnyCase).unwrap()));
    block_on(case.entry("k"));
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_unchanged() {
    let opened = open();
    let newer = "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')";
    opened.beside().execute_batch(newer).unwrap();
    let before = std::fs::read(opened.path()).unwrap();
    let error = SqliteIndex::open(&opened.path(), KeyRule::AnyCase).err().expect("a refusal");
    let messages = messages(&error);
    assert!(messages.contains("newer version of larder"), "{messages}");
    assert!(messages.contains("99"), "{messages}");
    assert_eq!(std::fs::read(opened.path()).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.db");
    let content = b"this is not a database, but it is long enough to be looked at".repeat(100);
    std::fs::write(&path, &content).unwrap();
    assert!(SqliteIndex::open(&path, KeyRule::AnyCase).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert!(SqliteIndex::open(directory.path(), KeyRule::AnyCase).is_err());
    assert!(SqliteIndex::open(&directory.path().join("missing/index.db"), KeyRule::AnyCase).is_err());
}

#[test]
fn others_cannot_read_the_secrets() {
    let opened = open();
    block_on(opened.index.secret("key", b"secret")).unwrap();
    for file in opened.directory.path().read_dir().unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", file.path());
    }
}

#[test]
fn a_new_database_may_be_opened_concurrently() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.db");
        let start = std::sync::Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    let index = SqliteIndex::open(&path, KeyRule::AnyCase);
                    let index = index.unwrap_or_else(|error| panic!("{}", messages(&error)));
                    block_on(Case::new(Arc::new(index)).entry("k"));
                });
            }
        });
    }
}

#[test]
fn two_indexes_on_one_file_never_both_reserve_a_slot() {
    let opened = open();
    let other: Arc<dyn Index> = Arc::new(SqliteIndex::open(&opened.path(), KeyRule::AnyCase).unwrap());
    for round in 0..50 {
        let slot = opened.key(&round.to_string());
        let reserved: Vec<bool> = thread::scope(|scope| {
            let reserve = |index: Arc<dyn Index>| {
                let slot = &slot;
                scope.spawn(move || {
                    let reserved =
                        block_on(index.reserve(slot, "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0))
                            .unwrap();
                    matches!(reserved, Reservation::Reserved(_))
                })
            };
            let threads = [reserve(Arc::clone(&opened.index)), reserve(Arc::clone(&other))];
            threads.map(|thread| thread.join().unwrap()).into()
        });
        assert_eq!(reserved.into_iter().filter(|reserved| *reserved).count(), 1);
    }
}

#[test]
fn a_read_waits_for_no_writer() {
    let opened = open();
    let entry = block_on(opened.entry("k"));
    let writer = opened.beside();
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM entries; DELETE FROM uploads;").unwrap();
    thread::scope(|scope| {
        let reserving = scope.spawn(|| block_on(opened.reserve(&opened.key("new"), 1)));
        for _ in 0..100 {
            assert_eq!(block_on(opened.prefix("k")).as_deref(), Some("k"));
            assert!(!reserving.is_finished());
        }
        writer.execute_batch("COMMIT").unwrap();
        assert_eq!(block_on(opened.exact("k")), None);
        let upload = reserving.join().unwrap();
        let there = block_on(opened.index.get_upload(&upload.name)).unwrap();
        assert_eq!(there, Some(upload));
    });
    assert_eq!(block_on(opened.index.get_entry(entry.id)).unwrap(), None);
}

/// Makes entries so that a search for the older half is long from both ends: many are newer, and
/// many have the prefix.
fn fill(opened: &super::TestIndex, half: u64) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 * 2)
        INSERT INTO entries (repository, scope, version, key, object, size_bytes, created_ms, used_ms)
        SELECT ?1, CAST('main' AS BLOB), CAST('v' AS BLOB),
            CAST(iif(i <= ?2, 'old-', 'new-') || printf('%07d', i) AS BLOB), 'o', 1, 1, 1 FROM n";
    opened.beside().execute(sql, rusqlite::params![opened.repository.as_bytes(), half as i64]).unwrap();
}

#[test]
fn a_long_search_in_the_background_has_the_same_result() {
    let opened = open();
    fill(&opened, 4_000);
    let mut aside = SqliteIndex::open(&opened.path(), KeyRule::AnyCase).unwrap();
    aside.max_inline_steps = 1;
    let aside = Case { index: Arc::new(aside), repository: opened.repository.clone() };
    for case in [&*opened, &aside] {
        let search = |key: &str, skip: &[EntryId]| block_on(case.find(&[prefix(key)], skip));
        assert_eq!(search("old-", &[]).as_deref(), Some("old-0004000"));
        assert_eq!(search("new-", &[]).as_deref(), Some("new-0008000"));
        assert_eq!(search("OLD-9", &[]), None);
        let skipped: Vec<EntryId> = (1..=4_000).map(EntryId).collect();
        assert_eq!(search("old-", &skipped[1..]).as_deref(), Some("old-0000001"));
        assert_eq!(search("old-", &skipped), None);
    }
}

/// Fault 12: such a search took as many steps as there are newer entries, 20,000 here.
#[test]
fn a_prefix_behind_many_newer_entries_is_found_in_few_steps() {
    let opened = open();
    fill(&opened, 20_000);
    let conn = opened.beside();
    let probes = [prefix("old-")];
    let search = Search {
        rule: KeyRule::AnyCase,
        repository: &opened.repository,
        version: "v",
        probes: &probes,
        skip: &[],
    };
    let default = TenantName::default();
    let outcome = find::find(TenantConnection::new(&conn, &default), &search, 1_700).unwrap();
    assert!(matches!(outcome, SearchOutcome::Done(Some(entry)) if entry.slot.key == "old-0020000"));
}

#[test]
fn rows_are_checked_when_read() {
    let opened = open();
    let entry = block_on(opened.entry("k"));
    let spoil = "UPDATE entries SET object = '../etc/passwd'";
    opened.beside().execute_batch(spoil).unwrap();
    assert!(block_on(opened.index.get_entry(entry.id)).is_err());
    let upload = block_on(opened.reserve(&opened.key("u"), 1));
    block_on(opened.index.attach(upload.id, &attachment(1), None, 1)).unwrap();
    opened.beside().execute_batch("UPDATE uploads SET size_bytes = -1").unwrap();
    assert!(block_on(opened.index.get_upload(&upload.name)).is_err());
}
