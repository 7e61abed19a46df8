//! Promises about concurrent callers.

use std::{
    collections::HashSet,
    sync::{Arc, Barrier},
    thread,
};

use super::{Case, DELETED, attachment, block_on, unique};
use crate::{Durability, Index, Reservation};

const CALLERS: usize = 64;

/// Calls from several threads at the same time.
fn at_once<T: Send>(case: &Case, call: impl AsyncFn(Arc<dyn Index>, usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(CALLERS);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| {
                let (start, call, index) = (&start, &call, Arc::clone(&case.index));
                scope.spawn(move || {
                    start.wait();
                    block_on(call(index, number))
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

/// Asserts that exactly one call reserved the slot, and that the others returned its upload.
fn one_reserved(outcomes: &[Reservation]) {
    let reserved: Vec<_> =
        outcomes.iter().filter(|outcome| matches!(outcome, Reservation::Reserved(_))).collect();
    assert_eq!(reserved.len(), 1);
    let ids: HashSet<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Reservation::Reserved(upload) | Reservation::Upload(upload) => upload.id,
            Reservation::Entry(entry) => panic!("an entry out of nowhere: {entry:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 1);
}

pub(crate) async fn concurrent_reservations_have_one_winner(case: &Case) {
    for round in 0..5 {
        let slot = case.key(&round.to_string());
        one_reserved(&at_once(case, async |index, _| {
            index.reserve(&slot, "o", &crate::NO_FACTS, crate::Trust::Full, 2, 1).await.unwrap()
        }));
    }
}

pub(crate) async fn concurrent_displacements_have_one_winner(case: &Case) {
    for round in 0..5 {
        let idle = case.reserve(&case.key(&round.to_string()), 1).await;
        let slot = &idle.slot;
        let outcomes = at_once(case, async |index, _| {
            index.reserve(slot, "o", &crate::NO_FACTS, crate::Trust::Full, 9, 5).await.unwrap()
        });
        one_reserved(&outcomes);
        assert_eq!(case.index.get_upload(&idle.name).await.unwrap(), None);
    }
}

/// Fault 1.
pub(crate) async fn concurrent_renewals_have_one_winner(case: &Case) {
    for round in 0..5 {
        let upload = case.reserve(&case.key(&round.to_string()), 1).await;
        let renewed = at_once(case, async |index, number| {
            let now_ms = 1_000 + u64::try_from(number).unwrap();
            index.renew(upload.id, 1, now_ms).await.unwrap().then_some(now_ms)
        });
        let renewed: Vec<_> = renewed.into_iter().flatten().collect();
        assert_eq!(renewed.len(), 1);
        let now = case.index.get_upload(&upload.name).await.unwrap().unwrap();
        assert_eq!((now.created_ms, now.last_activity_ms), (renewed[0], renewed[0]));
    }
}

pub(crate) async fn concurrent_finalizes_make_one_entry(case: &Case) {
    for round in 0..5 {
        let upload = case.reserve(&case.key(&round.to_string()), 1).await;
        let content = attachment(1);
        case.index.attach(upload.id, &content, None, 1).await.unwrap();
        let content = &content;
        let made = at_once(case, async |index, _| {
            let made = index.finalize(upload.id, content, &Durability::Durable, 2).await;
            made.unwrap()
        });
        assert_eq!(made.into_iter().flatten().count(), 1);
    }
}

pub(crate) async fn concurrent_secrets_are_the_same(case: &Case) {
    let name = unique("secret");
    let got = at_once(case, async |index, number| {
        index.secret(&name, number.to_string().as_bytes()).await.unwrap()
    });
    assert_eq!(got.into_iter().collect::<HashSet<_>>().len(), 1);
}

pub(crate) async fn a_touch_and_a_deletion_of_the_unused_do_not_both_win(case: &Case) {
    for round in 0..5 {
        let entry = case.entry(&round.to_string()).await;
        let done = at_once(case, async |index, number| {
            if number % 2 == 0 {
                let touched = index.touch_entry(entry.id, entry.last_used_ms + 1).await.unwrap();
                return (touched, false);
            }
            (false, index.delete_entry_unused(entry.id, entry.last_used_ms, &DELETED).await.unwrap())
        });
        let left = case.index.get_entry(entry.id).await.unwrap();
        let deletions = done.iter().filter(|(_, deleted)| *deleted).count();
        assert_eq!(deletions, usize::from(left.is_none()));
        assert_eq!(done.iter().any(|(touched, _)| *touched), left.is_some(), "{done:?}");
        assert!(left.is_none_or(|left| left.last_used_ms > entry.last_used_ms));
    }
}
