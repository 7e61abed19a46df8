use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn calls_of_the_built_in_policy_are_free_however_many_there_are() {
    let budget = CpuBudget::new(10);
    // 64 calls at a time of 50 µs each, in two turns: a whole core, for ten minutes.
    let turn = Duration::from_micros(64 * 25);
    for round in 0..200_000 {
        (0..64).for_each(|_| budget.begin_call());
        for half in 0..2 {
            assert_eq!(budget.charge_at(turn, turn * (2 * round + half)), None, "round {round}");
        }
    }
}

#[test]
fn what_calls_leave_is_not_saved_up() {
    let budget = CpuBudget::new(10);
    (0..1_000_000).for_each(|_| budget.begin_call());
    assert!(budget.charge_at(ms(150), ms(0)).is_some(), "only the burst is free");
}

#[test]
fn the_work_of_the_host_is_not_paid() {
    begin_paid_turn();
    unpaid(|| std::thread::sleep(ms(2)));
    unpaid(|| std::thread::sleep(ms(2)));
    let took = end_paid_turn();
    assert!(took >= ms(4), "{took:?}");
    unpaid(|| std::thread::sleep(ms(2)));
    assert_eq!(end_paid_turn(), Duration::ZERO, "of no turn");
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
