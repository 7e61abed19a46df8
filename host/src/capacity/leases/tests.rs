#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const MIB: u64 = 1 << 20;

fn upload(digit: char) -> UploadName {
    UploadName::parse(digit.to_string().repeat(32)).unwrap()
}

#[test]
fn small_blocks_take_from_steps_that_grow() {
    let leases = Leases::default();
    let lease = leases.of(&upload('a'));
    let mut steps = Vec::new();
    for _ in 0..200 {
        if !lease.take(MIB).unwrap() {
            let step = lease.step(lease.lacks(MIB));
            lease.add(step);
            steps.push(step / MIB);
            assert!(lease.take(MIB).unwrap());
        }
    }
    assert_eq!(steps, [8, 16, 32, 64, 64, 64]);
}

#[test]
fn a_large_block_is_reserved_as_it_is() {
    let lease = Leases::default().of(&upload('a'));
    assert_eq!(lease.step(64 * MIB), 64 * MIB);
    assert_eq!(lease.step(MIB), FIRST_STEP);
}

#[test]
fn what_was_not_stored_is_given_back_and_the_rest_is_not() {
    let leases = Leases::default();
    let lease = leases.of(&upload('a'));
    lease.add(2 * MIB);
    for (outcome, left) in [
        (Err(StorageError::Invalid("cut short".into())), 2 * MIB),
        (Err(StorageError::unavailable("storing", "down")), MIB),
        (Ok(()), 0),
    ] {
        let mut guard = BodyGuard::begin(&lease);
        assert!(lease.take(MIB).unwrap());
        guard.took(MIB);
        assert!(!guard.finish(&outcome));
        assert_eq!(lease.lacks(4 * MIB), 4 * MIB - left, "{outcome:?}");
    }
    assert_eq!(leases.unwritten(), 0);
}

#[test]
fn the_last_body_of_an_ended_upload_erases_what_came_late() {
    let leases = Leases::default();
    let lease = leases.of(&upload('a'));
    let (first, second) = (BodyGuard::begin(&lease), BodyGuard::begin(&lease));
    assert!(leases.end(&upload('a')).is_some_and(|lease| lease.has_bodies()));
    assert!(lease.is_over() && matches!(lease.take(1), Err(StorageError::NotFound)));
    assert!(!first.finish(&Ok(())));
    assert!(second.finish(&Ok(())));
    assert!(leases.end(&upload('a')).is_none());
}

#[test]
fn after_a_refusal_everything_is_refused() {
    let leases = Leases::default();
    let lease = leases.of(&upload('a'));
    lease.add(MIB);
    lease.refuse();
    assert!(matches!(lease.take(1), Err(StorageError::NoSpace)));
    assert!(leases.was_refused(&upload('a')) && !leases.was_refused(&upload('b')));
}

#[test]
fn only_bodies_that_have_room_are_waited_for() {
    let leases = Leases::default();
    let (own, other) = (leases.of(&upload('a')), leases.of(&upload('b')));
    let _own = BodyGuard::begin(&own);
    own.add(MIB);
    let body = BodyGuard::begin(&other);
    assert!(!leases.has_others(&own), "it waits, too");
    other.add(MIB);
    assert!(leases.has_others(&own) && leases.has_others(&other));
    drop(body);
    assert!(!leases.has_others(&own));
}
