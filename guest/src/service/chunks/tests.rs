use super::{ChunkKind, GAP, OVERLAP, appended_id, lay_out, ranged_id};
use crate::ports::Block;

fn block(id: String, size_bytes: u64) -> Block {
    Block { id, size_bytes }
}

#[test]
fn chunks_are_laid_out_by_their_place() {
    let blocks = vec![
        block(ranged_id(30, 5), 5),
        block(ranged_id(0, 10), 10),
        block(ranged_id(10, 20), 20),
        block("MDAwMA==".into(), 7),
        block(appended_id(0, "request"), 3),
    ];
    let layout = lay_out(blocks.clone(), ChunkKind::Ranged);
    let ids = vec![ranged_id(0, 10), ranged_id(10, 20), ranged_id(30, 5)];
    assert_eq!(layout.map(|layout| (layout.size_bytes, layout.into_ids())), Ok((35, ids)));
    let layout = lay_out(blocks, ChunkKind::Appended);
    assert_eq!(layout.map(|layout| (layout.size_bytes, layout.len())), Ok((3, 1)));
    assert!(lay_out(Vec::new(), ChunkKind::Ranged).is_ok_and(|layout| layout.is_empty()));
}

#[test]
fn a_gap_or_an_overlap_makes_no_content() {
    let ranged = |chunks: &[(u64, u64)]| {
        let blocks = chunks.iter().map(|(start, length)| block(ranged_id(*start, *length), *length));
        lay_out(blocks.collect(), ChunkKind::Ranged)
    };
    assert_eq!(ranged(&[(1, 1)]), Err(GAP));
    assert_eq!(ranged(&[(0, 1), (2, 1)]), Err(GAP));
    assert_eq!(ranged(&[(0, 2), (1, 1)]), Err(OVERLAP));
    assert_eq!(ranged(&[(0, 2), (0, 1)]), Err(OVERLAP));
    assert_eq!(ranged(&[(0, u64::MAX), (u64::MAX, 2)]), Err(OVERLAP));
    let twice = vec![block(appended_id(0, "a"), 3), block(appended_id(0, "b"), 3)];
    assert_eq!(lay_out(twice, ChunkKind::Appended), Err(OVERLAP));
}

#[test]
fn a_block_of_another_length_than_its_range_is_no_chunk() {
    let blocks = vec![block(ranged_id(0, 10), 9), block(ranged_id(10, 1), 1)];
    assert_eq!(lay_out(blocks, ChunkKind::Ranged), Err(GAP));
}

#[test]
fn the_longest_ids_fit() {
    assert!(ranged_id(u64::MAX, u64::MAX).len() <= 256);
    assert!(appended_id(u64::MAX, "00000000-0000-4000-8000-000000000000").len() <= 256);
}
