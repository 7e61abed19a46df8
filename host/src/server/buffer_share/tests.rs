use super::Share;

const HEAD_BYTES: usize = 32 * 1024;
const MIB: usize = 1024 * 1024;

/// Faults 8 and 9: what a thousand connections hold that all receive, or take nothing of what they
/// are sent.
#[test]
fn the_buffers_of_all_connections_stay_within_a_bound() {
    let total: usize = (1..=1024).map(|open| Share::of(open, HEAD_BYTES).buffer_bytes).sum();
    assert!(total <= 64 * MIB, "{total}");
    assert_eq!(Share::of(1, HEAD_BYTES).buffer_bytes, 256 * 1024);
}

/// Fault 7: heads of streams that came before anybody could refuse them.
#[test]
fn the_heads_of_a_flood_stay_within_a_bound() {
    let streams: u32 = (1..=50).map(|open| Share::of(open, HEAD_BYTES).streams).sum();
    assert!(streams as usize * HEAD_BYTES <= 52 * MIB, "{streams}");
    assert_eq!(Share::of(1, HEAD_BYTES).streams, 64);
    assert_eq!(Share::smallest(HEAD_BYTES).streams, 4);
}

#[test]
fn a_buffer_always_holds_a_head() {
    for head in [8 * 1024, HEAD_BYTES, MIB] {
        assert!(Share::smallest(head).buffer_bytes > head);
    }
}
