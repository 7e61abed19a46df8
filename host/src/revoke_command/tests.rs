#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, UNIX_EPOCH};

use super::{time, whole_ref};

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
