use std::thread::sleep;

use super::*;

#[test]
fn after_a_slow_write_there_are_none_in_place_for_a_while() {
    let gate = InlineGate::default();
    assert!(gate.allowed());
    assert_eq!(gate.timed(|| 7), 7);
    // Whether it waited nobody knows.
    gate.timed(|| sleep(SLOW));
    assert!(!gate.allowed());
    let unsure = gate.blocked_until_ms.load(Relaxed);
    assert!(unsure <= now_ms() + UNSURE_BACKOFF.as_secs() * 1000);
    gate.timed(|| sleep(SLOW));
    assert!(!gate.allowed());
    assert!(gate.blocked_until_ms.load(Relaxed) > unsure + (BACKOFF - UNSURE_BACKOFF).as_secs() * 500);
    gate.blocked_until_ms.store(now_ms(), Relaxed);
    assert!(gate.allowed());
}

/// Here the call itself has the core; on a busy machine it is another program that does.
#[test]
fn a_call_that_is_slow_without_waiting_changes_nothing() {
    let gate = InlineGate::default();
    // Even this test may have to wait: for a page of memory.
    let is_open = (0..20).any(|_| {
        gate.blocked_until_ms.store(0, Relaxed);
        gate.watched_until_ms.store(u64::MAX, Relaxed);
        let start = Instant::now();
        gate.timed(|| while start.elapsed() < SLOW {});
        gate.allowed()
    });
    assert!(is_open);
}

/// Fault 11.
#[test]
fn a_file_system_that_may_hang_is_never_asked_in_place() {
    let inline = InlineGates::new(true);
    for gate in [&inline.writes, &inline.queries, &inline.creates] {
        gate.timed(|| sleep(SLOW));
        assert!(!gate.allowed());
        assert_eq!(gate.blocked_until_ms.load(Relaxed), u64::MAX);
    }
}
