#![allow(clippy::unwrap_used)]

use super::*;

const MIB: u64 = 1 << 20;

/// A space with `free` MiB, and a reserve of 16 MiB.
fn space(free: u64) -> Arc<Space> {
    let space = Space::new(None);
    space.note(Measured { total: 64 * MIB, free: free * MIB });
    space
}

fn fits(space: &Arc<Space>, mib: u64) -> bool {
    space.claim(Some(mib * MIB)).is_ok()
}

/// Fault 13.
#[test]
fn bodies_are_refused_before_they_reach_into_the_reserve() {
    let space = space(48);
    assert!(fits(&space, 32) && !fits(&space, 33));
    let first = space.claim(Some(20 * MIB)).unwrap();
    assert!(fits(&space, 12) && !fits(&space, 13), "what is under way counts");
    drop(first);
    assert!(fits(&space, 32), "what broke off counts no more");
}

/// Fault 13: a hundred bodies at once do not reserve the same space.
#[test]
fn many_bodies_at_once_do_not_overshoot() {
    let space = space(48);
    let claims: Vec<_> = (0..100).filter_map(|_| space.claim(Some(5 * MIB)).ok()).collect();
    assert_eq!(claims.len(), 6);
    assert!(space.has_room(), "nothing of it has come yet");
    let mut written = 0;
    for mut claim in claims {
        while claim.to_come > Some(0) {
            assert_eq!(claim.lacks(MIB), 0);
            claim.written(MIB);
            written += MIB;
        }
    }
    assert_eq!(written, 30 * MIB);
    assert!(fits(&space, 2) && !fits(&space, 3), "what was written is not free any more");
}

#[test]
fn a_body_of_unknown_length_asks_as_it_comes() {
    let space = space(18);
    let mut claim = space.claim(None).unwrap();
    for _ in 0..2 {
        claim.hold(claim.lacks(MIB)).unwrap();
        claim.written(MIB);
    }
    assert!(matches!(claim.hold(claim.lacks(MIB)), Err(StorageError::NoSpace)));
}

/// A client that announces everything and sends nothing does not exclude others.
#[test]
fn only_what_comes_soon_is_held() {
    let space = space(1000);
    let _silent = space.claim(Some(900 * MIB)).unwrap();
    assert!(fits(&space, 900));
    let mut long = space.claim(Some(900 * MIB)).unwrap();
    long.written(100 * MIB);
    assert_eq!(long.held, AHEAD_BYTES);
}

#[test]
fn the_reserve_is_a_share_of_the_disk_within_bounds_or_what_is_configured() {
    for (reserve, total, kept) in [
        (None, 64 * MIB, 16 * MIB),
        (None, 10_000 * MIB, 100 * MIB),
        (None, 10_000_000 * MIB, 1024 * MIB),
        (Some(0), 10_000 * MIB, 0),
        (Some(3 * MIB), 10_000 * MIB, 3 * MIB),
    ] {
        let space = Space::new(reserve);
        space.note(Measured { total, free: kept + 2 * MIB });
        assert!(fits(&space, 2) && !fits(&space, 3), "{reserve:?} of {total}");
        assert!(space.has_room());
        space.note(Measured { total, free: kept });
        assert!(!space.has_room());
    }
}
