//! Several replicas on one database, simulated in one process; and several threads of one replica.

use std::{sync::Arc, thread};

use super::{Database, run};
use crate::{
    Durability, Index, Reservation,
    conformance::{Case, DELETED, attachment, block_on},
};

/// Calls from several threads of two replicas at the same time.
fn from_both<T: Send>(replicas: &[Arc<dyn Index>; 2], call: impl AsyncFn(&dyn Index) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|number| {
                let (call, index) = (&call, &replicas[number % 2]);
                scope.spawn(move || block_on(call(&**index)))
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

pub(in crate::sql) fn never_both_reserve(database: &Database) {
    let replicas = [database.open(), database.open()];
    let case = Case::new(Arc::clone(&replicas[0]));
    for round in 0..40 {
        let slot = case.key(&round.to_string());
        // In every other round there is an idle upload to displace.
        if round % 2 == 0 {
            block_on(case.reserve(&slot, 1));
        }
        let reserved = from_both(&replicas, async |index| {
            let reserved =
                index.reserve(&slot, "o", &crate::NO_FACTS, crate::Trust::Full, 9, 5).await.unwrap();
            matches!(reserved, Reservation::Reserved(_))
        });
        assert_eq!(reserved.into_iter().filter(|reserved| *reserved).count(), 1);
    }
}

pub(in crate::sql) fn never_both_finalize(database: &Database) {
    let replicas = [database.open(), database.open()];
    let case = Case::new(Arc::clone(&replicas[0]));
    for round in 0..40 {
        let slot = case.key(&round.to_string());
        let (upload, content) = (block_on(case.reserve(&slot, 1)), attachment(1));
        block_on(case.index.attach(upload.id, &content, None, 1)).unwrap();
        // Some threads finalize, and others try to reserve the slot, which is never free.
        let outcomes = from_both(&replicas, async |index| {
            let made = index.finalize(upload.id, &content, &Durability::Durable, 2).await.unwrap();
            let reserved =
                index.reserve(&slot, "o", &crate::NO_FACTS, crate::Trust::Full, 9, 0).await.unwrap();
            assert!(!matches!(reserved, Reservation::Reserved(_)), "{reserved:?}");
            made.is_some()
        });
        assert_eq!(outcomes.into_iter().filter(|made| *made).count(), 1);
        assert_eq!(block_on(case.index.find_upload(&slot)).unwrap(), None);
    }
}

pub(in crate::sql) fn a_touch_here_and_a_deletion_there_do_not_both_win(database: &Database) {
    let replicas = [database.open(), database.open()];
    let case = Case::new(Arc::clone(&replicas[0]));
    let (mut kept, mut deleted) = (0, 0);
    for round in 0..60 {
        let entry = block_on(case.entry(&round.to_string()));
        let (here, there) = (&replicas[round % 2], &replicas[(round + 1) % 2]);
        let (touched, gone) = thread::scope(|scope| {
            let touch = scope.spawn(|| block_on(here.touch_entry(entry.id, entry.last_used_ms + 1)).unwrap());
            let delete = scope.spawn(|| {
                block_on(there.delete_entry_unused(entry.id, entry.last_used_ms, &DELETED)).unwrap()
            });
            (touch.join().unwrap(), delete.join().unwrap())
        });
        let left = block_on(case.index.get_entry(entry.id)).unwrap();
        assert_ne!(touched, gone, "handed out and deleted, or neither; now {left:?}");
        assert_eq!(touched, left.is_some());
        (kept, deleted) = (kept + usize::from(touched), deleted + usize::from(gone));
    }
    assert_eq!(kept + deleted, 60);
}

pub(in crate::sql) fn runtimes_come_and_go(database: &Database) {
    // Opened in a runtime that no longer exists when the index is used.
    let index = run(async { thread::scope(|scope| scope.spawn(|| database.open()).join().unwrap()) });
    let case = Case::new(index);
    block_on(case.entry("k"));
    let look = |times: usize| {
        let case = &case;
        move || {
            run(async {
                for _ in 0..times {
                    assert_eq!(case.exact("k").await.as_deref(), Some("k"));
                }
            });
        }
    };
    thread::scope(|scope| {
        // The first runtime is shut down while calls of the others are in progress.
        scope.spawn(look(20));
        scope.spawn(look(300));
        scope.spawn(look(300));
    });
}

pub(in crate::sql) fn an_abandoned_call_is_completed(database: &Database) {
    let case = Case::new(database.open());
    let slots: Vec<_> = (0..20).map(|number| case.key(&number.to_string())).collect();
    block_on(async {
        for slot in &slots {
            let mut reserving = case.index.reserve(slot, "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0);
            std::future::poll_fn(|context| {
                let _ = reserving.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        }
    });
    drop(case);
    let index = database.open();
    for slot in &slots {
        assert!(block_on(index.find_upload(slot)).unwrap().is_some(), "{slot:?}");
    }
}
