//! Promises about facts, uses, and names of repositories.

use larder_common::facts::{CLAIMS, MAX_TOTAL_BYTES};

use super::{Case, DELETED, attachment, exact, unique};
use crate::{
    Durability, Entry, EntryDetails, EntryId, EntryUses, Facts, NO_FACTS, RepositoryName, Reservation, Slot,
    Trust, Upload, UploadId,
};

/// Facts of a run.
fn run(id: &str) -> Facts {
    Facts::try_from(&[("run_id", id), ("actor", "octocat")][..]).unwrap()
}

async fn reserve(case: &Case, slot: &Slot, facts: &Facts, now_ms: u64) -> Upload {
    match case.index.reserve(slot, "o", facts, Trust::Full, now_ms, now_ms).await.unwrap() {
        Reservation::Reserved(upload) => upload,
        other => panic!("the slot was taken: {other:?}"),
    }
}

async fn finalize(case: &Case, upload: &Upload) -> Entry {
    let content = attachment(1);
    case.index.attach(upload.id, &content, None, 1_000).await.unwrap();
    case.index.finalize(upload.id, &content, &Durability::Durable, 1_000).await.unwrap().unwrap()
}

pub(super) async fn details(case: &Case, id: EntryId) -> EntryDetails {
    let [details] = &case.index.entry_details(&[id]).await.unwrap()[..] else { panic!("no details") };
    details.clone()
}

pub(crate) async fn an_entry_has_the_facts_of_its_reservation(case: &Case) {
    let slot = case.key("k");
    let upload = reserve(case, &slot, &run("1"), 1_000).await;
    assert_eq!(case.index.upload_facts(upload.id).await.unwrap(), Some(run("1")));
    // Whoever comes to a slot that is taken changes nothing.
    let again = case.index.reserve(&slot, "o", &run("2"), Trust::Full, 2_000, 500).await.unwrap();
    assert_eq!(again, Reservation::Upload(upload.clone()));
    let entry = finalize(case, &upload).await;
    let again = case.index.reserve(&slot, "o", &run("3"), Trust::Full, 2_000, 500).await.unwrap();
    assert_eq!(again, Reservation::Entry(entry.clone()));
    let expected = EntryDetails {
        id: entry.id,
        facts: Some(run("1")),
        uses: Some(0),
        trust: Some(Trust::Full),
        quarantined_ms: None,
        digest: None,
    };
    assert_eq!(details(case, entry.id).await, expected);
    assert_eq!(case.index.upload_facts(upload.id).await.unwrap(), None, "it is an entry now");
}

pub(crate) async fn who_displaces_an_upload_brings_new_facts(case: &Case) {
    let slot = case.key("k");
    let idle = reserve(case, &slot, &run("1"), 1_000).await;
    let upload = reserve(case, &slot, &run("2"), 2_000).await;
    assert_eq!(case.index.upload_facts(idle.id).await.unwrap(), None);
    assert!(case.index.renew(upload.id, 2_000, 3_000).await.unwrap());
    let entry = finalize(case, &upload).await;
    assert_eq!(details(case, entry.id).await.facts, Some(run("2")));
}

pub(crate) async fn no_facts_are_not_unknown_facts(case: &Case) {
    let upload = reserve(case, &case.key("k"), &NO_FACTS, 1_000).await;
    assert_eq!(case.index.upload_facts(upload.id).await.unwrap(), Some(Facts::default()));
    let entry = finalize(case, &upload).await;
    assert_eq!(details(case, entry.id).await.facts, Some(Facts::default()));
    assert_eq!(case.index.upload_facts(UploadId(u64::MAX)).await.unwrap(), None);
}

pub(crate) async fn facts_are_whole_whatever_their_values(case: &Case) {
    let mut full = Facts::default();
    let each = MAX_TOTAL_BYTES / CLAIMS.len();
    for name in CLAIMS {
        full.insert(name, &"\\\"".repeat((each - name.len()) / 2)).unwrap();
    }
    let odd = [("ref", "refs/heads/Ünï '\"\\ % _ \u{10ffff}"), ("x-y.Z", "{\"a\":[]}"), ("n", "  ")];
    for (key, facts) in [("full", full), ("odd", Facts::try_from(&odd[..]).unwrap())] {
        let upload = reserve(case, &case.key(key), &facts, 1_000).await;
        let entry = finalize(case, &upload).await;
        assert_eq!(details(case, entry.id).await.facts, Some(facts));
    }
}

pub(crate) async fn details_are_those_of_entries_that_exist_in_order(case: &Case) {
    let (one, gone, two) = (case.entry("1").await, case.entry("2").await, case.entry("3").await);
    case.index.delete_entry(gone.id, &DELETED).await.unwrap();
    let asked = [two.id, EntryId(u64::MAX), gone.id, one.id, two.id];
    let found = case.index.entry_details(&asked).await.unwrap();
    assert_eq!(found.iter().map(|details| details.id).collect::<Vec<_>>(), [one.id, two.id]);
    assert_eq!(case.index.entry_details(&[]).await.unwrap(), []);
}

