use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn short_turns_are_free() {
    let budget = CpuBudget::new(10);
    for _ in 0..1_000_000 {
        assert_eq!(budget.charge_at(Duration::from_micros(249), Duration::ZERO), None);
    }
}

#[test]
fn a_burst_is_free_and_then_a_tenth_of_the_time_is_left() {
    let budget = CpuBudget::new(10);
    let mut now = ms(1_000);
    let mut ran = Duration::ZERO;
    while budget.charge_at(ms(5), now).is_none() {
        (now, ran) = (now + ms(5), ran + ms(5));
        assert!(ran < ms(120), "nothing was ever used up");
    }
    assert!(ran >= ms(100), "only {ran:?} of the burst could be used");
    let (from, mut ran) = (now, Duration::ZERO);
    for _ in 0..100 {
        now += ms(5);
        ran += ms(5);
        now += budget.charge_at(ms(5), now).unwrap_or_default();
    }
    let share = ran.as_secs_f64() / (now - from).as_secs_f64();
    assert!((0.08..0.12).contains(&share), "it got {share} of a core");
}

#[test]
fn what_was_used_is_refilled() {
    let budget = CpuBudget::new(50);
    assert!(budget.charge_at(ms(1_000), ms(0)).is_some());
    assert_eq!(budget.charge_at(ms(50), ms(10_000)), None);
}
