//! An index of the last release: fault 4.

use std::path::{Path, PathBuf};

use super::super::{SqliteIndex, schema};
use crate::{
    EntryId, Index, KeyRule,
    conformance::block_on,
    last_release::{
        has_its_secret, is_changed_back, is_changed_to_bytes, is_of_any_case, is_of_bytes,
        its_uploads_can_be_finished,
    },
};

/// Number of migrations in that release.
const MIGRATIONS: usize = 2;

fn old_index() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.db");
    let mut conn = rusqlite::Connection::open(&path).unwrap();
    schema::migrate(&mut conn, &schema::MIGRATIONS[..MIGRATIONS]).unwrap();
    conn.execute_batch(include_str!("last_release.sql")).unwrap();
    (directory, path)
}

fn open(path: &Path, rule: KeyRule) -> SqliteIndex {
    SqliteIndex::open(path, rule).unwrap()
}

/// Fault 4.
#[test]
fn an_index_of_the_last_release_is_brought_to_any_case() {
    let (_directory, path) = old_index();
    for _ in 0..2 {
        block_on(is_of_any_case(&open(&path, KeyRule::AnyCase)));
    }
    let index = open(&path, KeyRule::AnyCase);
    block_on(has_its_secret(&index));
    block_on(its_uploads_can_be_finished(&index));
}

/// Fault 4.
#[test]
fn an_index_of_the_last_release_is_unchanged_for_bytes() {
    let (_directory, path) = old_index();
    block_on(is_of_bytes(&open(&path, KeyRule::Bytes)));
    block_on(is_of_any_case(&open(&path, KeyRule::AnyCase)));
}

/// Fault 4.
#[test]
fn the_rule_can_be_changed_and_changed_back() {
    let (_directory, path) = old_index();
    drop(open(&path, KeyRule::AnyCase));
    block_on(is_changed_to_bytes(&open(&path, KeyRule::Bytes)));
    block_on(is_changed_back(&open(&path, KeyRule::AnyCase)));
}

/// Fault 4.
#[test]
fn an_interrupted_rewrite_is_completed_by_the_next_opening() {
    for then in [KeyRule::AnyCase, KeyRule::Bytes] {
        let (_directory, path) = old_index();
        drop(open(&path, KeyRule::AnyCase));
        let half_done = "UPDATE properties SET value = 'changing' WHERE name = 'keys';
            UPDATE entries SET folded = NULL WHERE id IN (1, 6)";
        rusqlite::Connection::open(&path).unwrap().execute_batch(half_done).unwrap();
        let index = open(&path, then);
        match then {
            KeyRule::AnyCase => block_on(is_of_any_case(&index)),
            KeyRule::Bytes => block_on(is_changed_to_bytes(&index)),
        }
    }
}

/// Fault 4.
#[test]
fn many_rows_are_rewritten_in_pages() {
    let (_directory, path) = old_index();
    drop(open(&path, KeyRule::Bytes));
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
        INSERT INTO entries (repository, scope, version, key, object, size_bytes, created_ms, used_ms)
        SELECT x'32', x'6d', x'76', CAST(iif(i % 2, 'KEY-', 'key-') || (i / 2) AS BLOB), 'o', 1, 1, 1 FROM n";
    rusqlite::Connection::open(&path).unwrap().execute_batch(fill).unwrap();
    let index = open(&path, KeyRule::AnyCase);
    let left = block_on(index.list_entries(EntryId(0), 10_000)).unwrap();
    let left: Vec<_> = left.into_iter().filter(|entry| entry.slot.repository == "2").collect();
    // Each even number shares its key with the next number: the later row is left.
    assert_eq!(left.len(), 1_251);
    assert!(left[1..].iter().all(|entry| entry.slot.key.starts_with("KEY-") || entry.slot.key == "key-1250"));
}
