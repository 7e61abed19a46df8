//! An instance is killed at each of its calls; another one goes on.

use std::path::Path;

use super::{
    Entry, HOUR, Index, KeyRule, MatchKind, NOW, NativeDirectory, Reservation, clock_us, find, index, object,
    random, reserved, run, saved, slot,
};
use crate::directory::FileError;

/// Runs `work` with a kill after each number of changes, until it is not killed any more. `check`
/// gets what it returned. Returns the number of kills.
fn killed_at_each_call<T>(
    prepare: impl Fn(&Index<NativeDirectory>) -> T,
    work: impl Fn(&Index<NativeDirectory>, &T) -> Result<(), FileError>,
    check: impl Fn(&Path, &T, bool),
) -> usize {
    for changes in 0..200 {
        let root = tempfile::tempdir().unwrap();
        let prepared = prepare(&index(root.path()));
        let directory = NativeDirectory::crashing_after(root.path(), changes);
        let dying = Index::new(directory, KeyRule::AnyCase, clock_us, random);
        let is_done = work(&dying, &prepared).is_ok();
        check(root.path(), &prepared, is_done);
        sweep(root.path());
        check(root.path(), &prepared, is_done);
        if is_done {
            return changes;
        }
    }
    panic!("it does not end");
}

/// Removes what leads nowhere, whatever its age.
fn sweep(root: &Path) {
    let index = index(root);
    for folder in ["entries", "uploads", "places"] {
        let paths = match folder {
            "places" => deep(root),
            folder => run(index.list_names(folder, "")).unwrap().items,
        };
        for path in paths {
            run(index.remove_stray(&path, u64::MAX)).unwrap();
        }
    }
}

/// The links in `places/`, which lie one folder deeper.
fn deep(root: &Path) -> Vec<String> {
    let index = index(root);
    let mut links = Vec::new();
    for place in run(index.list_names("places", "")).unwrap().items {
        let names = run(crate::directory::Directory::list(&NativeDirectory::new(root), &place)).unwrap();
        links.extend(names.into_iter().map(|name| format!("{place}/{name}")));
    }
    links
}

/// The entry, which is found in every way or in none.
fn entry(root: &Path, key: &str) -> Option<Entry> {
    let index = index(root);
    let exact = find(&index, key, MatchKind::Exact);
    assert_eq!(exact.is_some(), find(&index, key, MatchKind::Prefix).is_some());
    if let Some(found) = &exact {
        assert!(run(index.get_entry(found.id)).unwrap().is_some());
    }
    exact
}

#[test]
fn a_reservation_is_there_or_the_slot_is_free() {
    let kills = killed_at_each_call(
        |_| (),
        |index, ()| run(index.reserve(&slot("k"), "me", &crate::facts::NO_FACTS, NOW, NOW - HOUR)).map(drop),
        |root, (), is_done| {
            let index = index(root);
            let found = run(index.find_upload(&slot("k"))).unwrap();
            assert!(found.is_some() || !is_done);
            if let Some(upload) = &found {
                assert!(run(index.get_upload_by_id(upload.id)).unwrap().is_some(), "it is found by number");
            }
        },
    );
    assert!(kills >= 5, "{kills}");
}

#[test]
fn a_killed_displacement_leaves_the_slot_to_the_next() {
    killed_at_each_call(
        |index| reserved(index, "k"),
        |index, _| {
            run(index.reserve(&slot("k"), "me", &crate::facts::NO_FACTS, NOW + HOUR, NOW + 1)).map(drop)
        },
        |root, _, _| {
            let outcome =
                run(index(root).reserve(&slot("k"), "you", &crate::facts::NO_FACTS, NOW + HOUR, NOW + 1))
                    .unwrap();
            assert!(matches!(outcome, Reservation::Reserved(_) | Reservation::Upload(_)), "{outcome:?}");
        },
    );
}

#[test]
fn an_entry_is_there_or_its_upload_still_is() {
    let kills = killed_at_each_call(
        |index| {
            let upload = reserved(index, "k");
            run(index.attach(upload.id, &object(1), NOW)).unwrap();
            upload
        },
        |index, upload| run(index.finalize(upload.id, &object(1), NOW)).map(drop),
        |root, upload, is_done| {
            let index = index(root);
            match entry(root, "k") {
                Some(entry) => {
                    let of_upload = run(index.get_entry_of_upload(upload.id)).unwrap().unwrap();
                    assert_eq!((of_upload.id, of_upload.object), (entry.id, object(1).object));
                }
                None => {
                    assert!(!is_done);
                    let left = run(index.get_upload(&upload.name)).unwrap().unwrap();
                    assert_eq!(left.attachment.unwrap().object, object(1).object);
                }
            }
            assert!(run(index.needs(&upload.name, Some(&object(1).object))).unwrap(), "no sweep takes it");
        },
    );
    assert!(kills >= 4, "{kills}");
    // After the last kill the upload can still be finalized.
    let root = tempfile::tempdir().unwrap();
    let upload = reserved(&index(root.path()), "k");
    run(index(root.path()).attach(upload.id, &object(1), NOW)).unwrap();
    let directory = NativeDirectory::crashing_after(root.path(), kills - 1);
    let dying = Index::new(directory, KeyRule::AnyCase, clock_us, random);
    run(dying.finalize(upload.id, &object(1), NOW)).unwrap_err();
    run(index(root.path()).finalize(upload.id, &object(1), NOW)).unwrap().expect("it is an upload still");
}

#[test]
fn a_deleted_entry_is_gone_or_there_and_its_slot_can_be_reserved() {
    for unused in [false, true] {
        killed_at_each_call(
            |index| saved(index, "k"),
            |index, entry| {
                run(async {
                    if unused {
                        index.delete_entry_unused(entry.id, entry.last_used_ms).await.map(drop)
                    } else {
                        index.delete_entry(entry.id).await.map(drop)
                    }
                })
            },
            |root, saved, is_done| {
                let left = entry(root, "k");
                assert!(left.is_none() || !is_done);
                if left.is_none() {
                    let upload = reserved(&index(root), "k");
                    assert!(run(index(root).get_entry(saved.id)).unwrap().is_none());
                    assert!(run(index(root).abandon(upload.id)).unwrap());
                }
            },
        );
    }
}

#[test]
fn an_attachment_is_the_old_or_the_new() {
    killed_at_each_call(
        |index| {
            let upload = reserved(index, "k");
            run(index.attach(upload.id, &object(1), NOW)).unwrap();
            upload
        },
        |index, upload| run(index.attach(upload.id, &object(2), NOW + 5)).map(drop),
        |root, upload, is_done| {
            let attached = run(index(root).get_upload_by_id(upload.id)).unwrap().unwrap().attachment.unwrap();
            let new = attached.object == object(2).object;
            assert!(new || (attached.object == object(1).object && !is_done));
        },
    );
}
