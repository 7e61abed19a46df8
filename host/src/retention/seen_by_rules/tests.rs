#![expect(clippy::unwrap_used, reason = "tests")]

use larder_common::facts::LIFETIME;
use larder_index::{Entry, EntryDetails, EntryId, Facts, Slot, Trust};
use larder_storage::ObjectName;

use super::{is_past_lifetime, seen_by_rules};

const SAVED_MS: u64 = 1_000_000;

fn entry() -> Entry {
    let [repository, scope, version, key] = ["1", "refs/pull/7/merge", "v", "k"].map(str::to_owned);
    Entry {
        id: EntryId(1),
        slot: Slot { repository, scope, version, key },
        object: ObjectName::parse("object").unwrap(),
        size_bytes: 1025,
        created_ms: SAVED_MS,
        last_used_ms: SAVED_MS + 2_000,
        owner: None,
    }
}

fn details(facts: &[(&str, &str)]) -> EntryDetails {
    let facts = Some(Facts::try_from(facts).unwrap());
    EntryDetails {
        id: EntryId(1),
        facts,
        uses: Some(u64::MAX),
        trust: None,
        quarantined_ms: None,
        digest: None,
    }
}

#[test]
fn rules_see_ages_rounded_sizes_and_the_guessed_trust() {
    let seen = seen_by_rules(&entry(), &details(&[("actor", "octo"), ("label.a", "b")]), SAVED_MS + 5_999);
    assert_eq!((seen.size_kib, seen.age_s, seen.idle_s), (2, 5, 3));
    assert_eq!((seen.uses, seen.trust), (Some(larder_rules::MAX_NUMBER), larder_rules::Trust::Low));
    assert_eq!(Trust::of(None, "refs/pull/7/merge"), Trust::Low);
    let pairs =
        [("actor", "octo"), ("label.a", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(seen.provenance, pairs);
}

#[test]
fn a_lifetime_is_over_once_its_seconds_have_passed() {
    let of = |facts: &[(&str, &str)], age_ms| is_past_lifetime(&entry(), &details(facts), SAVED_MS + age_ms);
    assert!(!of(&[(LIFETIME, "60")], 60_000));
    assert!(of(&[(LIFETIME, "60")], 60_001));
    assert!(!of(&[("label.lifetime_s", "60")], 1 << 50));
    // What no release writes is no lifetime.
    assert!(!of(&[(LIFETIME, "soon")], 1 << 50));
    assert!(!is_past_lifetime(&entry(), &details(&[(LIFETIME, "60")]), 0), "made by a clock that was ahead");
}
