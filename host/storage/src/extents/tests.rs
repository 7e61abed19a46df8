use proptest::prelude::*;

use super::*;

fn extents() -> impl Strategy<Value = Vec<Extent>> {
    let extent = (0..200_u64, 0..40_u64).prop_map(|(offset, length)| Extent { offset, length });
    prop::collection::vec(extent, 0..12)
}

fn positions(extents: &[Extent]) -> Vec<u64> {
    extents.iter().flat_map(|extent| extent.offset..extent.end()).collect()
}

proptest! {
    #[test]
    fn merging_keeps_every_position(extents in extents()) {
        let merged = merge(extents.clone());
        prop_assert_eq!(positions(&merged), positions(&extents));
        prop_assert!(merged.windows(2).all(|pair| pair[0].end() != pair[1].offset));
    }

    #[test]
    fn slices_are_slices_of_the_positions(extents in extents(), one: prop::sample::Index, other: prop::sample::Index) {
        let merged = merge(extents);
        let all = positions(&merged);
        let (one, other) = (one.index(all.len() + 1), other.index(all.len() + 1));
        let (start, end) = (one.min(other), one.max(other));
        let slice = slice(&merged, &(start as u64..end as u64));
        prop_assert_eq!(positions(&slice), &all[start..end]);
    }

    #[test]
    fn gaps_are_what_no_extent_covers(extents in extents()) {
        let covered = positions(&extents);
        let expected: Vec<u64> = (0..300).filter(|position| !covered.contains(position)).collect();
        prop_assert_eq!(positions(&gaps(&extents, 300)), expected);
    }
}
