#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, UNIX_EPOCH};

use larder::revoke::{Action, Revocation, RevokedEntry};

use super::{in_words, time, whole_ref};

#[test]
fn times_are_read_in_both_forms() {
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
    assert_eq!(time("1970-01-02T00:00:00Z", now).unwrap(), 86_400_000);
    assert_eq!(time("1970-01-02 00:00:00", now).unwrap(), 86_400_000);
    assert_eq!(time("100s", now).unwrap(), 999_900_000);
    assert_eq!(time("1day 2h", now).unwrap(), 906_400_000);
    for text in ["", "yesterday", "1000000days"] {
        assert!(time(text, now).is_err(), "{text}");
    }
}

#[test]
fn a_short_ref_is_a_branch() {
    assert_eq!(whole_ref("main"), "refs/heads/main");
    assert_eq!(whole_ref("refs/pull/1/merge"), "refs/pull/1/merge");
}

/// Keys, versions and scopes are chosen by jobs.
#[test]
fn what_jobs_have_chosen_makes_no_lines_and_steers_no_terminal() {
    let bad = || "k\n0 entries\u{1b}[2J".to_owned();
    let entry = RevokedEntry {
        id: 1,
        repository: bad(),
        scope: bad(),
        version: bad(),
        key: bad(),
        size_bytes: 1,
        created_ms: 0,
        uses: None,
        quarantined: false,
    };
    let done =
        Revocation { action: Action::Delete, dry_run: true, entries: vec![entry], uploads: 0, unknown: 0 };
    let text = in_words(&done);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (2, "1 entries (1 bytes) would be deleted"), "{text}");
    assert!(!lines[0].contains(char::is_control) && lines[0].contains("k\u{fffd}0 entries"), "{text:?}");
}
