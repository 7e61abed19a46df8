#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod crash;
mod model;
mod race;

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{Index, KeyRule};
use crate::{
    bindings::exports::larder::cache::index::{
        AttachOutcome, Attachment, Entry, MatchKind, Probe, Reservation, Slot, Upload,
    },
    directory::{
        Directory,
        native::{NativeDirectory, run},
    },
    facts::Facts,
};

/// A time that tests begin at, in milliseconds since 1970.
const NOW: u64 = 1_800_000_000_000;
const HOUR: u64 = 3_600_000;

fn clock_us() -> u64 {
    static CLOCK: AtomicU64 = AtomicU64::new(NOW * 1000);
    CLOCK.fetch_add(1, Relaxed)
}

fn random() -> u64 {
    fastrand::u64(..)
}

fn index(root: &Path) -> Index<NativeDirectory> {
    Index::new(NativeDirectory::new(root), KeyRule::AnyCase, clock_us, random)
}

fn slot(key: &str) -> Slot {
    Slot {
        repository: "1".to_owned(),
        scope: "refs/heads/main".to_owned(),
        version: "v".to_owned(),
        key: key.to_owned(),
    }
}

fn object(number: u64) -> Attachment {
    Attachment { object: format!("p-{:032x}-00000001-5", u128::from(number)), size_bytes: 5 }
}

fn probe(key: &str, kind: MatchKind) -> Probe {
    Probe { scope: "refs/heads/main".to_owned(), key: key.to_owned(), kind }
}

fn find<D: Directory>(index: &Index<D>, key: &str, kind: MatchKind) -> Option<Entry> {
    run(index.find("1", "v", &[probe(key, kind)], &[])).unwrap()
}

fn reserved<D: Directory>(index: &Index<D>, key: &str) -> Upload {
    match run(index.reserve(&slot(key), "me", &crate::facts::NO_FACTS, NOW, NOW - HOUR)).unwrap() {
        Reservation::Reserved(upload) => upload,
        other => panic!("{other:?}"),
    }
}

fn saved<D: Directory>(index: &Index<D>, key: &str) -> Entry {
    let upload = reserved(index, key);
    run(index.attach(upload.id, &object(upload.id), NOW)).unwrap();
    run(index.finalize(upload.id, &object(upload.id), NOW)).unwrap().expect("it is attached")
}

fn same(one: &impl std::fmt::Debug, other: &impl std::fmt::Debug) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

#[test]
fn what_is_finalized_is_found_in_every_way() {
    let root = tempfile::tempdir().unwrap();
    let index = index(root.path());
    let upload = reserved(&index, "Key-1");
    assert_eq!((upload.created_ms, upload.last_activity_ms, upload.name.len()), (NOW, NOW, 32));
    same(&run(index.get_upload(&upload.name)).unwrap().unwrap(), &upload);
    same(&run(index.get_upload_by_id(upload.id)).unwrap().unwrap(), &upload);
    same(&run(index.find_upload(&slot("KEY-1"))).unwrap().unwrap(), &upload);
    assert!(find(&index, "Key-1", MatchKind::Exact).is_none());
    assert!(run(index.finalize(upload.id, &object(1), NOW)).unwrap().is_none(), "nothing is attached");
    run(index.attach(upload.id, &object(1), NOW + 1)).unwrap();
    assert!(run(index.finalize(upload.id, &object(2), NOW)).unwrap().is_none(), "something else is");
    let entry = run(index.finalize(upload.id, &object(1), NOW + 2)).unwrap().unwrap();
    assert_eq!((entry.created_ms, entry.last_used_ms, &*entry.slot.key), (NOW + 2, NOW + 2, "Key-1"));
    assert_eq!(entry.owner.as_deref(), Some("me"));
    for found in [
        find(&index, "kEY-1", MatchKind::Exact),
        find(&index, "kEY", MatchKind::Prefix),
        find(&index, "", MatchKind::Prefix),
        run(index.get_entry(entry.id)).unwrap(),
        run(index.get_entry_of_upload(upload.id)).unwrap(),
    ] {
        same(&found.unwrap(), &entry);
    }
    assert!(run(index.get_upload_by_id(upload.id)).unwrap().is_none());
    assert!(matches!(
        run(index.reserve(&slot("key-1"), "me", &crate::facts::NO_FACTS, NOW, NOW)).unwrap(),
        Reservation::Entry(found) if found.id == entry.id
    ));
    assert!(run(index.delete_entry(entry.id)).unwrap());
    assert!(!run(index.delete_entry(entry.id)).unwrap());
    assert!(find(&index, "key", MatchKind::Prefix).is_none());
    for folder in ["uploads", "entries", "places", "slots"] {
        let left = run(index.list_names(folder, "")).unwrap().items;
        assert_eq!(left, Vec::<String>::new(), "{folder}");
    }
}

