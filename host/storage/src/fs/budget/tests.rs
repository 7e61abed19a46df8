#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn chunks_shrink_when_transfers_become_many() {
    let budget = Budget::new(8 << 20);
    assert_eq!(budget.chunk_bytes(), MAX_CHUNK_BYTES);
    let transfers: Vec<Transfer> = (0..64).map(|_| budget.transfer()).collect();
    assert_eq!(budget.chunk_bytes(), 64 << 10);
    let more: Vec<Transfer> = (0..1000).map(|_| budget.transfer()).collect();
    assert_eq!(budget.chunk_bytes(), MIN_CHUNK_BYTES);
    drop((transfers, more));
    assert_eq!((budget.chunk_bytes(), budget.active()), (MAX_CHUNK_BYTES, 0));
}

#[test]
fn buffers_are_never_more_than_the_total_and_a_minimum_each() {
    // With the default total, the fair shares of transfers that start one after the other exceed
    // the bound in sum.
    for total in [0, 1, 100_000, 1 << 20, DEFAULT_TOTAL_BYTES] {
        let budget = Budget::new(total);
        let mut kept = Vec::new();
        for _ in 0..600 {
            let transfer = budget.transfer();
            kept.push(transfer.buffer(usize::MAX / 4));
            assert!(budget.held_bytes() <= total + (kept.len() * MIN_READ_BYTES) as u64);
        }
        drop(kept);
        assert_eq!((budget.held_bytes(), budget.active()), (0, 0));
    }
}

#[test]
fn threads_do_not_exceed_the_bound_together() {
    let budget = Budget::new(1 << 20);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let transfer = budget.transfer();
                for _ in 0..2000 {
                    drop(transfer.buffer(1 << 20));
                }
            });
        }
    });
    assert!(budget.peak_bytes() <= (1 << 20) + 8 * MIN_READ_BYTES as u64);
    assert_eq!(budget.held_bytes(), 0);
}

#[test]
fn buffers_are_no_larger_than_wanted() {
    let transfer = Budget::new(1 << 20).transfer();
    assert_eq!(transfer.buffer(1).unfilled().len(), MIN_READ_BYTES);
    assert_eq!(transfer.buffer(MIN_READ_BYTES + 1).unfilled().len(), 2 * MIN_READ_BYTES);
    assert_eq!(transfer.exact_buffer(3).unwrap().unfilled().len(), 3);
}

#[test]
fn bytes_count_until_the_last_clone_is_dropped() {
    let budget = Budget::new(1 << 20);
    let transfer = budget.transfer();
    let mut buffer = transfer.buffer(1);
    buffer.unfilled()[..3].copy_from_slice(b"abc");
    buffer.advance(3);
    let bytes = buffer.freeze();
    let slice = bytes.slice(1..);
    drop(bytes);
    assert_eq!((&slice[..], budget.held_bytes()), (&b"bc"[..], MIN_READ_BYTES as u64));
    drop(slice);
    assert_eq!(budget.held_bytes(), 0);
}

#[test]
fn exact_buffers_are_refused_where_there_is_no_room() {
    let budget = Budget::new(100_000);
    let transfer = budget.transfer();
    let first = transfer.exact_buffer(60_000).unwrap();
    assert!(transfer.exact_buffer(60_000).is_none());
    assert!(transfer.exact_buffer(1000).is_some());
    drop(first);
    assert!(transfer.exact_buffer(60_000).is_some());
}

#[test]
fn idle_buffers_are_few() {
    let budget = Budget::new(1 << 20);
    let transfer = budget.transfer();
    drop((0..100).map(|_| transfer.buffer(1)).collect::<Vec<_>>());
    assert!(budget.idle.lock().bytes <= (1 << 20) / 8);
    assert!(budget.idle.lock().bytes > 0);
}

#[test]
fn idle_buffers_go_when_the_total_is_used_up() {
    let budget = Budget::new(1 << 20);
    let transfer = budget.transfer();
    drop(transfer.buffer(1));
    assert_eq!(budget.idle.lock().bytes, MIN_READ_BYTES as u64);
    let held: Vec<_> = (0..4).map(|_| transfer.buffer(512 << 10)).collect();
    assert_eq!(budget.idle.lock().bytes, 0);
    drop(held);
    assert!(budget.idle.lock().bytes > 0);
}

#[test]
fn buffers_are_aligned_new_and_reused() {
    let transfer = Budget::new(64 << 20).transfer();
    for length in [1, 40_000, 65_536, 100_000, MAX_CHUNK_BYTES] {
        for _ in 0..3 {
            let mut pooled = transfer.buffer(length);
            assert_eq!(pooled.unfilled().as_ptr() as usize % ALIGNMENT, 0);
            let mut exact = transfer.exact_buffer(length).unwrap();
            assert_eq!(exact.unfilled().as_ptr() as usize % ALIGNMENT, 0);
        }
    }
}
