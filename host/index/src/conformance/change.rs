//! Promises about other changes: deletions, touches, secrets.

use super::{Case, DELETED, facts::details, unique};
use crate::{Entry, EntryId, EntryUses};

pub(crate) async fn deleting_an_entry_frees_the_slot_once(case: &Case) {
    let entry = case.entry("k").await;
    let other = case.entry("k2").await;
    assert!(case.index.delete_entry(entry.id, &DELETED).await.unwrap());
    assert!(!case.index.delete_entry(entry.id, &DELETED).await.unwrap());
    assert!(!case.index.delete_entry(EntryId(u64::MAX), &DELETED).await.unwrap());
    assert_eq!(case.exact("k").await, None);
    assert_eq!(case.index.get_entry(entry.id).await.unwrap(), None);
    assert_eq!(case.index.get_entry(other.id).await.unwrap(), Some(other));
    case.reserve(&entry.slot, 1).await;
}

pub(crate) async fn an_entry_that_was_used_meanwhile_is_not_deleted_as_unused(case: &Case) {
    let entry = case.entry("k").await;
    case.index.touch_entries(&[EntryUses::once(entry.id, entry.last_used_ms + 1)]).await.unwrap();
    assert!(!case.index.delete_entry_unused(entry.id, entry.last_used_ms, &DELETED).await.unwrap());
    let seen = case.index.get_entry(entry.id).await.unwrap().expect("the entry");
    assert_eq!(seen.last_used_ms, entry.last_used_ms + 1);
    assert!(case.index.delete_entry_unused(entry.id, seen.last_used_ms, &DELETED).await.unwrap());
    assert!(!case.index.delete_entry_unused(entry.id, u64::MAX, &DELETED).await.unwrap());
    assert_eq!(case.exact("k").await, None);
}

pub(crate) async fn touching_entries_never_goes_back(case: &Case) {
    let one = case.entry("1").await;
    let two = case.entry("2").await;
    let uses = [(one.id, 3_000), (two.id, 500), (one.id, 2_000)].map(|(id, at)| EntryUses::once(id, at));
    case.index.touch_entries(&uses).await.unwrap();
    let used = |entry| async move { case.index.get_entry(entry).await.unwrap().unwrap() };
    let (touched, other) = (used(one.id).await, used(two.id).await);
    assert_eq!((touched.last_used_ms, other.last_used_ms), (3_000, 1_000));
    assert_eq!(touched.created_ms, one.created_ms);
}

pub(crate) async fn touching_an_entry_tells_whether_it_is_there(case: &Case) {
    let (entry, gone) = (case.entry("1").await, case.entry("2").await);
    case.index.delete_entry(gone.id, &DELETED).await.unwrap();
    // The second is a repetition of the first.
    for (used_ms, stored_ms, uses) in
        [(3_000, 3_000, 1), (3_000, 3_000, 1), (2_000, 3_000, 2), (4_000, 4_000, 3)]
    {
        assert!(case.index.touch_entry(entry.id, used_ms).await.unwrap());
        assert_eq!(details(case, entry.id).await.uses, Some(uses));
        let stored = case.index.get_entry(entry.id).await.unwrap();
        assert_eq!(stored, Some(Entry { last_used_ms: stored_ms, ..entry.clone() }));
    }
    for absent in [gone.id, EntryId(u64::MAX)] {
        assert!(!case.index.touch_entry(absent, 3_000).await.unwrap());
        assert_eq!(case.index.get_entry(absent).await.unwrap(), None);
    }
}

/// Fault 19.
pub(crate) async fn a_last_use_from_the_future_is_capped(case: &Case) {
    let (one, two) = (case.entry("1").await, case.entry("2").await);
    let uses = [(one.id, 9_000), (two.id, 3_000)].map(|(id, at)| EntryUses::once(id, at));
    case.index.touch_entries(&uses).await.unwrap();
    let ids = [two.id, EntryId(u64::MAX), one.id];
    case.index.cap_last_used(&ids, 4_000).await.unwrap();
    case.index.cap_last_used(&[], 4_000).await.unwrap();
    for (entry, last_used_ms) in [(one, 4_000), (two, 3_000)] {
        let there = case.index.get_entry(entry.id).await.unwrap();
        assert_eq!(there, Some(Entry { last_used_ms, ..entry }));
    }
}

pub(crate) async fn touching_deleted_rows_is_harmless(case: &Case) {
    let gone = case.entry("1").await;
    let there = case.entry("2").await;
    case.index.delete_entry(gone.id, &DELETED).await.unwrap();
    let uses = [gone.id, EntryId(u64::MAX), there.id].map(|id| EntryUses::once(id, 3_000));
    case.index.touch_entries(&uses).await.unwrap();
    case.index.touch_entries(&[]).await.unwrap();
    case.index.mark_durable(&[gone.id, EntryId(u64::MAX)]).await.unwrap();
    case.index.mark_durable(&[]).await.unwrap();
    assert_eq!(case.index.get_entry(gone.id).await.unwrap(), None);
    let there = case.index.get_entry(there.id).await.unwrap().unwrap();
    assert_eq!(there.last_used_ms, 3_000);
}

pub(crate) async fn a_secret_is_the_first_that_was_stored(case: &Case) {
    let (name, other) = (unique("secret"), unique("secret"));
    assert_eq!(case.index.secret(&name, b"first").await.unwrap(), b"first");
    assert_eq!(case.index.secret(&name, b"second").await.unwrap(), b"first");
    assert_eq!(case.index.secret(&other, b"second").await.unwrap(), b"second");
}

pub(crate) async fn secrets_may_be_any_bytes(case: &Case) {
    let every_byte: Vec<u8> = (0..=255).collect();
    for secret in [&every_byte[..], &[]] {
        let name = unique("secret");
        assert_eq!(case.index.secret(&name, secret).await.unwrap(), secret);
        assert_eq!(case.index.secret(&name, b"other").await.unwrap(), secret);
    }
}
