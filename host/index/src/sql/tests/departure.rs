//! Departure and quarantine, where a test needs the database itself, or two replicas.

use std::thread;

use super::Database;
use crate::{
    KeyRule, MatchKind, NO_FACTS, Reservation, Trust,
    conformance::{Case, DELETED, block_on, whole_tenant::the_earliest_departed_are_forgotten},
};

pub(in crate::sql) fn the_earliest_are_forgotten_but_not_what_may_be_stored(database: &Database) {
    let case = Case::new(database.open());
    block_on(the_earliest_departed_are_forgotten(&case, |ids| {
        // On another thread, because this one drives the case.
        thread::scope(|scope| {
            scope.spawn(|| {
                for id in ids {
                    database.execute(&format!("UPDATE departed SET object = NULL WHERE entry = {}", id.0));
                }
            });
        });
    }));
}

pub(in crate::sql) fn an_entry_in_quarantine_keeps_its_slot_when_it_is_rewritten(database: &Database) {
    let case = Case::new(database.open_for(KeyRule::Bytes));
    let entry = block_on(case.entry("Key"));
    assert_eq!(block_on(case.index.set_quarantined(&[entry.id], Some(1))).unwrap(), 1);
    drop(case.index);
    let case = Case { index: database.rewrite_for(KeyRule::AnyCase), repository: case.repository };
    let slot = case.key("KEY");
    let again = block_on(case.index.reserve(&slot, "o", &NO_FACTS, Trust::Full, 9_000, 9_000)).unwrap();
    assert_eq!(again, Reservation::Entry(entry.clone()));
    assert_eq!(block_on(case.prefix("ke")), None);
    assert_eq!(block_on(case.index.set_quarantined(&[entry.id], None)).unwrap(), 1);
    assert_eq!(block_on(case.exact("kEY")).as_deref(), Some("Key"));
    assert_eq!(block_on(case.prefix("ke")).as_deref(), Some("Key"));
}

pub(in crate::sql) fn concurrent_deletions_are_recorded_once(database: &Database) {
    let replicas = [database.open(), database.open()];
    let case = Case::new(database.open());
    for round in 0..30 {
        let key = round.to_string();
        let entry = block_on(case.entry(&key));
        let deleted: Vec<bool> = thread::scope(|scope| {
            let delete = |number: usize| {
                let index = &replicas[number % 2];
                scope.spawn(move || block_on(index.delete_entry(entry.id, &DELETED)).unwrap())
            };
            let callers: Vec<_> = (0..6).map(delete).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert_eq!(deleted.into_iter().filter(|deleted| *deleted).count(), 1);
        let departed = case.index.find_departed(&case.repository, &key, MatchKind::Exact, 9);
        assert_eq!(block_on(departed).unwrap().len(), 1);
    }
}
