use proptest::prelude::*;

use super::{ResolvedRange, resolve};
use crate::ports::ByteRange;

fn part(start: u64, end: u64) -> ResolvedRange {
    ResolvedRange::Partial(ByteRange { start, end })
}

#[test]
fn a_single_range_is_resolved_against_the_size() {
    for (header, expected) in [
        ("bytes=0-0", part(0, 1)),
        ("bytes=0-9", part(0, 10)),
        ("bytes=2-4", part(2, 5)),
        ("bytes=2-400", part(2, 10)),
        ("bytes=2-18446744073709551615", part(2, 10)),
        ("bytes=2-99999999999999999999999", part(2, 10)),
        ("bytes=9-", part(9, 10)),
        ("bytes=0-", part(0, 10)),
        ("bytes=-1", part(9, 10)),
        ("bytes=-10", part(0, 10)),
        ("bytes=-400", part(0, 10)),
        ("bytes=007-008", part(7, 9)),
        ("Bytes = 2-4 ", part(2, 5)),
        ("bytes=10-", ResolvedRange::Unsatisfiable),
        ("bytes=10-20", ResolvedRange::Unsatisfiable),
        ("bytes=99999999999999999999999-", ResolvedRange::Unsatisfiable),
        ("bytes=-0", ResolvedRange::Unsatisfiable),
    ] {
        assert_eq!(resolve(header, 10), expected, "{header}");
    }
}

#[test]
fn anything_but_a_single_range_is_ignored() {
    for header in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=4-2",
        "bytes=0-1,5-6",
        "bytes=0-1,",
        "bytes=+1-2",
        "bytes=1--2",
        "bytes=0x1-2",
        "items=0-1",
        "0-1",
        "bytes=1 - 2",
        "bytes=\u{0661}-2",
    ] {
        assert_eq!(resolve(header, 10), ResolvedRange::Full, "{header}");
    }
}

#[test]
fn every_range_of_an_empty_object_is_unsatisfiable() {
    for header in ["bytes=0-0", "bytes=0-", "bytes=-1", "bytes=-0"] {
        assert_eq!(resolve(header, 0), ResolvedRange::Unsatisfiable, "{header}");
    }
}

proptest! {
    #[test]
    fn any_header_resolves_within_the_object(header in "(bytes=)?[0-9]{0,25}-?[0-9]{0,25}|\\PC*", size in any::<u64>()) {
        if let ResolvedRange::Partial(range) = resolve(&header, size) {
            prop_assert!(range.start < range.end && range.end <= size);
        }
    }

    #[test]
    fn a_range_within_the_object_is_kept(size in 1..u64::MAX, a in any::<u64>(), b in any::<u64>()) {
        let (a, b) = (a % size, b % size);
        let (first, last) = (a.min(b), a.max(b));
        prop_assert_eq!(resolve(&format!("bytes={first}-{last}"), size), part(first, last + 1));
    }
}
