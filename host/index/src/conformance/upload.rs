//! Promises about uploads, from reservation to entry.

use larder_storage::UploadName;

use super::{Case, DELETED, attachment, exact};
use crate::{AttachOutcome, Durability, Entry, EntryUses, MAX_CLOCK_SKEW_MS, Reservation, Upload, UploadId};

pub(crate) async fn reserving_a_free_slot_makes_an_upload(case: &Case) {
    let slot = case.key("k");
    let reserved =
        case.index.reserve(&slot, "fingerprint", &crate::NO_FACTS, crate::Trust::Full, 1_000, 500).await;
    let Ok(Reservation::Reserved(upload)) = reserved else {
        panic!("not reserved: {reserved:?}");
    };
    assert!((1..1 << 53).contains(&upload.id.0));
    assert_eq!((&upload.slot, &*upload.owner), (&slot, "fingerprint"));
    assert_eq!((upload.created_ms, upload.last_activity_ms), (1_000, 1_000));
    assert_eq!(upload.attachment, None);
    let by_id = case.index.get_upload_by_id(upload.id).await.unwrap();
    assert_eq!(by_id.as_ref(), Some(&upload));
    let by_name = case.index.get_upload(&upload.name).await.unwrap();
    assert_eq!(by_name.as_ref(), Some(&upload));
    let by_slot = case.index.find_upload(&slot).await.unwrap();
    assert_eq!(by_slot, Some(upload));
}

pub(crate) async fn a_name_is_never_given_twice(case: &Case) {
    let first = case.reserve(&case.key("k"), 1).await;
    case.index.abandon(first.id).await.unwrap();
    let second = case.reserve(&case.key("k"), 1).await;
    assert_ne!(first.name, second.name);
    assert!(first.id < second.id, "a number was used again");
    assert_eq!(case.index.get_upload(&first.name).await.unwrap(), None);
}

pub(crate) async fn a_slot_with_an_entry_is_not_reserved(case: &Case) {
    let entry = case.entry("k").await;
    let again =
        case.index.reserve(&entry.slot, "o", &crate::NO_FACTS, crate::Trust::Full, 9_000, u64::MAX).await;
    assert_eq!(again.unwrap(), Reservation::Entry(entry.clone()));
    assert_eq!(case.index.find_upload(&entry.slot).await.unwrap(), None);
}

pub(crate) async fn a_slot_with_an_upload_is_not_reserved(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1_000).await;
    // Activity exactly at the limit is not idle.
    let again =
        case.index.reserve(&upload.slot, "o", &crate::NO_FACTS, crate::Trust::Full, 2_000, 1_000).await;
    assert_eq!(again.unwrap(), Reservation::Upload(upload));
}

pub(crate) async fn an_idle_upload_is_displaced(case: &Case) {
    let idle = case.reserve(&case.key("k"), 1_000).await;
    let content = attachment(7);
    case.index.attach(idle.id, &content, None, 1_000).await.unwrap();
    let again = case.index.reserve(&idle.slot, "o", &crate::NO_FACTS, crate::Trust::Full, 2_000, 1_001).await;
    let Ok(Reservation::Reserved(upload)) = again else {
        panic!("not reserved: {again:?}");
    };
    assert_ne!(upload.name, idle.name);
    assert_ne!(upload.id, idle.id);
    assert_eq!((&*upload.owner, upload.created_ms, upload.last_activity_ms), ("o", 2_000, 2_000));
    assert_eq!(upload.attachment, None);
    assert_eq!(case.index.get_upload(&idle.name).await.unwrap(), None);
    let late = case.index.finalize(idle.id, &content, &Durability::Durable, 2_000).await;
    assert_eq!(late.unwrap(), None);
    assert_eq!(case.index.find_upload(&idle.slot).await.unwrap(), Some(upload));
}

pub(crate) async fn activity_keeps_an_upload_from_being_displaced(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1_000).await;
    let uses = [(upload.name.clone(), 5_000)];
    case.index.touch_uploads(&uses).await.unwrap();
    let again = case
        .index
        .reserve(&upload.slot, "o", &crate::NO_FACTS, crate::Trust::Full, 6_000, 5_000)
        .await
        .unwrap();
    assert!(matches!(again, Reservation::Upload(there) if there.id == upload.id));
    let again = case
        .index
        .reserve(&upload.slot, "o", &crate::NO_FACTS, crate::Trust::Full, 6_000, 5_001)
        .await
        .unwrap();
    assert!(matches!(again, Reservation::Reserved(_)));
}

