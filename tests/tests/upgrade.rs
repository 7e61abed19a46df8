//! Index and storage of a release before this one, which that release has made, under this server.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{fs, path::Path};

use larder::index::{Area, EntryDetails, EntryId, Index, KeyRule, Trust, Within, sqlite::SqliteIndex};
use larder_tests::{BRANCH, Job, TestServer, token};
use tempfile::TempDir;

/// What that release was given: the key, how often its content has it, the object, and the scope.
const SAVED: [(&str, &str, usize, &str, &str); 4] = [
    ("1", "whole", 50, "p-2d68304775b77aaadbf2f147e8dbbda0", BRANCH),
    // In two blocks.
    ("1", "Blocks", 60, "p-91a44f27a376f4b141211db694e90df0", BRANCH),
    ("1", "of-a-pull-request", 10, "p-f0789ff2f43d2ddd4efd1100adb257f8", "refs/pull/7/merge"),
    ("2", "whole", 7, "p-f5bd4d7c131d07c4b935c48dfc6c011e", BRANCH),
];

fn content(key: &str, times: usize) -> String {
    format!("{key}\n").repeat(times)
}

/// Lays the database and the objects where that release has them.
fn unpack(data: &Path, index: &str) {
    let database = rusqlite::Connection::open(data.join("larder.db")).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.execute_batch(index).unwrap();
    // Nothing is too old, whenever this runs.
    for column in ["created_ms", "used_ms"] {
        let now = format!("UPDATE entries SET {column} = unixepoch() * 1000 - id");
        database.execute_batch(&now).unwrap();
    }
    for (_, key, times, object, _) in SAVED {
        let folder = data.join("storage/objects").join(&object[2..4]);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(object), content(key, times)).unwrap();
    }
}

#[tokio::test]
async fn all_entries_of_a_release_before_are_served_and_have_no_facts() {
    all_are_served_and_have_no_facts(include_str!("upgrade/index.sql")).await;
}

/// The last one that stored no facts.
#[tokio::test]
async fn all_entries_of_a_release_with_tenants_are_served_and_have_no_facts() {
    all_are_served_and_have_no_facts(include_str!("upgrade/index-with-tenants.sql")).await;
}

async fn all_are_served_and_have_no_facts(index: &str) {
    let data = TempDir::new().unwrap();
    unpack(data.path(), index);
    let section = "[server]\nshutdown_ms = 1000\n[capacity]\nmax_bytes = 1048576\n";
    fs::write(data.path().join("larder.toml"), section).unwrap();
    let server = TestServer::start_on(data, &[]).await;
    for (repository, key, times, _, scope) in SAVED {
        let job = Job::with_token(&server, &token(repository, &[(scope, 3)]));
        assert_eq!(job.restore(key).await, content(key, times), "{repository} {key}");
    }
    // Keys match in any case now.
    assert_eq!(Job::new(&server).restore("blocks").await, content("Blocks", 60));
    Job::new(&server).save("new", b"new").await;
    assert_eq!(Job::new(&server).restore("new").await, "new");
    let data = server.stop();
    let index = SqliteIndex::open(&data.path().join("larder.db"), KeyRule::AnyCase).unwrap();
    let old: Vec<EntryId> = (1..=4).map(EntryId).collect();
    let absent =
        |id| EntryDetails { id, facts: None, uses: None, trust: None, quarantined_ms: None, digest: None };
    let expected: Vec<_> = old.iter().copied().map(absent).collect();
    assert_eq!(index.entry_details(&old).await.unwrap(), expected);
    let low = index.least_recent(&Within::Tenant, Some(Trust::Low), None, 10).await.unwrap();
    assert_eq!(low.iter().map(|entry| &*entry.slot.key).collect::<Vec<_>>(), ["of-a-pull-request"]);
    let sizes = SAVED.iter().map(|(_, key, times, ..)| content(key, *times).len() as u64);
    assert_eq!(index.usage_of(&Area::Server).await.unwrap(), sizes.sum::<u64>() + 3);
    assert_eq!(index.recount().await.unwrap(), 0);
}
