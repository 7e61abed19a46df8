//! Promises about parts of a tenant's entries and uploads.

use larder_common::facts::Facts;
use larder_storage::Digest;

use super::{Case, attachment};
use crate::{
    Durability, Entry, EntryDetails, EntryId, EntryUses, LeastRecent, MatchKind, NO_FACTS, Reservation,
    SavedBy, Slot, Trust, UnusedPage, Upload, UploadId, Within,
};

/// Makes an entry at this time, which is its last use.
pub(crate) async fn entry(case: &Case, slot: &Slot, facts: &Facts, trust: Trust, at_ms: u64) -> Entry {
    let reserved = case.index.reserve(slot, "o", facts, trust, at_ms, 0).await.unwrap();
    let Reservation::Reserved(upload) = reserved else { panic!("the slot was taken: {reserved:?}") };
    let content = attachment(1);
    case.index.attach(upload.id, &content, None, at_ms).await.unwrap();
    case.index.finalize(upload.id, &content, &Durability::Durable, at_ms).await.unwrap().unwrap()
}

fn ids(entries: &[Entry]) -> Vec<EntryId> {
    entries.iter().map(|entry| entry.id).collect()
}

fn scope(case: &Case, scope: &str) -> Within {
    Within::Scope { repository: case.repository.clone(), scope: scope.to_owned() }
}

pub(super) async fn least_recent(case: &Case, within: &Within, trust: Option<Trust>) -> Vec<EntryId> {
    let whole = case.index.least_recent(within, trust, None, 100).await.unwrap();
    // The same in pages of any length.
    for limit in [1, 2, 3] {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = case.index.least_recent(within, trust, after, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some((last.last_used_ms, last.id));
            paged.extend(page);
        }
        assert_eq!(paged, whole);
    }
    ids(&whole)
}

pub(crate) async fn entries_are_listed_by_their_last_use(case: &Case) {
    let repository = Within::Repository(case.repository.clone());
    assert_eq!(least_recent(case, &repository, None).await, []);
    let mut made = Vec::new();
    for (place, version, trust, at_ms) in [
        ("main", "v", Trust::Full, 4_000),
        ("main", "w", Trust::Low, 1_000),
        ("refs/pull/1/merge", "v", Trust::Low, 2_000),
        ("refs/pull/1/merge", "w", Trust::Full, 2_000),
        ("main", "x", Trust::Full, 2_000),
    ] {
        made.push(entry(case, &case.slot(place, version, "k"), &NO_FACTS, trust, at_ms).await.id);
    }
    let of = |places: &[usize]| -> Vec<EntryId> { places.iter().map(|place| made[*place]).collect() };
    assert_eq!(least_recent(case, &repository, None).await, of(&[1, 2, 3, 4, 0]));
    assert_eq!(least_recent(case, &repository, Some(Trust::Low)).await, of(&[1, 2]));
    assert_eq!(least_recent(case, &repository, Some(Trust::Full)).await, of(&[3, 4, 0]));
    assert_eq!(least_recent(case, &scope(case, "main"), None).await, of(&[1, 4, 0]));
    assert_eq!(least_recent(case, &scope(case, "main"), Some(Trust::Full)).await, of(&[4, 0]));
    assert_eq!(least_recent(case, &scope(case, "refs/pull/1/merge"), None).await, of(&[2, 3]));
    assert_eq!(least_recent(case, &scope(case, "Main"), None).await, []);
    case.index.touch_entries(&[EntryUses::once(made[1], 3_000)]).await.unwrap();
    assert_eq!(least_recent(case, &repository, None).await, of(&[2, 3, 4, 1, 0]));
    case.index.cap_last_used(&[made[0]], 500).await.unwrap();
    assert_eq!(least_recent(case, &repository, None).await, of(&[0, 2, 3, 4, 1]));
    assert_eq!(case.index.least_recent(&repository, None, None, 0).await.unwrap(), []);
    let after = Some((2_000, EntryId(u64::MAX)));
    assert_eq!(ids(&case.index.least_recent(&repository, None, after, 9).await.unwrap()), of(&[1]));
}

