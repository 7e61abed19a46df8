//! Many instances at once: threads, each with a directory of its own over the same files.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use super::{
    AttachOutcome, Attachment, Entry, HOUR, Index, MatchKind, NOW, NativeDirectory, Reservation, find, index,
    object, reserved, run, saved, slot,
};

const THREADS: u64 = 8;

/// Runs `work` on threads that begin at once.
fn at_once<T: Send>(root: &Path, work: impl Fn(u64, Index<NativeDirectory>) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    thread::scope(|scope| {
        let start = |number| {
            let (work, barrier) = (&work, &barrier);
            scope.spawn(move || {
                let index = index(root);
                barrier.wait();
                work(number, index)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn of_concurrent_reservations_one_wins() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..100 {
        let key = format!("k{round}");
        let outcomes = at_once(root.path(), |_, index| {
            run(index.reserve(&slot(&key), "me", &crate::facts::NO_FACTS, NOW, NOW - HOUR)).unwrap()
        });
        let name = |outcome: &Reservation| match outcome {
            Reservation::Reserved(upload) | Reservation::Upload(upload) => upload.name.clone(),
            Reservation::Entry(entry) => panic!("{entry:?}"),
        };
        assert_eq!(outcomes.iter().filter(|o| matches!(o, Reservation::Reserved(_))).count(), 1);
        assert_eq!(outcomes.iter().map(name).collect::<HashSet<_>>().len(), 1, "all see the same upload");
    }
}

#[test]
fn of_concurrent_displacements_one_wins() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..60 {
        let key = format!("k{round}");
        reserved(&index(root.path()), &key);
        let outcomes = at_once(root.path(), |_, index| {
            run(index.reserve(&slot(&key), "me", &crate::facts::NO_FACTS, NOW + HOUR, NOW + 1)).unwrap()
        });
        assert_eq!(outcomes.iter().filter(|o| matches!(o, Reservation::Reserved(_))).count(), 1);
    }
}

/// Half attach another object, half finalize with the first: no entry has an object that an attach
/// has replaced, because its caller removes that.
#[test]
fn no_entry_has_a_replaced_object() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..60 {
        let key = format!("k{round}");
        let upload = reserved(&index(root.path()), &key);
        let first = object(1000);
        run(index(root.path()).attach(upload.id, &first, NOW)).unwrap();
        let outcomes: Vec<(Option<Entry>, Option<AttachOutcome>)> = at_once(root.path(), |number, index| {
            if number % 2 == 0 {
                (run(index.finalize(upload.id, &first, NOW)).unwrap(), None)
            } else {
                (None, Some(run(index.attach(upload.id, &object(number), NOW)).unwrap()))
            }
        });
        let entries: Vec<&Entry> = outcomes.iter().filter_map(|(entry, _)| entry.as_ref()).collect();
        assert!(entries.len() <= 1, "{entries:?}");
        let replaced = outcomes.iter().filter_map(|(_, attached)| match attached {
            Some(AttachOutcome::Attached(replaced)) => replaced.as_deref(),
            _ => None,
        });
        for object in replaced {
            assert!(entries.iter().all(|entry| entry.object != object), "{object} is removed");
        }
        if entries.is_empty() {
            let left = run(index(root.path()).get_upload_by_id(upload.id)).unwrap().unwrap();
            assert_ne!(left.attachment.map(|a| a.object), Some(first.object.clone()));
        }
    }
}

#[test]
fn of_finalize_abandon_and_displacement_one_wins() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..60 {
        let key = format!("k{round}");
        let upload = reserved(&index(root.path()), &key);
        let content: Attachment = object(1);
        run(index(root.path()).attach(upload.id, &content, NOW)).unwrap();
        let won = at_once(root.path(), |number, index| match number % 3 {
            0 => run(index.finalize(upload.id, &content, NOW)).unwrap().is_some(),
            1 => run(index.abandon(upload.id)).unwrap(),
            _ => {
                let outcome =
                    run(index.reserve(&slot(&key), "me", &crate::facts::NO_FACTS, NOW + HOUR, NOW + 1))
                        .unwrap();
                if let Reservation::Reserved(second) = outcome {
                    run(index.abandon(second.id)).unwrap();
                }
                false
            }
        });
        assert!(won.iter().filter(|won| **won).count() <= 1, "{won:?}");
        let index = index(root.path());
        let found = find(&index, &key, MatchKind::Exact);
        assert_eq!(
            found.is_some(),
            won.iter().step_by(3).any(|won| *won),
            "acknowledged and there, or neither"
        );
        assert_eq!(find(&index, &key, MatchKind::Prefix).is_some(), found.is_some());
    }
}

/// Numbers are unique, and grow with each entry that is begun after another is there.
#[test]
fn numbers_are_unique_and_grow() {
    let root = tempfile::tempdir().unwrap();
    let ids = at_once(root.path(), |number, index| {
        (0..25).map(|n| saved(&index, &format!("k{number}-{n}")).id).collect::<Vec<_>>()
    });
    assert!(ids.iter().all(|ids| ids.is_sorted_by(|one, other| one < other)));
    assert_eq!(ids.concat().iter().collect::<HashSet<_>>().len(), ids.concat().len());
}

/// Readers beside writers of one slot: an entry is there with all that leads to it, or not at all. On a busy machine
/// the readers may not run while the first entries are there, so there are more until one was seen.
#[test]
fn readers_never_see_half_an_entry() {
    let root = tempfile::tempdir().unwrap();
    let (writing, found) = (AtomicUsize::new(3), AtomicUsize::new(0));
    at_once(root.path(), |number, index| {
        if number < 3 {
            for round in 0..10_000 {
                if round >= 150 && found.load(Relaxed) > 0 {
                    break;
                }
                if let Reservation::Reserved(upload) =
                    run(index.reserve(&slot("k"), "me", &crate::facts::NO_FACTS, NOW, NOW - HOUR)).unwrap()
                {
                    run(index.attach(upload.id, &object(upload.id), NOW)).unwrap();
                    let entry = run(index.finalize(upload.id, &object(upload.id), NOW)).unwrap().unwrap();
                    assert!(run(index.delete_entry(entry.id)).unwrap());
                }
            }
            writing.fetch_sub(1, Relaxed);
        }
        while writing.load(Relaxed) > 0 {
            if let Some(entry) = find(&index, "k", MatchKind::Prefix) {
                assert_eq!(entry.slot.key, "k");
                assert!(entry.object.starts_with("p-"));
                found.fetch_add(1, Relaxed);
            }
        }
    });
    assert!(found.into_inner() > 0, "readers must have seen some");
}
