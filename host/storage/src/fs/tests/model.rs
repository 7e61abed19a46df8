//! Random uploads against a model.

use std::collections::HashMap;

use proptest::prelude::*;

use super::Temporary;
use crate::{
    Storage,
    conformance::{Fixture, broken, id, new_upload, pattern, read_range, unannounced, whole},
};

#[derive(Clone, Debug)]
enum Step {
    Block { id: u8, length: usize, announced: bool },
    Broken { id: u8, length: usize },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let length = || prop_oneof![4 => 0..200_usize, 1 => 60_000..300_000_usize];
    prop_oneof![
        8 => (0..6_u8, length(), any::<bool>())
            .prop_map(|(id, length, announced)| Step::Block { id, length, announced }),
        2 => (0..6_u8, length()).prop_map(|(id, length)| Step::Broken { id, length }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn uploads_and_ranges_are_what_a_model_says(
        steps in prop::collection::vec(step(), 0..14),
        list in prop::collection::vec(0..6_u8, 0..10),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(steps, list, cuts));
    }
}

async fn run(steps: Vec<Step>, list: Vec<u8>, cuts: Vec<(prop::sample::Index, prop::sample::Index)>) {
    let mut fixture = Temporary::new();
    let upload = new_upload();
    let mut model: HashMap<u8, Vec<u8>> = HashMap::new();
    for (seed, step) in steps.into_iter().enumerate() {
        match step {
            Step::Block { id: block, length, announced } => {
                let bytes = pattern(length, seed as u64);
                let source = if announced { whole(&bytes) } else { unannounced(&bytes) };
                fixture.storage().put_block(&upload, &id(&block.to_string()), source).await.unwrap();
                model.insert(block, bytes);
            }
            Step::Broken { id: block, length } => {
                let source = broken(Some(length as u64 + 1), &pattern(length, seed as u64));
                fixture.storage().put_block(&upload, &id(&block.to_string()), source).await.unwrap_err();
            }
            Step::Restart => fixture.restart().await,
        }
    }
    let listed: Vec<u8> = list.into_iter().filter(|block| model.contains_key(block)).collect();
    let ids: Vec<_> = listed.iter().map(|block| id(&block.to_string())).collect();
    let expected: Vec<u8> = listed.iter().flat_map(|block| model[block].clone()).collect();
    let stored = fixture.storage().commit(&upload, &ids).await.unwrap();
    assert_eq!(stored.size_bytes, expected.len() as u64);
    check_ranges(fixture.storage(), &stored.object, &expected, &cuts).await;
}

async fn check_ranges(
    storage: &dyn Storage,
    object: &crate::ObjectName,
    expected: &[u8],
    cuts: &[(prop::sample::Index, prop::sample::Index)],
) {
    assert!(read_range(storage, object, expected.len() as u64, None).await == expected);
    for (one, other) in cuts {
        let (one, other) = (one.index(expected.len() + 1), other.index(expected.len() + 1));
        let (start, end) = (one.min(other), one.max(other));
        let actual = read_range(storage, object, expected.len() as u64, Some(start as u64..end as u64)).await;
        assert!(actual == expected[start..end], "{start}..{end}");
    }
}