pub(crate) async fn entries_are_listed_with_their_details(case: &Case) {
    let within = Within::Repository(case.repository.clone());
    let facts = Facts::try_from(&[("run_id", "7"), ("actor", "octocat")][..]).unwrap();
    let (mut made, mut expected) = (Vec::new(), Vec::new());
    for (key, trust, at_ms) in [
        ("1", Trust::Full, 3_000),
        ("2", Trust::Low, 1_000),
        ("3", Trust::Full, 2_000),
        ("4", Trust::Low, 2_000),
    ] {
        made.push(entry(case, &case.key(key), &facts, trust, at_ms).await);
    }
    case.index.touch_entries(&[EntryUses { id: made[0].id, last_used_ms: 9_000, count: 7 }]).await.unwrap();
    case.index.set_quarantined(&[made[1].id], Some(5)).await.unwrap();
    let digest = Digest::Whole([7; 32]);
    assert!(case.index.record_digest(made[2].id, &made[2].object, &digest).await.unwrap());
    made[0].last_used_ms = 9_000;
    let known = |id, uses, trust| EntryDetails {
        id,
        facts: Some(facts.clone()),
        uses: Some(uses),
        trust: Some(trust),
        quarantined_ms: None,
        digest: None,
    };
    for place in [1, 2, 3, 0] {
        let uses = if place == 0 { 7 } else { 0 };
        let trust = if place % 2 == 0 { Trust::Full } else { Trust::Low };
        expected.push((made[place].clone(), known(made[place].id, uses, trust)));
    }
    expected[0].1.quarantined_ms = Some(5);
    expected[1].1.digest = Some(digest);
    let listed = async |within: &Within, trust, after, limit| {
        let page = LeastRecent { within: within.clone(), trust, after, limit };
        case.index.list_unused(&page, u64::MAX).await.unwrap().entries
    };
    for within in [&within, &scope(case, &made[0].slot.scope)] {
        assert_eq!(listed(within, None, None, 9).await, expected);
        assert_eq!(listed(within, None, None, 0).await, []);
        assert_eq!(listed(within, None, Some((1_000, made[1].id)), 2).await, expected[1..3]);
        let low = [expected[0].clone(), expected[2].clone()];
        assert_eq!(listed(within, Some(Trust::Low), None, 9).await, low);
        assert_eq!(listed(within, Some(Trust::Full), Some((2_000, made[2].id)), 9).await, expected[3..]);
    }
    // What was used after a time is left out, and counts all the same. A save is no use.
    let page = |after, limit| LeastRecent { within: within.clone(), trust: None, after, limit };
    let place = |at: usize| Some((expected[at].0.last_used_ms, expected[at].0.id));
    for (page, used_after_ms, entries, next) in [
        (page(None, 9), 9_000, &expected[..], None),
        (page(None, 9), 8_999, &expected[..3], None),
        (page(None, 4), 8_999, &expected[..3], place(3)),
        (page(place(2), 1), 8_999, &[], place(3)),
        (page(None, 2), 0, &expected[..2], place(1)),
        (page(place(3), 1), 0, &[], None),
        (page(None, 0), 0, &[], None),
    ] {
        let read = case.index.list_unused(&page, used_after_ms).await.unwrap();
        assert_eq!(read, UnusedPage { entries: entries.to_vec(), next }, "{page:?} {used_after_ms}");
    }
    // Of the tenant, those of other cases are among them.
    let mut of_tenant = listed(&Within::Tenant, None, Some((0, EntryId(0))), usize::MAX).await;
    of_tenant.retain(|(entry, _)| entry.slot.repository == case.repository);
    assert_eq!(of_tenant, expected);
}

pub(crate) async fn long_scopes_are_told_apart(case: &Case) {
    let scopes = ["1", "2"].map(|end| format!("refs/heads/{}{end}", "s".repeat(400)));
    let mut made = Vec::new();
    for place in &scopes {
        let slot = case.slot(place, "v", "k");
        made.push(entry(case, &slot, &NO_FACTS, Trust::Full, 1_000).await.id);
        case.reserve(&case.slot(place, "v", "upload"), 1_000).await;
    }
    for (place, made) in scopes.iter().zip(made) {
        assert_eq!(least_recent(case, &scope(case, place), None).await, [made]);
        let uploads = case.index.uploads_in_scope(&case.repository, place, UploadId(0), 9).await.unwrap();
        assert_eq!(uploads.iter().map(|upload| &upload.slot.scope).collect::<Vec<_>>(), [place]);
    }
}

