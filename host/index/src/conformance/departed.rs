//! Promises about entries that were deleted.

use super::{Case, DELETED, attachment};
use crate::{
    Cause, Departed, Departure, Durability, Entry, EntryUses, MatchKind, NO_FACTS, Reservation, Slot, Trust,
};

async fn find(case: &Case, key: &str, kind: MatchKind) -> Vec<Departed> {
    case.index.find_departed(&case.repository, key, kind, 100).await.unwrap()
}

async fn keys(case: &Case, key: &str, kind: MatchKind) -> Vec<String> {
    find(case, key, kind).await.into_iter().map(|departed| departed.slot.key).collect()
}

fn departure(cause: Cause, at_ms: u64) -> Departure {
    Departure { cause, at_ms }
}

/// Makes an entry whose saver has this trust.
async fn entry_of(case: &Case, slot: &Slot, trust: Trust) -> Entry {
    let reserved = case.index.reserve(slot, "o", &NO_FACTS, trust, 1_000, 0).await.unwrap();
    let Reservation::Reserved(upload) = reserved else { panic!("the slot was taken: {reserved:?}") };
    assert_eq!(upload.trust, trust);
    let content = attachment(7);
    case.index.attach(upload.id, &content, None, 1_000).await.unwrap();
    case.index.finalize(upload.id, &content, &Durability::Durable, 1_000).await.unwrap().unwrap()
}

pub(crate) async fn a_deletion_is_recorded_with_all_that_was_known(case: &Case) {
    let entry = entry_of(case, &case.slot("refs/pull/1/merge", "v1", "Key"), Trust::Low).await;
    let used = EntryUses { id: entry.id, last_used_ms: 3_000, count: 2 };
    case.index.touch_entries(&[used]).await.unwrap();
    assert_eq!(find(case, "Key", MatchKind::Exact).await, []);
    let departure = departure(Cause::Quota, 5_000);
    assert!(case.index.delete_entry(entry.id, &departure).await.unwrap());
    let expected = Departed {
        entry: entry.id,
        slot: entry.slot,
        object: Some(entry.object),
        size_bytes: 7,
        created_ms: 1_000,
        last_used_ms: 3_000,
        uses: Some(2),
        trust: Some(Trust::Low),
        departure,
    };
    assert_eq!(find(case, "Key", MatchKind::Exact).await, [expected]);
}

pub(crate) async fn each_cause_is_kept(case: &Case) {
    let long = Cause::Rule("ä".repeat(150));
    let causes = [
        Cause::Age,
        Cause::NeverUsed,
        Cause::MaxAge,
        Cause::Superseded,
        Cause::Size,
        Cause::Quota,
        Cause::Stale,
        Cause::Manual,
        Cause::Revoked,
        Cause::ClosedScope,
        Cause::Rule("keep the newest".to_owned()),
        Cause::Rule("age".to_owned()),
        long.clone(),
    ];
    for cause in causes {
        let entry = case.entry("k").await;
        let departure = departure(cause.clone(), 2_000);
        assert!(case.index.delete_entry_unused(entry.id, 1_000, &departure).await.unwrap());
        let latest = find(case, "k", MatchKind::Exact).await.remove(0);
        let stored = if cause == long { Cause::Rule("ä".repeat(100)) } else { cause };
        assert_eq!((latest.entry, latest.departure.cause), (entry.id, stored));
    }
}

pub(crate) async fn what_is_not_deleted_has_not_departed(case: &Case) {
    let entry = case.entry("k").await;
    case.index.touch_entries(&[EntryUses::once(entry.id, 2_000)]).await.unwrap();
    assert!(!case.index.delete_entry_unused(entry.id, 1_000, &DELETED).await.unwrap());
    assert_eq!(find(case, "", MatchKind::Prefix).await, []);
    assert!(case.index.delete_entry(entry.id, &DELETED).await.unwrap());
    assert!(!case.index.delete_entry(entry.id, &DELETED).await.unwrap());
    assert_eq!(keys(case, "", MatchKind::Prefix).await, ["k"]);
    // An upload that is given up was never an entry.
    let upload = case.reserve(&case.key("k"), 1_000).await;
    case.index.abandon(upload.id).await.unwrap();
    assert_eq!(keys(case, "", MatchKind::Prefix).await, ["k"]);
}

