use super::*;

#[test]
fn rests_grow_from_the_sixth_fault_on_and_are_forgotten() {
    let mut faults = Faults::default();
    let mut now = Instant::now();
    for _ in 0..FREE {
        assert_eq!(faults.count(now), None);
    }
    for rest in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        now += Duration::from_secs(11);
        assert_eq!(faults.count(now), Some(Duration::from_millis(rest)));
    }
    assert_eq!(faults.count(now + WINDOW + Duration::from_secs(1)), None);
}
