#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn after(seconds: u64, began: Instant) -> Instant {
    began + Duration::from_secs(seconds)
}

#[test]
fn three_expensive_failures_in_a_row_are_followed_by_a_rest() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    for _ in 0..2 {
        breaker.failed(FailureKind::Deadline, now);
        assert!(breaker.may_ask(now));
    }
    breaker.failed(FailureKind::Deadline, now);
    assert!(!breaker.may_ask(now));
    assert!(!breaker.may_ask(now + FIRST_REST - Duration::from_millis(1)));
    assert!(breaker.may_ask(now + FIRST_REST));
}

#[test]
fn other_failures_and_those_with_answers_between_them_are_forgiven() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    for _ in 0..100 {
        breaker.failed(FailureKind::Trap, now);
    }
    for _ in 0..100 {
        breaker.failed(FailureKind::Deadline, now);
        breaker.failed(FailureKind::Deadline, now);
        breaker.succeeded();
    }
    assert!(breaker.may_ask(now));
}

#[test]
fn after_a_rest_one_question_is_asked_until_it_has_an_answer() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    (0..3).for_each(|_| breaker.failed(FailureKind::Deadline, now));
    let later = after(1, now);
    assert!(breaker.may_ask(later));
    assert!(!breaker.may_ask(later), "a second one meanwhile");
    breaker.succeeded();
    assert!(breaker.may_ask(later));
}

#[test]
fn rests_get_longer_up_to_a_limit() {
    let (breaker, mut now) = (Breaker::default(), Instant::now());
    (0..3).for_each(|_| breaker.failed(FailureKind::Deadline, now));
    let mut rests = Vec::new();
    for _ in 0..8 {
        let until = breaker.rests_until().unwrap();
        rests.push((until - now).as_secs());
        now = until;
        assert!(breaker.may_ask(now));
        breaker.failed(FailureKind::Deadline, now);
    }
    assert_eq!(rests, [1, 2, 4, 8, 16, 30, 30, 30]);
}