pub(crate) async fn the_departed_are_found_by_key_in_any_place_the_latest_first(case: &Case) {
    let slots =
        [("main", "v"), ("feature", "v"), ("main", "w")].map(|(scope, version)| (scope, version, "Key"));
    let mut ids = Vec::new();
    for (scope, version, key) in slots.into_iter().chain([("main", "v", "Key-2"), ("main", "v", "other")]) {
        ids.push(case.entry_at(&case.slot(scope, version, key), &Durability::Durable, 1_000).await.id);
    }
    // Not in the order in which they were made.
    for id in [2, 0, 3, 1, 4].map(|place| ids[place]) {
        case.index.delete_entry(id, &DELETED).await.unwrap();
    }
    let found = async |key: &str, kind| -> Vec<_> {
        find(case, key, kind).await.iter().map(|departed| departed.entry).collect()
    };
    assert_eq!(found("kEY", MatchKind::Exact).await, [ids[1], ids[0], ids[2]]);
    assert_eq!(found("key", MatchKind::Prefix).await, [ids[1], ids[3], ids[0], ids[2]]);
    assert_eq!(found("ke", MatchKind::Exact).await, []);
    assert_eq!(found("", MatchKind::Prefix).await, [4, 1, 3, 0, 2].map(|place| ids[place]));
    let two = case.index.find_departed(&case.repository, "key", MatchKind::Prefix, 2).await.unwrap();
    assert_eq!(two.iter().map(|departed| departed.entry).collect::<Vec<_>>(), [ids[1], ids[3]]);
    assert_eq!(case.index.find_departed(&case.repository, "key", MatchKind::Exact, 0).await.unwrap(), []);
    let elsewhere = super::unique("another");
    assert_eq!(case.index.find_departed(&elsewhere, "key", MatchKind::Exact, 9).await.unwrap(), []);
}

pub(crate) async fn long_texts_of_the_departed_are_told_apart(case: &Case) {
    // 255 bytes are stored as they are, and more with a digest. The cut is within a character.
    let start = format!("{}ä", "k".repeat(199));
    let long = ["1", "2"].map(|end| format!("{start}{}{end}", "k".repeat(300)));
    let whole = format!("{start}{}", "k".repeat(255 - start.len()));
    for key in [&long[0], &long[1], &whole] {
        let slot = case.slot(&"s".repeat(300), &"v".repeat(300), key);
        let entry = case.entry_at(&slot, &Durability::Durable, 1_000).await;
        case.index.delete_entry(entry.id, &DELETED).await.unwrap();
    }
    assert_eq!(keys(case, &whole, MatchKind::Exact).await, [&*whole]);
    let [first] = &find(case, &long[0].to_uppercase().replace('Ä', "ä"), MatchKind::Exact).await[..] else {
        panic!("one of them");
    };
    for (text, start) in [(&first.slot.scope, "s"), (&first.slot.version, "v"), (&first.slot.key, "k")] {
        assert!(text.starts_with(&start.repeat(199)), "{text}");
        assert!((264..=266).contains(&text.len()), "{text}");
    }
    assert_eq!(find(case, &start[..199], MatchKind::Prefix).await.len(), 3);
    assert_eq!(case.index.find_departed(&"r".repeat(300), "k", MatchKind::Exact, 1).await.unwrap(), []);
}

pub(crate) async fn a_departed_key_with_any_bytes_is_whole(case: &Case) {
    for key in ["", "\0", "k\0x", "Ünï-KEY 'q' \\ %", "  "] {
        let entry = case.entry(key).await;
        case.index.delete_entry(entry.id, &DELETED).await.unwrap();
        assert_eq!(keys(case, key, MatchKind::Exact).await, [key]);
    }
}