pub(crate) async fn a_key_is_found_in_any_place(case: &Case) {
    let mut made = Vec::new();
    for (place, version, key) in
        [("main", "v", "Key"), ("main", "v", "Key-2"), ("feature", "v", "kEY"), ("main", "w", "key")]
    {
        let slot = case.slot(place, version, key);
        made.push(entry(case, &slot, &NO_FACTS, Trust::Full, 1_000).await);
    }
    let near = async |key: &str, limit| -> Vec<_> {
        let near = case.index.list_near(&case.repository, key, MatchKind::Exact, limit).await.unwrap();
        near.into_iter().map(|near| near.entry).collect()
    };
    assert_eq!(near("KEY", 9).await, [3, 2, 0].map(|place: usize| made[place].clone()));
    assert_eq!(near("key", 1).await, [made[3].clone()]);
    assert_eq!(near("key", 0).await, []);
    assert_eq!(near("ke", 9).await, []);
    let elsewhere = super::unique("other");
    for kind in [MatchKind::Exact, MatchKind::Prefix] {
        assert_eq!(case.index.list_near(&elsewhere, "key", kind, 9).await.unwrap(), []);
    }
    let long = ["1", "2"].map(|end| format!("{}{end}", "L".repeat(511)));
    for key in &long {
        case.entry(key).await;
    }
    assert_eq!(near(&long[0].to_lowercase(), 9).await.len(), 1);
}

pub(crate) async fn uploads_of_a_key_are_found_in_any_place(case: &Case) {
    let mut made: Vec<Upload> = Vec::new();
    let long = "L".repeat(512);
    for (place, version, key) in
        [("main", "v", "Key"), ("main", "v", "Key-2"), ("feature", "v", "kEY"), ("main", "w", &long)]
    {
        made.push(case.reserve(&case.slot(place, version, key), 1_000).await);
    }
    let near = async |key: &str, limit| {
        case.index.uploads_near(&case.repository, key, MatchKind::Exact, limit).await.unwrap()
    };
    assert_eq!(near("KEY", 9).await, [made[2].clone(), made[0].clone()]);
    assert_eq!(near("KEY", 1).await, [made[2].clone()]);
    assert_eq!(near(&"l".repeat(512), 9).await, [made[3].clone()]);
    assert_eq!(near(&"l".repeat(511), 9).await, []);
    let elsewhere = super::unique("other");
    for kind in [MatchKind::Exact, MatchKind::Prefix] {
        assert_eq!(case.index.uploads_near(&elsewhere, "key", kind, 9).await.unwrap(), []);
    }
}

pub(crate) async fn keys_with_a_prefix_are_found_in_any_place(case: &Case) {
    let long = |end: &str| format!("{}{end}", "L".repeat(300));
    let keys = ["a", "Index-1", "index-2", "INDEX-3", "index", "inde\u{10ffff}", &long("1"), &long("2")];
    for (place, key) in keys.iter().enumerate() {
        case.entry_at(&case.slot(&place.to_string(), "v", key), &Durability::Durable, 1_000).await;
        case.reserve(&case.slot(&place.to_string(), "w", key), 1_000).await;
    }
    for (prefix, expected) in [
        ("index-", &keys[1..4]),
        ("INDE", &keys[1..6]),
        ("", &keys[..]),
        ("b", &[]),
        (&long("").to_lowercase(), &keys[6..]),
        (&long("2"), &keys[7..]),
    ] {
        let kind = MatchKind::Prefix;
        let near = case.index.list_near(&case.repository, prefix, kind, 100).await.unwrap();
        let mut found: Vec<&str> = near.iter().map(|near| &*near.entry.slot.key).collect();
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{prefix}");
        let uploads = case.index.uploads_near(&case.repository, prefix, kind, 100).await.unwrap();
        let mut found: Vec<&str> = uploads.iter().map(|upload| &*upload.slot.key).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{prefix}");
    }
    let some = case.index.list_near(&case.repository, "index-", MatchKind::Prefix, 2).await.unwrap();
    assert_eq!(some.len(), 2);
    assert!(some.iter().all(|near| near.entry.slot.key.to_lowercase().starts_with("index-")));
}

