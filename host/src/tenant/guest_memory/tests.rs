use super::*;

const MIB: usize = 1 << 20;

#[test]
fn one_instance_cannot_take_what_is_guaranteed_to_another() {
    let memory = GuestMemory::new(10 * MIB);
    let mut greedy = memory.share();
    assert!(greedy.grow(MIB, 14 * MIB));
    assert!(!greedy.grow(14 * MIB, 14 * MIB + 1));
    let mut other = memory.share();
    assert!(other.grow(0, GUARANTEED_BYTES));
    assert!(!other.grow(GUARANTEED_BYTES, GUARANTEED_BYTES + 1));
}

#[test]
fn an_instance_gives_back_what_it_had_and_no_more() {
    let memory = GuestMemory::new(10 * MIB);
    for _ in 0..3 {
        let mut share = memory.share();
        assert!(share.grow(0, 6 * MIB) && share.grow(6 * MIB, 14 * MIB) && !share.grow(14 * MIB, 20 * MIB));
    }
    assert_eq!(memory.used.load(Relaxed), 0);
}
