//! Refusals.

use super::Case;

/// How long a refusal is remembered at least.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Later than the refusals of any other case, which are not forgotten by this one's then.
const AT_MS: u64 = 1_000 * DAY_MS;

fn marks<const N: usize>(case: &Case, names: [&str; N]) -> Vec<String> {
    names.map(|name| format!("{}/{name}", case.repository)).to_vec()
}

pub(crate) async fn a_refusal_is_found_by_any_of_its_marks(case: &Case) {
    let index = &case.index;
    assert!(!index.was_refused(&marks(case, ["a", "b"])).await.unwrap());
    index.note_refused(&marks(case, ["a", "b"]), AT_MS).await.unwrap();
    index.note_refused(&marks(case, ["b"]), AT_MS + 1).await.unwrap();
    for found in [marks(case, ["a"]), marks(case, ["x", "b"])] {
        assert!(index.was_refused(&found).await.unwrap(), "{found:?}");
    }
    assert!(!index.was_refused(&marks(case, ["c", "A"])).await.unwrap());
    assert!(!index.was_refused(&[]).await.unwrap());
}

pub(crate) async fn refusals_are_forgotten_after_a_day(case: &Case) {
    let index = &case.index;
    index.note_refused(&marks(case, ["old"]), AT_MS - DAY_MS - 1).await.unwrap();
    index.note_refused(&marks(case, ["young"]), AT_MS - DAY_MS).await.unwrap();
    index.note_refused(&marks(case, ["new"]), AT_MS).await.unwrap();
    assert!(!index.was_refused(&marks(case, ["old"])).await.unwrap());
    assert!(index.was_refused(&marks(case, ["young"])).await.unwrap());
    assert!(index.was_refused(&marks(case, ["new"])).await.unwrap());
}