pub(crate) async fn uses_add_up(case: &Case) {
    let (one, two) = (case.entry("1").await, case.entry("2").await);
    let used = |id, last_used_ms, count| EntryUses { id, last_used_ms, count };
    let batch = [used(one.id, 3_000, 2), used(two.id, 2_000, 1), used(one.id, 2_500, 3)];
    case.index.touch_entries(&batch).await.unwrap();
    assert_eq!((details(case, one.id).await.uses, details(case, two.id).await.uses), (Some(5), Some(1)));
    // Of another server, which is late.
    case.index.touch_entries(&[used(one.id, 2_900, 4), used(EntryId(u64::MAX), 1, 1)]).await.unwrap();
    assert_eq!(details(case, one.id).await.uses, Some(9));
    let there = case.index.get_entry(one.id).await.unwrap().unwrap();
    assert_eq!(there.last_used_ms, 3_000);
    case.index.touch_entries(&[used(one.id, 4_000, u32::MAX)]).await.unwrap();
    assert_eq!(details(case, one.id).await.uses, Some(9 + u64::from(u32::MAX)));
}

pub(crate) async fn a_batch_that_is_repeated_counts_once(case: &Case) {
    let (one, two) = (case.entry("1").await, case.entry("2").await);
    let batch = [EntryUses { id: one.id, last_used_ms: 3_000, count: 2 }, EntryUses::once(two.id, 2_000)];
    for _ in 0..3 {
        case.index.touch_entries(&batch).await.unwrap();
        assert_eq!((details(case, one.id).await.uses, details(case, two.id).await.uses), (Some(2), Some(1)));
    }
    // The sweep that caps a time from the future changes no number.
    case.index.cap_last_used(&[one.id], 2_500).await.unwrap();
    assert_eq!(details(case, one.id).await.uses, Some(2));
}

pub(crate) async fn an_entry_that_is_made_again_was_never_used(case: &Case) {
    let first = case.entry("k").await;
    case.index.touch_entries(&[EntryUses::once(first.id, 2_000)]).await.unwrap();
    case.index.delete_entry(first.id, &DELETED).await.unwrap();
    let second = case.entry("k").await;
    assert_eq!(details(case, second.id).await.uses, Some(0));
    let found = case.index.find(&case.repository, "v", &[exact("k")], &[]).await.unwrap();
    assert_eq!(found, Some(second));
}

/// A name of a repository.
pub(super) fn named(repository: &str, name: &str, named_ms: u64) -> RepositoryName {
    RepositoryName { repository: repository.to_owned(), name: name.to_owned(), named_ms }
}

async fn name(case: &Case, names: &[RepositoryName]) {
    case.index.name_repositories(names, usize::MAX).await.unwrap();
}

pub(crate) async fn of_the_names_of_a_repository_the_latest_counts(case: &Case) {
    let (one, two) = (unique("1"), unique("2"));
    let name_of = async |repository: &str| case.index.repository_name(repository).await.unwrap();
    name(case, &[named(&one, "a/new", 2_000), named(&two, "b/x", 1_000), named(&one, "a/old", 1_000)]).await;
    assert_eq!(
        (name_of(&one).await.as_deref(), name_of(&two).await.as_deref()),
        (Some("a/new"), Some("b/x"))
    );
    name(case, &[named(&one, "a/older", 1_999)]).await;
    assert_eq!(name_of(&one).await.as_deref(), Some("a/new"));
    for _ in 0..2 {
        name(case, &[named(&one, "a/renamed", 2_000)]).await;
        assert_eq!(name_of(&one).await.as_deref(), Some("a/renamed"));
    }
    assert_eq!(name_of(&unique("3")).await, None);
    name(case, &[]).await;
}

pub(crate) async fn repositories_are_found_by_their_name_in_any_case(case: &Case) {
    let (one, two, owner) = (unique("1"), unique("2"), unique("Octo"));
    let find = async |name: &str| case.index.find_repositories(name).await.unwrap();
    let mixed = format!("{owner}/Hello");
    name(case, &[named(&one, &mixed, 1_000), named(&two, &mixed.to_ascii_lowercase(), 2_000)]).await;
    assert_eq!(find(&mixed.to_ascii_uppercase()).await, [two.clone(), one.clone()]);
    name(case, &[named(&two, &format!("{owner}/renamed"), 3_000)]).await;
    assert_eq!(find(&mixed).await, [one]);
    assert_eq!(find(&format!("{owner}/renamed")).await, [two]);
    assert_eq!(find(&owner).await, [""; 0]);
}

pub(crate) async fn names_that_are_too_long_are_ignored(case: &Case) {
    let (one, long) = (unique("1"), "x".repeat(256));
    let most = long[..255].to_owned();
    name(case, &[named(&one, &long, 1_000), named(&long, "a/b", 1_000)]).await;
    assert_eq!(case.index.repository_name(&one).await.unwrap(), None);
    assert_eq!(case.index.repository_name(&long).await.unwrap(), None);
    name(case, &[named(&one, &most, 1_000)]).await;
    assert_eq!(case.index.repository_name(&one).await.unwrap(), Some(most));
}
