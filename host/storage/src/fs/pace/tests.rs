use std::thread::sleep;

use super::*;

#[test]
fn after_a_slow_write_there_are_none_in_place_for_a_while() {
    let pace = Pace::default();
    assert!(pace.is_calm());
    assert_eq!(pace.timed(|| 7), 7);
    // A machine that is busy enough to make that slow is none that should write in place.
    pace.timed(|| sleep(SLOW));
    assert!(!pace.is_calm());
    pace.resting_until_ms.store(now_ms(), Relaxed);
    assert!(pace.is_calm());
}

/// Fault 11.
#[test]
fn a_file_system_that_may_hang_is_never_asked_in_place() {
    let paces = Paces::new(true);
    for pace in [&paces.writes, &paces.looks, &paces.creates] {
        pace.timed(|| sleep(SLOW));
        assert!(!pace.is_calm());
        assert_eq!(pace.resting_until_ms.load(Relaxed), u64::MAX);
    }
}