/// Fault 19.
pub(crate) async fn an_upload_from_the_future_is_displaced(case: &Case) {
    const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1_000;
    let (now_ms, slot) = (1_000_000, case.key("k"));
    let ahead = case.reserve(&slot, now_ms + YEAR_MS).await;
    let again = case
        .index
        .reserve(&slot, "o", &crate::NO_FACTS, crate::Trust::Full, now_ms, now_ms - 1_000)
        .await
        .unwrap();
    let Reservation::Reserved(upload) = again else { panic!("not reserved: {again:?}") };
    assert_eq!((upload.created_ms, upload.last_activity_ms), (now_ms, now_ms));
    assert_eq!(case.index.get_upload(&ahead.name).await.unwrap(), None);
    // Another server's clock may be slightly ahead.
    let slot = case.key("somewhat");
    let upload = case.reserve(&slot, now_ms + MAX_CLOCK_SKEW_MS).await;
    let again = case
        .index
        .reserve(&slot, "o", &crate::NO_FACTS, crate::Trust::Full, now_ms, now_ms - 1_000)
        .await
        .unwrap();
    assert_eq!(again, Reservation::Upload(upload));
}

/// Fault 19.
pub(crate) async fn a_last_activity_from_the_future_is_replaced(case: &Case) {
    let far = 9 * MAX_CLOCK_SKEW_MS;
    let (one, two) = (case.reserve(&case.key("1"), far).await, case.reserve(&case.key("2"), far).await);
    let active =
        async |upload: &Upload| case.index.get_upload(&upload.name).await.unwrap().unwrap().last_activity_ms;
    case.index.touch_uploads(&[(one.name.clone(), far - MAX_CLOCK_SKEW_MS)]).await.unwrap();
    case.index.attach(two.id, &attachment(1), None, far - MAX_CLOCK_SKEW_MS).await.unwrap();
    assert_eq!((active(&one).await, active(&two).await), (far, far));
    case.index.touch_uploads(&[(one.name.clone(), far - MAX_CLOCK_SKEW_MS - 1)]).await.unwrap();
    case.index.attach(two.id, &attachment(1), None, far - MAX_CLOCK_SKEW_MS - 1).await.unwrap();
    let back = far - MAX_CLOCK_SKEW_MS - 1;
    assert_eq!((active(&one).await, active(&two).await), (back, back));
}

pub(crate) async fn an_upload_is_no_entry(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    case.index.attach(upload.id, &attachment(1), None, 1).await.unwrap();
    assert_eq!(case.exact("k").await, None);
    assert_eq!(case.prefix("k").await, None);
}

/// Fault 1.
pub(crate) async fn an_untouched_upload_is_renewed(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1_000).await;
    let renew = async |created_ms, now_ms| case.index.renew(upload.id, created_ms, now_ms).await.unwrap();
    assert!(!renew(999, 2_000).await && renew(1_000, 2_000).await);
    assert!(!renew(1_000, 3_000).await, "another call was faster");
    let now = case.index.get_upload(&upload.name).await.unwrap().unwrap();
    assert_eq!(now, Upload { created_ms: 2_000, last_activity_ms: 2_000, ..upload.clone() });
    // It has the times of a new reservation.
    let again = case
        .index
        .reserve(&upload.slot, "o", &crate::NO_FACTS, crate::Trust::Full, 3_000, 2_000)
        .await
        .unwrap();
    assert_eq!(again, Reservation::Upload(now));

    case.index.touch_uploads(&[(upload.name.clone(), 2_001)]).await.unwrap();
    assert!(!renew(2_000, 3_000).await, "bytes have come");
    let attached = case.reserve(&case.key("attached"), 1_000).await;
    case.index.attach(attached.id, &attachment(1), None, 1_000).await.unwrap();
    assert!(!case.index.renew(attached.id, 1_000, 2_000).await.unwrap(), "it has content");
    case.index.abandon(upload.id).await.unwrap();
    assert!(!renew(2_000, 3_000).await, "it is gone");
}

