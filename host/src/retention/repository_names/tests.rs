#![expect(clippy::unwrap_used, reason = "tests")]

use larder_index::{Index as _, KeyRule, sqlite::SqliteIndex};

use super::{MAX_KNOWN, REFRESH_MS, RepositoryNames};

fn index() -> (tempfile::TempDir, SqliteIndex) {
    let folder = tempfile::tempdir().unwrap();
    let index = SqliteIndex::open(&folder.path().join("index.db"), KeyRule::AnyCase).unwrap();
    (folder, index)
}

#[tokio::test]
async fn the_name_of_the_latest_token_is_persisted() {
    let (_folder, index) = index();
    let names = RepositoryNames::default();
    names.record("1", Some("octo/new"), 2_000);
    names.record("1", Some("octo/old"), 1_000);
    names.record("2", None, 1_000);
    assert_eq!(index.repository_name("1").await.unwrap(), None);
    names.flush(&index).await.unwrap();
    assert_eq!(index.repository_name("1").await.unwrap().as_deref(), Some("octo/new"));
    assert_eq!(index.repository_name("2").await.unwrap(), None);
    names.record("1", Some("octo/renamed"), 2_000);
    names.flush(&index).await.unwrap();
    assert_eq!(index.repository_name("1").await.unwrap().as_deref(), Some("octo/renamed"));
}

#[test]
fn a_name_that_does_not_change_is_written_once_a_day() {
    let names = RepositoryNames::default();
    names.record("1", Some("octo/x"), 1_000);
    let persisted = || names.known.lock().get_mut("1").map(|known| known.is_persisted = true);
    persisted();
    names.record("1", Some("octo/x"), 1_000 + REFRESH_MS - 1);
    assert!(names.buffered().is_empty());
    names.record("1", Some("octo/x"), 1_000 + REFRESH_MS);
    assert_eq!(names.buffered().len(), 1);
}

#[test]
fn their_number_is_bounded_and_persisted_ones_go_first() {
    let names = RepositoryNames::default();
    let record = |number: usize| names.record(&number.to_string(), Some("octo/x"), 1_000);
    (0..=MAX_KNOWN).for_each(record);
    assert_eq!(names.known.lock().len(), MAX_KNOWN);
    assert!(!names.known.lock().contains_key(&MAX_KNOWN.to_string()));
    names.record("0", Some("octo/renamed"), 2_000);
    assert_eq!(names.known.lock()["0"].name, "octo/renamed");
    names.known.lock().values_mut().for_each(|known| known.is_persisted = true);
    record(MAX_KNOWN);
    assert_eq!(names.known.lock().len(), 1);
}
