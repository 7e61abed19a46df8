use super::shares;

#[test]
fn who_has_most_gives_most() {
    assert!(shares(&[], 5).is_empty());
    assert_eq!(shares(&[100], 5), [5]);
    assert_eq!(shares(&[100, 10], 5), [5]);
    assert_eq!(shares(&[100, 98, 10], 8), [5, 3]);
    assert_eq!(shares(&[10, 10, 10, 10], 8), [2, 2, 2, 2]);
    assert_eq!(shares(&[10, 5], 100), [10, 5], "more than there is");
    assert_eq!(shares(&[0, 0], 1), [0, 0]);
    assert_eq!(
        shares(&[u64::MAX, u64::MAX], u64::MAX).iter().map(|share| u128::from(*share)).sum::<u128>(),
        u128::from(u64::MAX) + 1
    );
}

#[test]
fn nobody_gives_who_has_less_than_others_keep() {
    for seed in 0_u64..500 {
        let random = |at: u64| (seed * 31 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let mut usages: Vec<u64> = (0..1 + seed % 7).map(random).collect();
        usages.sort_by_key(|bytes| std::cmp::Reverse(*bytes));
        let all: u64 = usages.iter().sum();
        let surplus = random(99) % (all + 2);
        let shares = shares(&usages, surplus);
        let given: u64 = shares.iter().sum();
        assert!(given >= surplus.min(all) && given <= surplus + shares.len() as u64, "{usages:?} {surplus}");
        let kept: Vec<u64> = usages.iter().zip(&shares).map(|(usage, share)| usage - share).collect();
        let others = usages.get(shares.len()).copied().unwrap_or(0);
        assert!(kept.iter().all(|left| left + 1 >= others), "{usages:?} {surplus} {kept:?}");
        assert!(kept.iter().max().unwrap_or(&0) - kept.iter().min().unwrap_or(&0) <= 1, "{kept:?}");
    }
}
