//! Sizes, and which keys differ.
#![expect(clippy::unwrap_used, reason = "tests")]

use larder::lab::KeyOutcome;

use super::*;

#[test]
fn sizes_have_units() {
    let sizes = [("100GiB", 100 << 30), ("1 KiB", 1024), ("7", 7), ("2mb", 2_000_000)];
    for (text, size) in sizes {
        assert_eq!(bytes(text).unwrap(), size, "{text}");
    }
    for text in ["", "GiB", "0", "1XB", "-1", "99999999999999GiB", "1.5GiB"] {
        assert!(bytes(text).is_err(), "{text}");
    }
}

#[test]
fn winners_come_first_and_losers_by_their_loss() {
    let of = |keys: &[(&str, u64)]| {
        let key = |(key, hits): &(&str, u64)| {
            (("1".to_owned(), (*key).to_owned()), KeyOutcome { lookups: 9, hits: *hits, bytes: 10 * hits })
        };
        Outcome { keys: keys.iter().map(key).collect(), ..Outcome::default() }
    };
    let first = of(&[("a", 1), ("b", 5), ("c", 5), ("same", 3)]);
    let found = differences(&first, &of(&[("a", 4), ("b", 0), ("c", 4), ("same", 3)]));
    let shown: Vec<_> = found.iter().map(|of| (of.key.as_str(), of.hits, of.bytes)).collect();
    assert_eq!(shown, [("a", 3, 30), ("b", -5, -50), ("c", -1, -10)]);
}
