#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use super::{PAUSE, State};

/// Fault 9: one line a minute, not forty a second.
#[test]
fn one_line_a_minute_with_a_count() {
    let (mut state, start) = (State::default(), Instant::now());
    assert_eq!(state.count(start), Some(1));
    for number in 1..=500_u32 {
        assert_eq!(state.count(start + Duration::from_millis(100) * number), None);
    }
    assert_eq!(state.count(start + PAUSE), Some(501));
    assert_eq!(state.count(start + PAUSE), None);
    assert_eq!(state.count(start + PAUSE * 3), Some(2));
}
