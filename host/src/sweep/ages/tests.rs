use super::*;

const NOW_MS: u64 = 1_900_000_000_000;
const GRACE_MS: u64 = 1_000;

#[test]
fn the_age_follows_from_the_time() {
    let ages = Ages::new(NOW_MS, GRACE_MS);
    for (modified_ms, age) in [
        (0, Age::Unknown),
        (EARLIEST_MS - 1, Age::Unknown),
        (EARLIEST_MS, Age::Old),
        (NOW_MS - GRACE_MS - 1, Age::Old),
        (NOW_MS - GRACE_MS, Age::Young),
        (NOW_MS + MAX_CLOCK_SKEW_MS, Age::Young),
        (NOW_MS + MAX_CLOCK_SKEW_MS + 1, Age::Unknown),
        (u64::MAX, Age::Unknown),
    ] {
        assert_eq!(ages.of(modified_ms), age, "{modified_ms}");
    }
}

#[test]
fn for_a_clock_that_is_wrong_nothing_is_old() {
    for modified_ms in [0, 1, EARLIEST_MS, NOW_MS, u64::MAX] {
        assert_eq!(Ages::new(EARLIEST_MS - 1, 0).of(modified_ms), Age::Young);
    }
}