pub(crate) async fn attaching_replaces_and_names_the_other_object(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    let (first, second) = (attachment(1), attachment(2));
    let attached = case.index.attach(upload.id, &first, None, 1).await;
    assert_eq!(attached.unwrap(), AttachOutcome::Attached(None));
    let attached = case.index.attach(upload.id, &second, None, 1).await;
    assert_eq!(attached.unwrap(), AttachOutcome::Attached(Some(first.object)));
    let there = case.index.get_upload(&upload.name).await.unwrap().unwrap();
    assert_eq!(there.attachment, Some(second));
}

pub(crate) async fn attaching_the_same_object_again_names_none(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    let content = attachment(1);
    for _ in 0..2 {
        let attached = case.index.attach(upload.id, &content, None, 1).await;
        assert_eq!(attached.unwrap(), AttachOutcome::Attached(None));
    }
}

pub(crate) async fn attaching_to_a_missing_upload_is_gone(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    case.index.abandon(upload.id).await.unwrap();
    let attached = case.index.attach(upload.id, &attachment(1), None, 1).await;
    assert_eq!(attached.unwrap(), AttachOutcome::Gone);
    assert_eq!(case.index.find_upload(&upload.slot).await.unwrap(), None);
}

pub(crate) async fn attaching_notes_the_activity_which_never_goes_back(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1_000).await;
    for (now_ms, last_activity_ms) in [(3_000, 3_000), (2_000, 3_000), (4_000, 4_000)] {
        case.index.attach(upload.id, &attachment(1), None, now_ms).await.unwrap();
        let there = case.index.get_upload(&upload.name).await.unwrap().unwrap();
        assert_eq!((there.last_activity_ms, there.created_ms), (last_activity_ms, 1_000));
    }
}

pub(crate) async fn finalizing_turns_the_upload_into_the_entry(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1_000).await;
    let content = attachment(1 << 40);
    case.index.attach(upload.id, &content, None, 1_500).await.unwrap();
    let made = case.index.finalize(upload.id, &content, &Durability::Durable, 2_000).await;
    let entry = made.unwrap().expect("an entry");
    let expected = Entry {
        id: entry.id,
        slot: case.key("k"),
        object: content.object,
        size_bytes: 1 << 40,
        created_ms: 2_000,
        last_used_ms: 2_000,
        owner: Some(upload.owner),
    };
    assert_eq!(entry, expected);
    assert_eq!(case.index.get_entry(entry.id).await.unwrap(), Some(entry));
    assert_eq!(case.exact("k").await.as_deref(), Some("k"));
    assert_eq!(case.index.get_upload(&upload.name).await.unwrap(), None);
    assert_eq!(case.index.find_upload(&upload.slot).await.unwrap(), None);
}

pub(crate) async fn an_entry_is_found_by_the_number_of_its_upload(case: &Case) {
    let (upload, content) = (case.reserve(&case.key("k"), 1).await, attachment(7));
    case.index.attach(upload.id, &content, None, 1).await.unwrap();
    assert_eq!(case.index.get_entry_of_upload(upload.id).await.unwrap(), None);
    let entry = case.index.finalize(upload.id, &content, &Durability::Durable, 2).await.unwrap();
    assert!(entry.is_some());
    assert_eq!(case.index.get_entry_of_upload(upload.id).await.unwrap(), entry);
    let other = case.reserve(&case.key("other"), 1).await;
    assert_eq!(case.index.get_entry_of_upload(other.id).await.unwrap(), None);
    case.index.delete_entry(entry.unwrap().id, &DELETED).await.unwrap();
    assert_eq!(case.index.get_entry_of_upload(upload.id).await.unwrap(), None);
}

pub(crate) async fn finalizing_twice_makes_one_entry(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    let content = attachment(1);
    case.index.attach(upload.id, &content, None, 1).await.unwrap();
    let first = case.index.finalize(upload.id, &content, &Durability::Durable, 2).await.unwrap();
    let second = case.index.finalize(upload.id, &content, &Durability::Durable, 3).await.unwrap();
    assert_eq!(second, None);
    let found = case.index.find(&case.repository, "v", &[exact("k")], &[]).await;
    assert_eq!(found.unwrap(), first);
}