pub(crate) async fn uploads_of_a_scope_are_listed_in_pages(case: &Case) {
    let mut made = Vec::new();
    for (place, key) in [("main", "1"), ("feature", "2"), ("main", "3"), ("main", "4")] {
        made.push(case.reserve(&case.slot(place, "v", key), 1_000).await);
    }
    let listed = async |after: UploadId, limit| {
        case.index.uploads_in_scope(&case.repository, "main", after, limit).await.unwrap()
    };
    let of = |places: &[usize]| -> Vec<Upload> { places.iter().map(|place| made[*place].clone()).collect() };
    assert_eq!(listed(UploadId(0), 9).await, of(&[0, 2, 3]));
    assert_eq!(listed(UploadId(0), 2).await, of(&[0, 2]));
    assert_eq!(listed(made[2].id, 9).await, of(&[3]));
    assert_eq!(listed(made[3].id, 9).await, []);
}

pub(crate) async fn what_somebody_saved_is_found_in_pages(case: &Case) {
    let facts = |actor: &str| Facts::try_from(&[("actor", actor), ("run_id", "7")][..]).unwrap();
    let mut made = Vec::new();
    for (place, key, actor, at_ms) in
        [("main", "1", "octocat", 1_000), ("main", "2", "mallory", 2_000), ("feature", "3", "mallory", 3_000)]
    {
        let slot = case.slot(place, "v", key);
        made.push(entry(case, &slot, &facts(actor), Trust::Full, at_ms).await.id);
    }
    made.push(entry(case, &case.key("4"), &NO_FACTS, Trust::Full, 2_000).await.id);
    case.index.set_quarantined(&[made[1]], Some(9)).await.unwrap();
    let own = SavedBy { repositories: vec![case.repository.clone()], ..SavedBy::default() };
    let find = async |by: &SavedBy, limit| -> Vec<_> {
        let (mut found, mut after) = (Vec::new(), EntryId(made[0].0 - 1));
        loop {
            let page = case.index.find_saved(by, after, limit).await.unwrap();
            found.extend(page.found.into_iter().map(|(entry, details)| {
                assert_eq!(entry.id, details.id);
                entry.id
            }));
            let Some(next) = page.next else { return found };
            assert!(next > after);
            after = next;
        }
    };
    let actor = |name: &str| vec![("actor".to_owned(), name.to_owned())];
    for limit in [1, 3, 1_000] {
        assert_eq!(find(&own, limit).await, made);
        let by = SavedBy { facts: actor("mallory"), ..own.clone() };
        assert_eq!(find(&by, limit).await, made[1..3]);
        let by = SavedBy { facts: actor("Mallory"), ..own.clone() };
        assert_eq!(find(&by, limit).await, made[1..3], "as platforms compare names");
        let by = SavedBy { facts: actor("mallory"), scope: Some("main".to_owned()), ..own.clone() };
        assert_eq!(find(&by, limit).await, made[1..2]);
        let by = SavedBy { from_ms: Some(2_000), to_ms: Some(2_000), ..own.clone() };
        assert_eq!(find(&by, limit).await, [made[1], made[3]]);
        let by = SavedBy { facts: actor("nobody"), ..own.clone() };
        assert_eq!(find(&by, limit).await, []);
        let by = SavedBy { git_ref: Some("feature".to_owned()), ..own.clone() };
        assert_eq!(find(&by, limit).await, made[2..3]);
    }
    let by = SavedBy { facts: actor("mallory"), ..own };
    let page = case.index.find_saved(&by, EntryId(made[0].0 - 1), 1_000).await.unwrap();
    assert_eq!(page.unknown, 1, "the last one has no facts");
}
