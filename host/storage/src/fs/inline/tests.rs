use std::thread::sleep;

use super::*;

#[test]
fn after_a_slow_write_there_are_none_in_place_for_a_while() {
    let gate = InlineGate::default();
    assert!(gate.allowed());
    assert_eq!(gate.timed(|| 7), 7);
    // A machine busy enough to make that slow should not write in place.
    gate.timed(|| sleep(SLOW));
    assert!(!gate.allowed());
    gate.blocked_until_ms.store(now_ms(), Relaxed);
    assert!(gate.allowed());
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
