use super::*;

/// The sizes, in KiB, for a client that takes each chunk in this many milliseconds.
fn sizes(taken_in_ms: impl IntoIterator<Item = u64>) -> Vec<usize> {
    let (mut size, mut now) = (ReadSize::new(), Instant::now());
    let mut sizes = vec![size.next(now) >> 10];
    for time in taken_in_ms {
        size.given(now);
        now += Duration::from_millis(time);
        sizes.push(size.next(now) >> 10);
    }
    sizes
}

#[test]
fn chunks_grow_while_they_are_taken_quickly() {
    assert_eq!(sizes([0; 6]), [64, 64, 256, 512, 512, 512, 512]);
    assert_eq!(sizes([0, 500, 0, 0]), [64, 64, 64, 64, 256]);
}

#[test]
fn a_slow_client_gets_small_ones() {
    assert_eq!(sizes([2000; 3]), [64, 16, 16, 16]);
    assert_eq!(sizes([0, 0, 0, 0, 2000, 2000, 2000, 0, 0]), [64, 64, 256, 512, 512, 128, 32, 16, 16, 64]);
    assert_eq!(sizes([200; 3]), [64; 4], "neither quick nor slow");
}

/// The time of reading is the disk's and not the client's.
#[test]
fn without_a_chunk_given_the_size_stays() {
    let mut size = ReadSize::new();
    let now = Instant::now();
    assert_eq!(size.next(now), FIRST_BYTES);
    assert_eq!(size.next(now + 2 * SLOW), FIRST_BYTES);
}
