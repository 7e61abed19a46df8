//! A process that is killed while it writes.
//!
//! The test runs its own binary again as the process to kill. That process prints a line for each
//! completed step. Every printed step must be in the database, and no step may be half done.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

use super::super::SqliteIndex;
use crate::{
    Durability, EntryId, Index, KeyRule, Reservation, Slot, UploadId,
    conformance::{attachment, block_on},
};

const DATABASE: &str = "LARDER_TEST_CRASH_DATABASE";
const ROUND: &str = "LARDER_TEST_CRASH_ROUND";
const WRITERS: usize = 8;

/// Not a test: the process that [`nothing_is_half_done_after_a_kill`] starts and kills.
#[test]
fn writes_until_killed() {
    let (Some(database), Some(round)) = (larder_testing::variable(DATABASE), larder_testing::variable(ROUND))
    else {
        return;
    };
    let index = Arc::new(SqliteIndex::open(Path::new(&database), KeyRule::AnyCase).unwrap());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (index, round) = (&index, &round);
            scope.spawn(move || block_on(write(&**index, round, writer)));
        }
    });
}

/// Ends by itself if it is not killed.
async fn write(index: &dyn Index, round: &str, writer: usize) {
    for number in 0..20_000 {
        let slot = slot(format!("{round}-{writer}-{number}"));
        let Reservation::Reserved(upload) =
            index.reserve(&slot, "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0).await.unwrap()
        else {
            panic!("the slot was taken");
        };
        report("reserved", &slot);
        let content = attachment(1);
        index.attach(upload.id, &content, None, 1).await.unwrap();
        let made = index.finalize(upload.id, &content, &Durability::Durable, 2).await;
        assert!(made.unwrap().is_some());
        report("finalized", &slot);
    }
}

fn slot(key: String) -> Slot {
    let [repository, scope, version] = ["r", "s", "v"].map(str::to_owned);
    Slot { repository, scope, version, key }
}

fn report(what: &str, slot: &Slot) {
    let line = format!("SAID {what} {}\n", slot.key);
    // Fails if the parent has closed the pipe, which it does before the kill.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

fn start(database: &Path, round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", concat!(module_path!(), "::writes_until_killed")].map(without_crate))
        .args(["--nocapture", "--test-threads", "1"])
        .env(DATABASE, database)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Removes the name of the crate, which test names do not have.
fn without_crate(argument: &'static str) -> &'static str {
    argument.split_once("::").map_or(argument, |(_, name)| name)
}

/// Kills the child after `lines` lines. Returns the steps that it printed for each key.
fn run_and_kill(database: &Path, round: usize, lines: usize) -> BTreeMap<String, BTreeSet<String>> {
    let mut child = start(database, round);
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut done: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    while let Some(Ok(line)) = said.next() {
        // A line that the kill cut short does not count.
        if let Some((what, key)) = line.split_once("SAID ").and_then(|(_, said)| said.split_once(' ')) {
            done.entry(key.to_owned()).or_default().insert(what.to_owned());
            count += 1;
        }
        if count == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(count >= lines, "the child ended by itself after {count} lines");
    done
}

#[test]
fn nothing_is_half_done_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("index.db");
    let mut done = BTreeMap::new();
    for (round, lines) in [1, 50, 333, 1_000, 2_500].into_iter().enumerate() {
        done.extend(run_and_kill(&database, round, lines));
        let index = SqliteIndex::open(&database, KeyRule::AnyCase).unwrap();
        block_on(check(&index, &done));
    }
}

async fn check(index: &SqliteIndex, done: &BTreeMap<String, BTreeSet<String>>) {
    let listed = index.list_entries(EntryId(0), usize::MAX).await.unwrap();
    let entries: BTreeSet<String> = listed.into_iter().map(|entry| entry.slot.key).collect();
    let listed = index.list_uploads(UploadId(0), usize::MAX).await.unwrap();
    let uploads: BTreeSet<String> = listed.into_iter().map(|upload| upload.slot.key).collect();
    let both: Vec<_> = entries.intersection(&uploads).collect();
    assert_eq!(both, Vec::<&String>::new(), "both an entry and an upload");
    for (key, done) in done {
        let (entry, upload) = (entries.contains(key), uploads.contains(key));
        assert!(entry || upload, "{key} was reserved, and is neither");
        assert!(entry || !done.contains("finalized"), "{key} was finalized, and is no entry");
    }
}