#[test]
fn the_newest_prefix_wins_and_skipped_ones_do_not_count() {
    let root = tempfile::tempdir().unwrap();
    let index = index(root.path());
    let long = format!("a-{}", "x".repeat(400));
    let saved: Vec<Entry> = ["a-1", "a-2", "b-1", &long].iter().map(|key| saved(&index, key)).collect();
    assert!(saved.is_sorted_by(|one, other| one.id < other.id));
    assert_eq!(find(&index, "a-", MatchKind::Prefix).unwrap().id, saved[3].id);
    assert_eq!(find(&index, "A-", MatchKind::Prefix).unwrap().id, saved[3].id);
    assert_eq!(find(&index, "b", MatchKind::Prefix).unwrap().id, saved[2].id);
    assert!(find(&index, "c", MatchKind::Prefix).is_none());
    let probes = [probe("zz", MatchKind::Exact), probe("a-", MatchKind::Prefix)];
    let skip = [saved[3].id, saved[1].id];
    assert_eq!(run(index.find("1", "v", &probes, &skip)).unwrap().unwrap().id, saved[0].id);
    for (repository, version) in [("2", "v"), ("1", "w")] {
        assert!(run(index.find(repository, version, &probes, &[])).unwrap().is_none());
    }
}

#[test]
fn numbers_grow_also_when_the_clock_is_set_back() {
    fn set_back() -> u64 {
        static CLOCK: AtomicU64 = AtomicU64::new(NOW * 1000);
        CLOCK.fetch_sub(60_000_000, Relaxed)
    }
    let root = tempfile::tempdir().unwrap();
    let mut last = 0;
    for number in 0..5 {
        // Each by another instance.
        let index = Index::new(NativeDirectory::new(root.path()), KeyRule::AnyCase, set_back, random);
        let entry = saved(&index, &format!("key-{number}"));
        assert!(entry.id > last);
        last = entry.id;
    }
}

#[test]
fn an_idle_upload_is_displaced_and_an_active_one_is_not() {
    let root = tempfile::tempdir().unwrap();
    let index = index(root.path());
    let first = reserved(&index, "k");
    let at = |now, idle_before| {
        run(index.reserve(&slot("k"), "you", &crate::facts::NO_FACTS, now, idle_before)).unwrap()
    };
    assert!(matches!(at(NOW, NOW), Reservation::Upload(upload) if upload.id == first.id));
    // Bytes of a body that is not complete.
    let folder = root.path().join(crate::storage::names::blocks_folder(&first.name));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("t.5.00"), b"12345").unwrap();
    let arrived = std::time::UNIX_EPOCH + std::time::Duration::from_millis(NOW + HOUR);
    std::fs::File::open(folder.join("t.5.00")).unwrap().set_modified(arrived).unwrap();
    let found = at(NOW + HOUR, NOW + HOUR - 60_000);
    assert!(matches!(found, Reservation::Upload(upload) if upload.last_activity_ms == NOW + HOUR));
    std::fs::remove_dir_all(&folder).unwrap();
    let Reservation::Reserved(second) = at(NOW + HOUR, NOW + 1) else { panic!("it is idle") };
    assert!(run(index.get_upload(&first.name)).unwrap().is_none());
    assert!(matches!(run(index.attach(first.id, &object(1), NOW)).unwrap(), AttachOutcome::Gone));
    assert!(!run(index.abandon(first.id)).unwrap());
    // Written while a clock was ahead.
    let Reservation::Reserved(third) = at(NOW + HOUR - 600_001, 0) else { panic!("it is in the future") };
    assert_ne!(second.id, third.id);
    assert!(run(index.abandon(third.id)).unwrap());
    assert!(run(index.find_upload(&slot("k"))).unwrap().is_none());
}