pub(crate) async fn finalizing_without_the_attachment_changes_nothing(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    let (content, other) = (attachment(1), attachment(1));
    let mut longer = content.clone();
    longer.size_bytes += 1;
    let finalize = |content| case.index.finalize(upload.id, content, &Durability::Durable, 1);
    assert_eq!(finalize(&content).await.unwrap(), None, "nothing is attached");
    case.index.attach(upload.id, &content, None, 1).await.unwrap();
    assert_eq!(finalize(&other).await.unwrap(), None, "another object");
    assert_eq!(finalize(&longer).await.unwrap(), None, "another size");
    let there = case.index.get_upload(&upload.name).await.unwrap().expect("the upload");
    assert_eq!(there.attachment.as_ref(), Some(&content));
    assert_eq!(case.exact("k").await, None);
    assert!(finalize(&content).await.unwrap().is_some());
}

pub(crate) async fn finalizing_a_missing_upload_is_none(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    let content = attachment(1);
    case.index.attach(upload.id, &content, None, 1).await.unwrap();
    case.index.abandon(upload.id).await.unwrap();
    for id in [upload.id, UploadId(0), UploadId(u64::MAX)] {
        let made = case.index.finalize(id, &content, &Durability::Durable, 1).await;
        assert_eq!(made.unwrap(), None);
    }
    assert_eq!(case.exact("k").await, None);
}

pub(crate) async fn entry_numbers_grow_and_are_never_used_again(case: &Case) {
    let mut last = case.entry("k").await.id;
    for _ in 0..5 {
        assert!(case.index.delete_entry(last, &DELETED).await.unwrap());
        let next = case.entry("k").await.id;
        assert!(last < next && next.0 < 1 << 53);
        assert_eq!(case.index.get_entry(last).await.unwrap(), None);
        last = next;
    }
}

pub(crate) async fn abandoning_frees_the_slot_once(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    assert!(case.index.abandon(upload.id).await.unwrap());
    assert!(!case.index.abandon(upload.id).await.unwrap());
    assert_eq!(case.index.find_upload(&upload.slot).await.unwrap(), None);
    case.reserve(&upload.slot, 1).await;
}

pub(crate) async fn abandoning_idle_spares_an_active_upload(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1_000).await;
    assert!(!case.index.abandon_idle(upload.id, 1_000).await.unwrap());
    assert!(case.index.get_upload(&upload.name).await.unwrap().is_some());
    assert!(case.index.abandon_idle(upload.id, 1_001).await.unwrap());
    assert!(!case.index.abandon_idle(upload.id, u64::MAX).await.unwrap());
    assert_eq!(case.index.get_upload(&upload.name).await.unwrap(), None);
}

pub(crate) async fn touching_uploads_never_goes_back(case: &Case) {
    let one = case.reserve(&case.key("1"), 1_000).await;
    let two = case.reserve(&case.key("2"), 1_000).await;
    let gone = UploadName::parse("0".repeat(32)).unwrap();
    let uses = [(one.name.clone(), 3_000), (gone, 1), (two.name.clone(), 500), (one.name.clone(), 2_000)];
    case.index.touch_uploads(&uses).await.unwrap();
    case.index.touch_uploads(&[]).await.unwrap();
    let one = case.index.get_upload(&one.name).await.unwrap().unwrap();
    let two = case.index.get_upload(&two.name).await.unwrap().unwrap();
    assert_eq!((one.last_activity_ms, two.last_activity_ms), (3_000, 1_000));
}

pub(crate) async fn the_largest_numbers_are_no_error(case: &Case) {
    let largest = i64::MAX as u64;
    let upload = case.reserve(&case.key("k"), largest).await;
    let content = attachment(largest);
    case.index.attach(upload.id, &content, None, largest).await.unwrap();
    let made = case.index.finalize(upload.id, &content, &Durability::Durable, largest).await;
    let entry = made.unwrap().expect("an entry");
    assert_eq!((entry.size_bytes, entry.created_ms), (largest, largest));
    assert!(!case.index.abandon(UploadId(u64::MAX)).await.unwrap());
    assert!(!case.index.abandon_idle(UploadId(u64::MAX), u64::MAX).await.unwrap());
    let listed = case.index.list_uploads(UploadId(u64::MAX), usize::MAX).await;
    assert_eq!(listed.unwrap(), []);
    case.index.touch_entries(&[EntryUses::once(entry.id, u64::MAX)]).await.unwrap();
}
