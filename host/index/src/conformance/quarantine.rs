//! Promises about entries in quarantine.

use super::{Case, DELETED, exact, facts::details, prefix};
use crate::{Durability, EntryId, EntryUses, MatchKind, NO_FACTS, Reservation, Trust};

pub(crate) async fn an_entry_in_quarantine_is_not_found_until_it_is_released(case: &Case) {
    let (one, held, other) = (case.entry("k").await, case.entry("k-2").await, case.entry("x").await);
    assert_eq!(case.index.set_quarantined(&[held.id], Some(5_000)).await.unwrap(), 1);
    assert_eq!(case.exact("k-2").await, None);
    assert_eq!(case.prefix("k-2").await, None);
    assert_eq!(case.prefix("k").await.as_deref(), Some("k"));
    assert_eq!(case.find(&[exact("k-2"), prefix("k-2"), prefix("x")], &[]).await.as_deref(), Some("x"));
    assert_eq!(case.find(&[prefix("k")], &[one.id]).await, None);
    assert_eq!(case.index.get_entry(held.id).await.unwrap(), None);
    assert_eq!(case.index.get_entry(other.id).await.unwrap(), Some(other));
    assert_eq!(details(case, held.id).await.quarantined_ms, Some(5_000));
    assert_eq!(details(case, one.id).await.quarantined_ms, None);
    assert_eq!(case.index.set_quarantined(&[held.id], None).await.unwrap(), 1);
    assert_eq!(case.exact("k-2").await.as_deref(), Some("k-2"));
    assert_eq!(case.prefix("k").await.as_deref(), Some("k-2"));
    assert_eq!(case.index.get_entry(held.id).await.unwrap(), Some(held.clone()));
    assert_eq!(details(case, held.id).await.quarantined_ms, None);
}

pub(crate) async fn what_is_in_quarantine_already_is_not_changed_again(case: &Case) {
    let (one, two) = (case.entry("1").await, case.entry("2").await);
    let both = [two.id, one.id, EntryId(u64::MAX), one.id];
    assert_eq!(case.index.set_quarantined(&both, None).await.unwrap(), 0);
    assert_eq!(case.index.set_quarantined(&[one.id], Some(5_000)).await.unwrap(), 1);
    assert_eq!(case.index.set_quarantined(&both, Some(6_000)).await.unwrap(), 1);
    assert_eq!(details(case, one.id).await.quarantined_ms, Some(5_000));
    assert_eq!(details(case, two.id).await.quarantined_ms, Some(6_000));
    assert_eq!((case.prefix("1").await, case.prefix("2").await), (None, None));
    assert_eq!(case.index.set_quarantined(&both, None).await.unwrap(), 2);
    assert_eq!(case.index.set_quarantined(&both, None).await.unwrap(), 0);
    assert_eq!(
        (case.prefix("1").await.as_deref(), case.prefix("2").await.as_deref()),
        (Some("1"), Some("2"))
    );
    assert_eq!(case.index.set_quarantined(&[], Some(1)).await.unwrap(), 0);
}

pub(crate) async fn an_entry_in_quarantine_keeps_its_slot_and_can_be_deleted(case: &Case) {
    let entry = case.entry("k").await;
    case.index.set_quarantined(&[entry.id], Some(5_000)).await.unwrap();
    let again = case.index.reserve(&entry.slot, "o", &NO_FACTS, Trust::Full, 9_000, u64::MAX).await.unwrap();
    assert_eq!(again, Reservation::Entry(entry.clone()));
    case.index.touch_entries(&[EntryUses::once(entry.id, 2_000)]).await.unwrap();
    assert!(!case.index.delete_entry_unused(entry.id, 1_000, &DELETED).await.unwrap());
    assert!(case.index.delete_entry_unused(entry.id, 2_000, &DELETED).await.unwrap());
    let made = case.entry("k").await;
    assert_eq!(case.prefix("k").await.as_deref(), Some("k"));
    assert_eq!(details(case, made.id).await.quarantined_ms, None);
}

/// Whichever of the two scans of the search ends first, and behind many newer entries.
pub(crate) async fn a_prefix_is_found_behind_many_in_quarantine(case: &Case) {
    case.entry("p-a").await;
    let mut held = Vec::new();
    for number in 0..30 {
        held.push(case.entry(&format!("p-{number:02}")).await.id);
    }
    let between = case.entry("p-b").await;
    for number in 30..60 {
        held.push(case.entry(&format!("p-{number:02}")).await.id);
    }
    assert_eq!(case.index.set_quarantined(&held, Some(1)).await.unwrap(), held.len());
    assert_eq!(case.prefix("p-").await.as_deref(), Some("p-b"));
    assert_eq!(case.find(&[prefix("p-")], &[between.id]).await.as_deref(), Some("p-a"));
    assert_eq!(case.prefix("p-1").await, None);
    for number in 0..20 {
        case.entry(&format!("q-{number}")).await;
    }
    assert_eq!(case.prefix("p-").await.as_deref(), Some("p-b"));
    assert_eq!(case.prefix("p-5").await, None);
}

pub(crate) async fn an_entry_in_quarantine_is_in_every_list(case: &Case) {
    let held = case.entry_at(&case.key("k"), &Durability::Durable, 1_000).await;
    case.index.set_quarantined(&[held.id], Some(5_000)).await.unwrap();
    let listed = case.index.list_entries(EntryId(held.id.0 - 1), 1).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&held));
    let objects = case.index.referenced_objects(std::slice::from_ref(&held.object)).await.unwrap();
    assert!(objects.contains(&held.object));
    let near = case.index.list_near(&case.repository, "k", MatchKind::Exact, 9).await.unwrap();
    assert_eq!(near.iter().map(|near| (&near.entry, near.quarantined)).collect::<Vec<_>>(), [(&held, true)]);
    let within = crate::Within::Repository(case.repository.clone());
    assert_eq!(case.index.least_recent(&within, None, None, 9).await.unwrap(), [held]);
}
