//! Small chunks are copied, large ones are kept, and the order stays.

use bytes::Bytes;

use super::{ChunkBuffer, Copies};
use crate::conformance::pattern;

const COPIES: Copies = Copies { below: 100, buffer: 256 };

/// Lengths around both sizes.
const LENGTHS: [usize; 12] = [1, 100, 99, 99, 99, 3, 500, 1, 200, 257, 2, 99];

fn filled(lengths: &[usize]) -> (ChunkBuffer, Vec<u8>) {
    let whole = pattern(lengths.iter().sum(), 1);
    let mut buffer = ChunkBuffer::new(COPIES);
    let mut at = 0;
    for length in lengths {
        buffer.push(Bytes::copy_from_slice(&whole[at..at + length]));
        at += length;
    }
    (buffer, whole.to_vec())
}

#[test]
fn bytes_stay_in_order() {
    for count in 0..=LENGTHS.len() {
        let (buffer, whole) = filled(&LENGTHS[..count]);
        assert_eq!(buffer.length(), whole.len() as u64);
        assert_eq!(buffer.into_pieces().concat(), whole, "{count} chunks");
    }
}

#[test]
fn large_chunks_are_kept_and_small_ones_copied() {
    let chunks = [vec![1; 100], vec![2; 99], vec![3; 7], vec![4; 150]].map(Bytes::from);
    let mut buffer = ChunkBuffer::new(COPIES);
    for chunk in &chunks {
        buffer.push(chunk.clone());
    }
    assert!(!chunks[0].is_unique() && chunks[1].is_unique() && chunks[2].is_unique());
    let pieces = buffer.into_pieces();
    assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [100, 106, 150]);
    assert_eq!((pieces[0].as_ptr(), pieces[2].as_ptr()), (chunks[0].as_ptr(), chunks[3].as_ptr()));
}

/// A small chunk between large ones does not take a buffer of its own.
#[test]
fn copied_chunks_share_a_buffer() {
    let mut buffer = ChunkBuffer::new(COPIES);
    for number in 0..20_u8 {
        buffer.push(Bytes::from(vec![number; 1]));
        buffer.push(Bytes::from(vec![number; 100]));
    }
    let pieces = buffer.into_pieces();
    let copied: Vec<_> = pieces.iter().step_by(2).map(|piece| piece.as_ptr().addr()).collect();
    assert!(copied.windows(2).all(|next| next[1] == next[0] + 1), "{copied:x?}");
}

#[cfg(feature = "bucket")]
#[test]
fn parts_are_split_off_at_any_length() {
    let (_, whole) = filled(&LENGTHS);
    for first in 0..=whole.len() + 1 {
        let (mut buffer, whole) = filled(&LENGTHS);
        let split = buffer.split_to(first as u64);
        let at = first.min(whole.len());
        assert_eq!((split.length(), buffer.length()), (at as u64, (whole.len() - at) as u64));
        assert_eq!(split.into_bytes(), whole[..at]);
        buffer.append(filled(&[5, 200]).0);
        assert_eq!(buffer.into_pieces().concat(), [&whole[at..], &pattern(205, 1)].concat());
    }
}
