//! Counted bytes: of all tenants together, after a recount, and after a kill.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

use proptest::test_runner::Config;

use super::{
    super::{SqliteIndex, ledger},
    open,
    plan::plan,
};
use crate::{
    Area, Caps, Cause, Departure, Durability, EntryId, Index, KeyRule, Remains, Reservation, Room, Slot,
    Trust, UploadId,
    conformance::{attachment, block_on},
    model::sums as sums_model,
    server_sums,
};

#[test]
fn statements_use_their_indexes() {
    let opened = open();
    let conn = opened.beside();
    for statement in [
        ledger::USAGE,
        ledger::TENANT,
        ledger::LEFT,
        ledger::LEFT_DEPARTED,
        ledger::RESERVED,
        ledger::LEAVING,
        ledger::DEPARTED,
        ledger::DELETE_UPLOAD,
        ledger::DELETE_IDLE_UPLOAD,
        ledger::FORGET_EMPTY,
    ] {
        let plan = plan(&conn, statement);
        assert!(statement.contains("tenant = ?1"), "{statement}");
        assert!(plan.contains("SEARCH"), "{statement}\n{plan}");
        assert!(!plan.contains("SCAN"), "{statement}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{statement}\n{plan}");
    }
    // It sorts, but reads what it is about only.
    let parts = plan(&conn, ledger::PARTS);
    assert!(parts.contains("SEARCH area_usage USING PRIMARY KEY"), "{parts}");
}

#[test]
fn the_server_counts_all_tenants() {
    let opened = open();
    block_on(server_sums::the_server_counts_all_tenants(&*opened.index));
}

#[test]
fn the_cap_of_the_server_holds_for_all_tenants() {
    let opened = open();
    block_on(server_sums::the_cap_of_the_server_holds_for_all_tenants(&*opened.index));
}

#[test]
fn wrong_sums_are_found_and_made_right() {
    let opened = open();
    let conn = opened.beside();
    let spoil = |text: &str| conn.execute_batch(text).unwrap();
    block_on(server_sums::wrong_sums_are_found_and_made_right(&*opened.index, spoil));
}

/// A rewrite for another rule deletes rows.
#[test]
fn a_rewrite_counts_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.db");
    server_sums::a_rewrite_counts_again(|rule| Arc::new(SqliteIndex::open(&path, rule).unwrap()));
}

proptest::proptest! {
    #![proptest_config(Config { cases: 96, failure_persistence: None, ..Config::default() })]

    #[test]
    fn sums_are_those_of_the_model(ops in sums_model::ops()) {
        block_on(sums_model::compare(&*open().index, ops));
    }
}

const DATABASE: &str = "LARDER_TEST_LEDGER_DATABASE";
const ROUND: &str = "LARDER_TEST_LEDGER_ROUND";
const WRITERS: usize = 8;

/// Not a test: the process that [`sums_are_exact_after_a_kill`] starts and kills.
#[test]
fn counts_until_killed() {
    let (Some(database), Some(round)) = (larder_testing::variable(DATABASE), larder_testing::variable(ROUND))
    else {
        return;
    };
    let index = Arc::new(SqliteIndex::open(Path::new(&database), KeyRule::AnyCase).unwrap());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (index, round) = (&index, &round);
            scope.spawn(move || block_on(work(&**index, round, writer)));
        }
    });
}

/// Each way on which an upload may go. Ends by itself if it is not killed.
async fn work(index: &dyn Index, round: &str, writer: usize) {
    let caps = Caps { server: Some(CAP), ..Caps::default() };
    for number in 0..20_000_u64 {
        let [repository, version] = ["r", "v"].map(str::to_owned);
        let slot =
            Slot { repository, version, scope: format!("s{writer}"), key: format!("{round}-{number}") };
        let reserved = index.reserve(&slot, "o", &crate::NO_FACTS, Trust::Full, 1, 0).await.unwrap();
        let Reservation::Reserved(upload) = reserved else { panic!("the slot was taken") };
        let reserved_bytes = 10 + number % 7;
        let room = index.reserve_room(&upload.name, reserved_bytes, &caps).await.unwrap();
        // Whoever stores more than is reserved exceeds the cap: the sum tells what is there, and what is replaced is there,
        // too, until it has left.
        let replaced = (number % 3) * (number % 4);
        let content = attachment((5 + number % 9).min(reserved_bytes - replaced));
        for _ in 0..number % 3 {
            index.attach(upload.id, &attachment(number % 4), None, 1).await.unwrap();
        }
        if room != Room::Reserved || number % 5 == 0 {
            index.abandon(upload.id).await.unwrap();
        } else {
            index.attach(upload.id, &content, None, 1).await.unwrap();
            let entry = index.finalize(upload.id, &content, &Durability::Durable, 2).await.unwrap().unwrap();
            if number % 2 == 0 {
                let departure = Departure { cause: Cause::Size, at_ms: 3 };
                index.delete_entry(entry.id, &departure).await.unwrap();
                index.left_objects(&[entry.object]).await.unwrap();
            }
        }
        if number % 4 != 0 {
            index.left_uploads(&[upload.name]).await.unwrap();
        }
        // Fails if the parent has closed the pipe, which it does before the kill.
        let _ = std::io::stdout().lock().write_all(b"SAID done\n");
    }
}

/// The entries that stay reach it.
const CAP: u64 = 5_000;

fn start(database: &Path, round: usize) -> Child {
    let test = concat!(module_path!(), "::counts_until_killed");
    let test = test.split_once("::").map_or(test, |(_, name)| name);
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(DATABASE, database)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// At every moment in which a process may be killed the sums are those of the rows; and a cleaner ends
/// with what is there.
#[test]
fn sums_are_exact_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("index.db");
    for (round, lines) in [1, 77, 500, 2_000].into_iter().enumerate() {
        let mut child = start(&database, round);
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..lines {
            let line = said.find_map(|line| line.unwrap().contains("SAID").then_some(()));
            assert!(line.is_some(), "the child ended by itself");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let index = SqliteIndex::open(&database, KeyRule::AnyCase).unwrap();
        block_on(check(&index));
    }
}

async fn check(index: &SqliteIndex) {
    assert_eq!(index.recount().await.unwrap(), 0);
    assert!(index.usage_of(&Area::Server).await.unwrap() <= CAP);
    for upload in index.list_uploads(UploadId(0), usize::MAX).await.unwrap() {
        index.abandon(upload.id).await.unwrap();
    }
    for leaving in index.list_leaving(None, usize::MAX).await.unwrap() {
        match leaving.what {
            Remains::Upload { name, .. } => index.left_uploads(&[name]).await.unwrap(),
            Remains::Object(object) => index.left_objects(&[object]).await.unwrap(),
        }
    }
    assert_eq!(index.list_leaving(None, 10).await.unwrap(), []);
    let mut scopes = BTreeMap::new();
    for entry in index.list_entries(EntryId(0), usize::MAX).await.unwrap() {
        *scopes.entry(entry.slot.scope).or_insert(0) += entry.size_bytes;
    }
    let listed = index.list_usage(&Area::Repository("r".to_owned()), usize::MAX).await.unwrap();
    let listed: BTreeMap<_, _> = listed
        .into_iter()
        .map(|(area, bytes)| match area {
            Area::Scope { scope, .. } => (scope, bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    scopes.retain(|_, bytes| *bytes > 0);
    assert_eq!(listed, scopes);
}
