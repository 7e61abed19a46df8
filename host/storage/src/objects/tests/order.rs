//! The order of parts, and when an object is plain.

use futures_util::future;
use proptest::prelude::*;

use super::{bucket, commits_to, put, storage, toolkit_id};
use crate::{
    BlockId, Storage,
    conformance::{id, new_upload, pattern, unannounced, whole},
    objects::part_numbers::{self, PartNumbers},
};

#[test]
fn ids_of_the_toolkit_tell_their_place() {
    assert_eq!(part_numbers::index_of(&toolkit_id(0)), Some(0));
    assert_eq!(part_numbers::index_of(&toolkit_id(49_999)), Some(49_999));
    assert_eq!(part_numbers::index_of(&toolkit_id(50_000)), None);
    assert_eq!(
        part_numbers::index_of(&id("ZmJlMDdjMDAtZjQ1ZS00YjExLTljYjQtMWU4NGFmZWRiNGUwMDAwMDAwMDAwMDAy")),
        Some(2)
    );
    // BuildKit, wireit, a UUID alone, plain text.
    for other in ["mAIuHFFgSw56GIx7t8GPCAAAACIAAA==", "MDAwMA==", "Zm9v", "x", "0000"] {
        assert_eq!(part_numbers::index_of(&id(other)), None, "{other}");
    }
}

proptest! {
    #[test]
    fn numbers_are_never_given_twice(takes in prop::collection::vec((0..12_u32, 1..20_u32, any::<bool>()), 0..40)) {
        let mut numbers = PartNumbers::new(160);
        let mut taken = std::collections::BTreeSet::new();
        for (place, count, is_reserved) in takes {
            let got = if is_reserved { numbers.take_reserved(place, count) } else { numbers.take_next(count) };
            let Some(got) = got else { continue };
            prop_assert_eq!(got.len(), count as usize);
            prop_assert!(got.windows(2).all(|pair| pair[1] == pair[0] + 1));
            for number in got {
                prop_assert!((1..=160).contains(&number) && taken.insert(number), "{}", number);
                prop_assert!(!is_reserved || (number - 1) / 16 == place);
            }
        }
    }

    #[test]
    fn pieces_are_a_body_and_large_enough(length in 0..2_000_000_u64, is_low: bool) {
        let sizes = crate::objects::part_size::PartSizes { min_part: 10_000, part: 16_000, max_number: 10_000 };
        let pieces = sizes.split(length, is_low);
        prop_assert_eq!(pieces.iter().sum::<u64>(), length);
        prop_assert!(pieces.len() < 2 || pieces.iter().all(|piece| (10_000..20_000).contains(piece)));
        let whole = sizes.split_whole(length);
        prop_assert_eq!(whole.iter().sum::<u64>(), length);
        prop_assert!(whole.iter().rev().skip(1).all(|piece| *piece >= 10_000));
    }
}

#[tokio::test]
async fn blocks_of_the_toolkit_need_no_rearranging_however_they_arrive() {
    let bucket = bucket();
    let storage = storage(&bucket);
    for arrival in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]] {
        let upload = new_upload();
        // The last one is shorter, as it is with the client, and smaller than a part.
        let bodies: Vec<Vec<u8>> =
            [70_000, 70_000, 70_000, 70_000, 4_000].iter().map(|n| pattern(*n, *n as u64)).collect();
        let list: Vec<BlockId> = (0..5).map(toolkit_id).collect();
        let puts = arrival.iter().map(|at| put(&storage, &upload, &list[*at], &bodies[*at]));
        future::join_all(puts).await;
        assert!(commits_to(&storage, &upload, &list, &bodies.concat()).await);
    }
}

#[tokio::test]
async fn a_resent_block_of_the_toolkit_keeps_its_place() {
    let bucket = bucket();
    let storage = storage(&bucket);
    let upload = new_upload();
    let list: Vec<BlockId> = (0..3).map(toolkit_id).collect();
    let bodies: Vec<Vec<u8>> = (0..3).map(|seed| pattern(70_000, seed)).collect();
    put(&storage, &upload, &list[1], &pattern(70_000, 9)).await;
    let broken = crate::conformance::broken(Some(70_000), &bodies[0][..50_000]);
    storage.put_block(&upload, &list[0], broken).await.unwrap_err();
    for at in [2, 0, 1] {
        put(&storage, &upload, &list[at], &bodies[at]).await;
    }
    assert!(commits_to(&storage, &upload, &list, &bodies.concat()).await);
    assert_eq!(bucket.open_multiparts(), 0);
}

#[tokio::test]
async fn more_blocks_than_one_multipart_takes_are_segmented() {
    // 10 blocks of four parts each need 160 numbers.
    let bucket = super::MemoryBucket::new(super::MIN, 64);
    let storage = storage(&bucket);
    let upload = new_upload();
    let list: Vec<BlockId> = (0..10).map(toolkit_id).collect();
    let bodies: Vec<Vec<u8>> = (0..10).map(|seed| pattern(64_000, seed)).collect();
    for at in [9, 0, 5, 1, 2, 8, 3, 4, 7, 6] {
        put(&storage, &upload, &list[at], &bodies[at]).await;
    }
    assert!(!commits_to(&storage, &upload, &list, &bodies.concat()).await);
    let objects = storage.list_objects(None).await.unwrap();
    assert_eq!(objects.items.len(), 1);
    storage.remove(&objects.items[0].name).await.unwrap();
    assert_eq!(bucket.keys("objects/"), Vec::<String>::new());
}

#[tokio::test]
async fn sequential_blocks_of_any_size_and_length_need_no_rearranging() {
    let bucket = bucket();
    let storage = storage(&bucket);
    for lengths in
        [vec![1_000; 100], vec![9_999, 10_000, 10_001, 50_000, 3], vec![32_000; 5], vec![15_999; 7]]
    {
        for announces in [true, false] {
            let upload = new_upload();
            let bodies: Vec<Vec<u8>> = lengths.iter().map(|length| pattern(*length, 3)).collect();
            let list: Vec<BlockId> = (0..bodies.len()).map(|n| id(&format!("b{n}"))).collect();
            for (id, body) in list.iter().zip(&bodies) {
                let source = if announces { whole(body) } else { unannounced(body) };
                storage.put_block(&upload, id, source).await.unwrap();
            }
            let is_plain = commits_to(&storage, &upload, &list, &bodies.concat()).await;
            // A small block between large ones is stored after them.
            assert!(is_plain || lengths.contains(&9_999), "{lengths:?} {announces}");
        }
    }
}
