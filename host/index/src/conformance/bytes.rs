//! Promises of an index that compares keys byte for byte.

use super::Case;

pub(crate) async fn keys_are_case_sensitive(case: &Case) {
    for key in ["Deps-1", "deps-1", "DEPS-1", "straße", "STRASSE", "İ", "i"] {
        case.entry(key).await;
    }
    for key in ["Deps-1", "deps-1", "DEPS-1", "straße", "STRASSE", "İ", "i"] {
        assert_eq!(case.exact(key).await.as_deref(), Some(key));
        assert_eq!(case.prefix(key).await.as_deref(), Some(key));
    }
    assert_eq!(case.exact("dEPS-1").await, None);
    assert_eq!(case.prefix("dEPS").await, None);
    assert_eq!(case.prefix("De").await.as_deref(), Some("Deps-1"));
}

pub(crate) async fn slots_that_differ_in_one_part_are_different(case: &Case) {
    let mut other = case.slot("s", "v", "k");
    other.repository.push('2');
    let slots = [
        case.slot("s", "v", "k"),
        case.slot("s", "v", "K"),
        case.slot("S", "v", "k"),
        case.slot("s", "V", "k"),
        case.slot("sv", "", "k"),
        case.slot("", "", ""),
        other,
    ];
    for slot in &slots {
        assert_eq!(&case.reserve(slot, 1).await.slot, slot);
    }
    for slot in &slots {
        let upload = case.index.find_upload(slot).await.unwrap().expect("the upload");
        assert_eq!(&upload.slot, slot);
    }
}