#[test]
fn only_an_upload_without_bytes_is_renewed() {
    let root = tempfile::tempdir().unwrap();
    let index = index(root.path());
    let upload = reserved(&index, "k");
    assert!(!run(index.renew(upload.id, NOW + 1, NOW + 2)).unwrap());
    assert!(run(index.renew(upload.id, NOW, NOW + 5)).unwrap());
    assert!(!run(index.renew(upload.id, NOW, NOW + 9)).unwrap());
    let renewed = run(index.get_upload_by_id(upload.id)).unwrap().unwrap();
    assert_eq!((renewed.created_ms, renewed.last_activity_ms), (NOW + 5, NOW + 5));
    run(index.touch_upload(&upload.name, NOW + 6)).unwrap();
    assert!(!run(index.renew(upload.id, NOW + 5, NOW + 9)).unwrap(), "bytes have arrived");
    run(index.attach(upload.id, &object(1), NOW + 7)).unwrap();
    assert!(!run(index.renew(upload.id, NOW + 5, NOW + 9)).unwrap(), "it has content");
}

#[test]
fn a_use_is_recorded_and_spares_the_entry() {
    let root = tempfile::tempdir().unwrap();
    let index = index(root.path());
    let entry = saved(&index, "k");
    let used = NOW + HOUR;
    assert!(run(index.touch(entry.id, entry.last_used_ms, used)).unwrap());
    assert_eq!(run(index.get_entry(entry.id)).unwrap().unwrap().last_used_ms, used);
    assert!(!run(index.delete_entry_unused(entry.id, NOW)).unwrap(), "it was used since");
    assert!(run(index.delete_entry_unused(entry.id, used)).unwrap());
    assert!(!run(index.touch(entry.id, NOW, used + HOUR)).unwrap(), "it is deleted");
}

#[test]
fn pages_have_every_entry_once() {
    let root = tempfile::tempdir().unwrap();
    let index = index(root.path());
    let saved: Vec<u64> = (0..1203).map(|number| saved(&index, &format!("k{number}")).id).collect();
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = run(index.list_entries(&cursor)).unwrap();
        assert!(page.items.len() <= 500);
        listed.extend(page.items.iter().map(|entry| entry.id));
        let Some(next) = page.next else { break };
        cursor = next;
    }
    assert_eq!(listed, saved);
}

#[test]
fn the_facts_of_a_reservation_stay_with_the_entry_and_files_without_them_are_read() {
    let root = tempfile::tempdir().unwrap();
    let index = index(root.path());
    let facts = Facts::try_from(&[("run_id", "7"), ("actor", "octocat")][..]).unwrap();
    run(index.reserve(&slot("k"), "me", &facts, NOW, NOW - HOUR)).unwrap();
    let upload = run(index.find_upload(&slot("k"))).unwrap().unwrap();
    run(index.attach(upload.id, &object(upload.id), NOW)).unwrap();
    run(index.finalize(upload.id, &object(upload.id), NOW)).unwrap().unwrap();
    let found = run(index.occupant(&index.rule.slot_name(&slot("k")))).unwrap().unwrap();
    assert_eq!(found.origin.facts, Some(facts));
    // A file as it was written before there were facts.
    let path = root.path().join(found.path());
    let mut content: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    content.as_object_mut().unwrap().remove("facts").unwrap();
    std::fs::write(&path, content.to_string()).unwrap();
    let found = run(index.occupant(&index.rule.slot_name(&slot("k")))).unwrap().unwrap();
    assert_eq!(found.origin.facts, None);
    assert!(find(&index, "k", MatchKind::Exact).is_some());
}
