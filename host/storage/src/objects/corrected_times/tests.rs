use super::*;

fn listed(names: &[&'static str]) -> Vec<Listed<&'static str>> {
    names.iter().map(|name| Listed { name: *name, modified_ms: 9, size_bytes: 1 }).collect()
}

fn times(corrected: &CorrectedTimes, names: &[&'static str]) -> Vec<u64> {
    let mut items = listed(names);
    corrected.apply(&mut items, |name| name);
    items.into_iter().map(|item| item.modified_ms).collect()
}

#[test]
fn a_corrected_time_is_listed_until_it_is_forgotten() {
    let corrected = CorrectedTimes::default();
    corrected.set("a", 5);
    corrected.set("a", 6);
    assert_eq!(times(&corrected, &["a", "b"]), [6, 9]);
    corrected.forget("a");
    assert_eq!(times(&corrected, &["a", "b"]), [9, 9]);
}

#[test]
fn the_number_of_names_is_bounded() {
    let corrected = CorrectedTimes::default();
    for number in 0..2 * MAX_NAMES {
        corrected.set(&number.to_string(), 5);
    }
    assert_eq!(corrected.0.lock().len(), MAX_NAMES);
    corrected.set("0", 6);
    assert_eq!(times(&corrected, &["0"]), [6]);
}
