use super::*;

#[test]
fn one_goes_through_in_each_pause() {
    let never_again = Throttle::new(Duration::MAX);
    assert_eq!([never_again.allows(), never_again.allows(), never_again.allows()], [true, false, false]);
    let always = Throttle::new(Duration::ZERO);
    assert!(always.allows() && always.allows());
}

/// Fault 9: one line a minute, not forty a second.
#[test]
fn one_line_a_minute_with_a_count() {
    const PAUSE: Duration = Duration::from_secs(60);
    let (mut state, start) = (ThrottleState { last: None, held_back: 0 }, Instant::now());
    assert_eq!(state.count(start, PAUSE), Some(1));
    for number in 1..=500_u32 {
        assert_eq!(state.count(start + Duration::from_millis(100) * number, PAUSE), None);
    }
    assert_eq!(state.count(start + PAUSE, PAUSE), Some(501));
    assert_eq!(state.count(start + PAUSE, PAUSE), None);
    assert_eq!(state.count(start + PAUSE * 3, PAUSE), Some(2));
}
