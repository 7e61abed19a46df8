#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::{duration, list, printable, size, table};

#[test]
fn sizes_have_a_unit() {
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (1024 * 1024 - 1, "1023.99 KiB"),
        (5 << 30, "5.00 GiB"),
        (u64::MAX, "15.99 EiB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}

#[test]
fn durations_are_in_their_largest_unit() {
    for (ms, text) in
        [(999, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (7_200_000, "2 h"), (172_800_000, "2 days")]
    {
        assert_eq!(duration(&json!({ "x": ms }), "x"), text);
    }
    assert_eq!(duration(&json!({}), "x"), "-");
}

#[test]
fn columns_stand_below_each_other() {
    let rows = [vec!["1".to_owned(), "a".to_owned()], vec!["22".to_owned(), "long".to_owned()]];
    assert_eq!(table(&[">ID", "KEY"], rows), "ID  KEY\n 1  a\n22  long\n");
    assert_eq!(list(&[("a", "1".to_owned()), ("long", "2".to_owned())]), "a     1\nlong  2\n");
}

#[test]
fn a_key_does_not_steer_the_terminal() {
    assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
}
