use super::{Neighbours, Wanted, was_in};
use crate::fake::claims;
use crate::ports::{Cause, Departed, Entry, MissCause, NearEntry, Nearby, Scope, Slot, Trust, Upload};

fn scopes() -> Vec<Scope> {
    claims("1", "t", &["pr=rw", "main=r", "secret=w"]).scopes
}

fn slot(scope: &str, version: &str) -> Slot {
    Slot { repository: "1".into(), scope: scope.into(), version: version.into(), key: "k".into() }
}

fn entry(scope: &str, version: &str, quarantined: bool) -> NearEntry {
    let entry = Entry {
        id: 7,
        slot: slot(scope, version),
        object: "o".into(),
        size_bytes: 3,
        created_ms: 10,
        last_used_ms: 10,
        owner: None,
    };
    NearEntry { entry, quarantined }
}

fn upload(scope: &str, version: &str) -> Upload {
    Upload {
        id: 1,
        name: "u".into(),
        slot: slot(scope, version),
        owner: "t".into(),
        created_ms: 5,
        last_activity_ms: 5,
        attachment: None,
    }
}

fn departed(scope: &str, version: &str, cause: Cause, departed_ms: u64) -> Departed {
    Departed {
        slot: slot(scope, version),
        size_bytes: 3,
        created_ms: 1,
        last_used_ms: 1,
        uses: None,
        trust: Trust::Full,
        cause,
        departed_ms,
    }
}

fn cause(entries: &[NearEntry], uploads: &[Upload], gone: &[Departed]) -> MissCause {
    let scopes = scopes();
    let wanted = Wanted { scopes: &scopes, version: "v" };
    let mut found = Neighbours::default();
    found.add_nearby(&wanted, Nearby { entries: entries.to_vec(), uploads: uploads.to_vec() });
    found.add_departed(&wanted, gone.to_vec());
    found.cause()
}

#[test]
fn the_nearest_is_the_cause() {
    let quarantined = entry("main", "v", true);
    let uploading = upload("pr", "v");
    let evicted = departed("main", "v", Cause::Size, 20);
    let other_version = entry("main", "w", false);
    let unreadable = entry("secret", "v", false);
    let other_scope = entry("elsewhere", "v", false);
    let all = [quarantined, other_version.clone(), unreadable.clone(), other_scope.clone()];
    assert_eq!(
        cause(&all, std::slice::from_ref(&uploading), std::slice::from_ref(&evicted)),
        MissCause::Quarantined
    );
    assert_eq!(cause(&all[1..], &[uploading], std::slice::from_ref(&evicted)), MissCause::Uploading);
    assert_eq!(cause(&all[1..], &[], &[evicted]), MissCause::Evicted);
    assert_eq!(cause(&all[1..], &[], &[]), MissCause::OtherVersion);
    assert_eq!(cause(&all[2..], &[], &[]), MissCause::Denied);
    assert_eq!(cause(&all[3..], &[], &[]), MissCause::OtherScope);
    assert_eq!(cause(&[], &[], &[]), MissCause::NeverSaved);
}

#[test]
fn what_left_another_place_or_is_uploaded_there_is_no_cause() {
    let gone = [departed("elsewhere", "v", Cause::Size, 1), departed("main", "w", Cause::Age, 2)];
    let uploads = [upload("elsewhere", "v"), upload("pr", "w")];
    assert_eq!(cause(&[], &uploads, &gone), MissCause::NeverSaved);
}

#[test]
fn each_departure_has_its_word_and_the_last_one_counts() {
    for (left, expected) in [
        (Cause::Age, MissCause::Expired),
        (Cause::NeverUsed, MissCause::Expired),
        (Cause::MaxAge, MissCause::Expired),
        (Cause::Superseded, MissCause::Superseded),
        (Cause::Size, MissCause::Evicted),
        (Cause::Quota, MissCause::Evicted),
        (Cause::Stale, MissCause::Stale),
        (Cause::Manual, MissCause::Deleted),
        (Cause::Revoked, MissCause::Revoked),
        (Cause::ClosedScope, MissCause::ClosedScope),
        (Cause::Rule("mine".into()), MissCause::Deleted),
    ] {
        let gone = [departed("pr", "v", Cause::Manual, 1), departed("pr", "v", left, 2)];
        assert_eq!(cause(&[], &[], &gone), expected);
    }
}

#[test]
fn an_entry_that_a_lookup_finds_is_no_neighbour() {
    assert_eq!(cause(&[entry("main", "v", false)], &[], &[]), MissCause::NeverSaved);
}

/// A long version is kept as its beginning and a digest.
#[test]
fn a_shortened_version_is_compared_by_its_beginning() {
    let long = "x".repeat(300);
    let kept = format!("{}{}", "x".repeat(200), "0".repeat(64));
    assert!(was_in(&slot("main", &kept), &slot("main", &long)));
    assert!(!was_in(&slot("main", &kept), &slot("main", &format!("y{long}"))));
    assert!(!was_in(&slot("main", &kept), &slot("main", &kept[..200])));
    assert!(!was_in(&slot("pr", &kept), &slot("main", &long)));
    // Cut in the middle of a character.
    let long = "é".repeat(150) + "z";
    assert!(was_in(&slot("main", &format!("{}…", "é".repeat(100))), &slot("main", &long)));
}
