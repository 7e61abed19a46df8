#![expect(clippy::unwrap_used, reason = "tests")]

use super::{ChunkKind, GAP, Layout, OVERLAP};
use crate::ports::Block;
use crate::writer::Writer;

/// The first writer of an upload.
fn first() -> Writer {
    Writer::from_tag(8).unwrap()
}

/// Its writer after a renewal.
fn again() -> Writer {
    Writer::from_tag(11).unwrap()
}

fn ranged_id(start: u64, length: u64) -> String {
    super::ranged_id(first(), start, length)
}

fn appended_id(start: u64, request_id: &str) -> String {
    super::appended_id(first(), start, request_id)
}

fn lay_out(blocks: &[Block], kind: ChunkKind) -> Result<Layout, &'static str> {
    super::lay_out(blocks, first(), kind)
}

fn block(id: String, size_bytes: u64) -> Block {
    Block { id, size_bytes }
}

#[test]
fn chunks_are_laid_out_by_position() {
    let blocks = vec![
        block(ranged_id(30, 5), 5),
        block(ranged_id(0, 10), 10),
        block(ranged_id(10, 20), 20),
        block("MDAwMA==".into(), 7),
        block(appended_id(0, "request"), 3),
    ];
    let layout = lay_out(&blocks, ChunkKind::Ranged);
    let ids = vec![ranged_id(0, 10), ranged_id(10, 20), ranged_id(30, 5)];
    assert_eq!(layout.map(|layout| (layout.size_bytes, layout.into_ids())), Ok((35, ids)));
    let layout = lay_out(&blocks, ChunkKind::Appended);
    assert_eq!(layout.map(|layout| (layout.size_bytes, layout.len())), Ok((3, 1)));
    assert!(lay_out(&[], ChunkKind::Ranged).is_ok_and(|layout| layout.is_empty()));
}

#[test]
fn a_gap_or_an_overlap_is_rejected() {
    let ranged = |chunks: &[(u64, u64)]| {
        let blocks = chunks.iter().map(|(start, length)| block(ranged_id(*start, *length), *length));
        lay_out(&blocks.collect::<Vec<_>>(), ChunkKind::Ranged)
    };
    assert_eq!(ranged(&[(1, 1)]), Err(GAP));
    assert_eq!(ranged(&[(0, 1), (2, 1)]), Err(GAP));
    assert_eq!(ranged(&[(0, 2), (1, 1)]), Err(OVERLAP));
    assert_eq!(ranged(&[(0, 2), (0, 1)]), Err(OVERLAP));
    assert_eq!(ranged(&[(0, u64::MAX), (u64::MAX, 2)]), Err(OVERLAP));
    let twice = vec![block(appended_id(0, "a"), 3), block(appended_id(0, "b"), 3)];
    assert_eq!(lay_out(&twice, ChunkKind::Appended), Err(OVERLAP));
}

#[test]
fn a_block_that_does_not_match_its_range_is_not_a_chunk() {
    let blocks = vec![block(ranged_id(0, 10), 9), block(ranged_id(10, 1), 1)];
    assert_eq!(lay_out(&blocks, ChunkKind::Ranged), Err(GAP));
}

#[test]
fn the_longest_ids_fit() {
    for writer in [first(), again(), Writer::from_tag((1 << 20) - 1).unwrap()] {
        assert!(super::ranged_id(writer, u64::MAX, u64::MAX).len() <= 256);
        assert!(super::appended_id(writer, u64::MAX, "00000000-0000-4000-8000-000000000000").len() <= 256);
    }
}

/// Fault 1: two savers of one upload, with adjacent chunks.
#[test]
fn chunks_of_two_writers_are_never_laid_out_together() {
    let ids = |writer| [(0, 4), (4, 4)].map(|(start, length)| super::ranged_id(writer, start, length));
    let blocks = |ids: &[String]| ids.iter().map(|id| block(id.clone(), 4)).collect::<Vec<_>>();
    let both = blocks(&[ids(first()), ids(again())].concat());
    for writer in [first(), again()] {
        let layout = super::lay_out(&both, writer, ChunkKind::Ranged).unwrap();
        assert_eq!((layout.size_bytes, layout.into_ids()), (8, ids(writer).to_vec()));
    }
    let halves = blocks(&[ids(first())[0].clone(), ids(again())[1].clone()]);
    assert_eq!(super::lay_out(&halves, first(), ChunkKind::Ranged).map(|layout| layout.size_bytes), Ok(4));
    assert_eq!(super::lay_out(&halves, again(), ChunkKind::Ranged), Err(GAP));
}
