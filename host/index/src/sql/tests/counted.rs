//! Counted bytes: of all tenants together, after a recount, and with several replicas.

use std::{sync::Arc, thread};

use larder_common::TenantName;
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};

use super::Database;
use crate::{
    Area, Caps, Cause, Departure, Durability, Index, KeyRule, Remains, Reservation, Room, Slot, Trust,
    conformance::{attachment, block_on},
    model::sums as sums_model,
    server_sums,
};

pub(in crate::sql) fn the_server_counts_all_tenants(database: &Database) {
    block_on(server_sums::the_server_counts_all_tenants(&*database.open()));
}

pub(in crate::sql) fn the_cap_of_the_server_holds_for_all_tenants(database: &Database) {
    block_on(server_sums::the_cap_of_the_server_holds_for_all_tenants(&*database.open()));
}

pub(in crate::sql) fn wrong_sums_are_found_and_made_right(database: &Database) {
    let index = database.open();
    let spoil = |text: &str| {
        let text = text.to_owned();
        // The test runs in a runtime, and so does the statement.
        thread::scope(|scope| scope.spawn(|| database.execute(&text)).join().unwrap());
    };
    block_on(server_sums::wrong_sums_are_found_and_made_right(&*index, spoil));
}

pub(in crate::sql) fn a_rewrite_counts_again(database: &Database) {
    server_sums::a_rewrite_counts_again(|rule: KeyRule| database.rewrite_for(rule));
}

/// Few cases, because each makes a hundred calls and more.
pub(in crate::sql) fn sums_are_those_of_the_model(database: &Database) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..4 {
        let ops = sums_model::ops().new_tree(&mut runner).unwrap().current();
        let Some(another) = (database.another)() else { return };
        block_on(sums_model::compare(&*another.open(), ops));
    }
}

const CAP: u64 = 300;

/// An upload on one of the ways on which it may go. Returns whether there was room for it.
async fn save(index: &dyn Index, number: u64) -> bool {
    let slot = Slot {
        repository: format!("r{}", number % 3),
        scope: format!("s{}", number % 2),
        version: "v".to_owned(),
        key: number.to_string(),
    };
    let reserved = index.reserve(&slot, "o", &crate::NO_FACTS, Trust::Full, 1, 0).await.unwrap();
    let Reservation::Reserved(upload) = reserved else { panic!("the slot was taken") };
    let caps = Caps { server: Some(CAP), ..Caps::default() };
    let room = index.reserve_room(&upload.name, 20, &caps).await.unwrap();
    let content = attachment(10 + number % 5);
    if room == Room::Reserved {
        index.attach(upload.id, &attachment(1), None, 1).await.unwrap();
        index.attach(upload.id, &content, None, 1).await.unwrap();
        let entry = index.finalize(upload.id, &content, &Durability::Durable, 1).await.unwrap().unwrap();
        if !number.is_multiple_of(4) {
            let departure = Departure { cause: Cause::Size, at_ms: 1 };
            assert!(index.delete_entry(entry.id, &departure).await.unwrap());
            index.left_objects(&[entry.object]).await.unwrap();
        }
    } else {
        assert!(index.abandon(upload.id).await.unwrap());
    }
    if !number.is_multiple_of(3) {
        index.left_uploads(&[upload.name]).await.unwrap();
    }
    room == Room::Reserved
}

/// Two replicas, and the calls of many savers, cleaners and a recount at once: the cap holds at every
/// moment, and in the end the sums are those of the rows.
pub(in crate::sql) fn the_cap_holds_for_all_replicas(database: &Database) {
    let replicas = [database.open(), database.open()];
    let other = TenantName::parse("other").unwrap();
    let others = [replicas[0].tenant(&other).unwrap(), replicas[1].tenant(&other).unwrap()];
    let stored = || block_on(replicas[0].usage_of(&Area::Server)).unwrap();
    let fitted: usize = thread::scope(|scope| {
        let savers: Vec<_> = (0..8_u64)
            .map(|saver| {
                let half = usize::from(saver % 2 == 0);
                let index = Arc::clone(if saver < 4 { &replicas[half] } else { &others[half] });
                scope.spawn(move || {
                    let saved = (0..25).map(|number| block_on(save(&*index, saver * 1_000 + number)));
                    saved.filter(|fitted| *fitted).count()
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            for round in 0..40 {
                assert!(stored() <= CAP);
                if round % 10 == 5 {
                    assert_eq!(block_on(replicas[1].recount()).unwrap(), 0);
                }
            }
        });
        let fitted = savers.into_iter().map(|saver| saver.join().unwrap()).sum();
        watcher.join().unwrap();
        fitted
    });
    assert!(fitted > 0);
    assert!(stored() <= CAP);
    assert_eq!(block_on(replicas[0].recount()).unwrap(), 0);
    for index in [&replicas[0], &others[0]] {
        clean(&**index);
    }
    let entries = [&replicas[1], &others[1]].map(|index| {
        let entries = block_on(index.list_entries(crate::EntryId(0), 10_000)).unwrap();
        entries.iter().map(|entry| entry.size_bytes).sum::<u64>()
    });
    assert_eq!(stored(), entries.iter().sum::<u64>());
}

/// Reports that all that is leaving is gone.
fn clean(index: &dyn Index) {
    for leaving in block_on(index.list_leaving(None, 10_000)).unwrap() {
        match leaving.what {
            Remains::Upload { name, .. } => block_on(index.left_uploads(&[name])).unwrap(),
            Remains::Object(object) => block_on(index.left_objects(&[object])).unwrap(),
        }
    }
    assert_eq!(block_on(index.list_leaving(None, 10)).unwrap(), []);
}
