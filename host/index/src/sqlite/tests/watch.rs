//! The file is deleted, replaced or cut while in use: fault 15.

use std::{fs, path::PathBuf};

use super::{TestIndex, open, process::messages};
use crate::{
    IndexError, KeyRule, Reservation,
    conformance::{Case, block_on},
    sqlite::SqliteIndex,
};

/// Reserves a slot.
fn save(opened: &TestIndex, key: &str) -> Result<Reservation, IndexError> {
    block_on(opened.index.reserve(&opened.key(key), "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0))
}

fn refused(opened: &TestIndex, what: &str) {
    for key in ["1", "2"] {
        let refused = save(opened, key);
        let error = refused.expect_err("a refusal");
        let text = messages(&error);
        assert!(matches!(error, IndexError::Unavailable { .. }), "{text}");
        assert!(text.contains(what) && text.contains("index.db") && text.contains("Larder"), "{text}");
    }
}

fn beside(opened: &TestIndex, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", opened.path().display()))
}

/// Fault 15.
#[test]
fn nothing_is_acknowledged_once_a_file_is_deleted_and_saves_go_on_when_it_is_back() {
    for suffix in ["", "-wal", "-shm"] {
        let opened = open();
        block_on(opened.entry("k"));
        assert_eq!(block_on(opened.exact("k")).as_deref(), Some("k"));
        let (file, away) = (beside(&opened, suffix), beside(&opened, ".away"));
        fs::rename(&file, &away).unwrap();
        refused(&opened, "was deleted or moved");
        assert_eq!(block_on(opened.exact("k")).as_deref(), Some("k"), "what can be read is read");
        fs::rename(&away, &file).unwrap();
        // The thread that checks every two seconds finds it.
        let mut tries = 0;
        while save(&opened, &format!("again-{tries}")).is_err() {
            tries += 1;
            assert!(tries < 600);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// Fault 15.
#[test]
fn nothing_is_acknowledged_or_read_once_the_file_is_another_one() {
    let opened = open();
    block_on(opened.entry("k"));
    let other = beside(&opened, ".other");
    drop(SqliteIndex::open(&other, KeyRule::AnyCase).unwrap());
    fs::rename(&other, opened.path()).unwrap();
    refused(&opened, "was replaced");
    assert!(block_on(opened.index.find_upload(&opened.key("k"))).is_err());
}

/// Fault 15.
#[test]
fn nothing_is_acknowledged_or_read_once_the_file_was_cut() {
    for bytes in [0, 4096] {
        let opened = open();
        block_on(opened.entry("k"));
        opened.beside().execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        save(&opened, "long enough").unwrap();
        let file = fs::OpenOptions::new().write(true).open(opened.path()).unwrap();
        file.set_len(bytes).unwrap();
        refused(&opened, "was cut");
        assert!(block_on(opened.index.find_upload(&opened.key("k"))).is_err());
    }
}

/// Vacuuming with SQLite's own program is not a loss.
#[test]
fn a_database_that_was_vacuumed_is_the_same_one() {
    let opened = open();
    block_on(async {
        for number in 0..200 {
            opened.entry(&format!("{}{number}", "k".repeat(200))).await;
        }
        for entry in opened.index.list_entries(crate::EntryId(0), 1_000).await.unwrap() {
            opened.index.delete_entry(entry.id, &crate::conformance::DELETED).await.unwrap();
        }
    });
    let before = fs::metadata(opened.path()).unwrap().len();
    let operator = opened.beside();
    let mut tries = 0;
    while fs::metadata(opened.path()).unwrap().len() >= before {
        operator.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        // The writer releases the log when it commits.
        save(&opened, &format!("between-{tries}")).unwrap();
        tries += 1;
        assert!(tries < 100, "it did not get shorter");
    }
    save(&opened, "after").unwrap();
}

/// Fault 15.
#[test]
fn the_error_of_a_damaged_file_names_it_and_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.db");
    fs::write(&path, b"this is not a database, but it is long enough to be looked at".repeat(100)).unwrap();
    let text = messages(&SqliteIndex::open(&path, KeyRule::AnyCase).err().expect("a refusal"));
    assert!(text.contains(path.to_str().unwrap()) && text.contains("move the file away"), "{text}");
    let missing = directory.path().join("missing/index.db");
    let text = messages(&SqliteIndex::open(&missing, KeyRule::AnyCase).err().expect("a refusal"));
    assert!(text.contains(missing.to_str().unwrap()), "{text}");
    block_on(
        Case::new(std::sync::Arc::new(
            SqliteIndex::open(&directory.path().join("new.db"), KeyRule::AnyCase).unwrap(),
        ))
        .entry("k"),
    );
}
