//! An index of the last release: fault 4.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Barrier},
    thread,
};

use super::super::{SqliteIndex, schema};
use crate::{
    EntryId, Index, KeyRule, UploadId,
    conformance::{Case, block_on},
    last_release::{
        has_its_secret, has_no_facts, is_all_of_the_default_tenant, is_changed_back, is_changed_to_bytes,
        is_of_any_case, is_of_bytes, its_uploads_can_be_finished, the_newest_stays_in_each_tenant,
    },
};

/// Number of migrations in that release.
const MIGRATIONS: usize = 2;

fn old_index() -> (tempfile::TempDir, PathBuf) {
    index_of(MIGRATIONS)
}

/// An index with the schema that so many migrations make, and the rows of that release.
fn index_of(migrations: usize) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.db");
    let mut conn = rusqlite::Connection::open(&path).unwrap();
    schema::migrate(&mut conn, &schema::MIGRATIONS[..migrations]).unwrap();
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

/// From each schema that there was.
#[test]
fn an_index_without_facts_serves_all_that_it_has() {
    for migrations in MIGRATIONS..schema::MIGRATIONS.len() {
        let (_directory, path) = index_of(migrations);
        block_on(has_no_facts(&open(&path, KeyRule::AnyCase)));
    }
}

#[test]
fn an_index_of_the_last_release_is_all_of_the_default_tenant() {
    let (_directory, path) = old_index();
    block_on(is_all_of_the_default_tenant(&open(&path, KeyRule::AnyCase)));
}

#[test]
fn an_index_of_the_last_release_may_be_opened_concurrently() {
    for _ in 0..5 {
        let (_directory, path) = old_index();
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    block_on(is_of_any_case(&open(&path, KeyRule::AnyCase)));
                });
            }
        });
    }
}

/// The table of uploads is made again, and its numbers go on.
#[test]
fn numbers_of_uploads_that_are_gone_are_not_used_again() {
    let (_directory, path) = old_index();
    rusqlite::Connection::open(&path).unwrap().execute_batch("DELETE FROM uploads").unwrap();
    let case = Case::new(Arc::new(open(&path, KeyRule::AnyCase)));
    assert_eq!(block_on(case.reserve(&case.key("k"), 1)).id, UploadId(12));
}

#[test]
fn of_each_tenant_the_newest_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.db");
    the_newest_stays_in_each_tenant(|rule| Arc::new(open(&path, rule)));
}

/// A migration that is interrupted leaves the database as it was.
#[test]
fn an_interrupted_migration_changes_nothing() {
    let (_directory, path) = old_index();
    let mut conn = rusqlite::Connection::open(&path).unwrap();
    let (name, last) = *schema::MIGRATIONS.last().unwrap();
    let broken = format!("{last}; SELECT no_such_function()");
    let mut migrations = schema::MIGRATIONS.to_vec();
    *migrations.last_mut().unwrap() = (name, &broken);
    assert!(schema::migrate(&mut conn, &migrations).is_err());
    drop(conn);
    block_on(is_all_of_the_default_tenant(&open(&path, KeyRule::AnyCase)));
}
