use proptest::prelude::*;

use super::{if_match, if_range, matches_any};

const TAG: &str = "\"0xAB\"";

#[test]
fn lists_of_tags_are_searched() {
    // Header value, strong comparison, weak comparison.
    for (list, strong, weak) in [
        (r#""0xAB""#, true, true),
        ("*", true, true),
        (" * ", true, true),
        (r#"W/"0xAB""#, false, true),
        (r#""x", "0xAB""#, true, true),
        (r#""x" ,W/"y",, "0xAB" , "z""#, true, true),
        (r#""x,y","0xAB""#, true, true),
        (r#""x, "0xAB"#, false, false),
        (r#""0xab""#, false, false),
        ("0xAB", false, false),
        (r#""x""#, false, false),
        (r#"""#, false, false),
        ("", false, false),
        ("W/", false, false),
    ] {
        assert_eq!((if_match(list, TAG), matches_any(list, TAG)), (strong, weak), "{list}");
    }
}

#[test]
fn if_range_needs_the_exact_tag_or_date() {
    let date = "Fri, 15 Jan 2027 08:00:00 GMT";
    for (value, expected) in [
        (TAG, true),
        (date, true),
        (r#"W/"0xAB""#, false),
        (r#""x""#, false),
        ("Fri, 15 Jan 2027 08:00:01 GMT", false),
        ("", false),
    ] {
        assert_eq!(if_range(value, TAG, date), expected, "{value}");
    }
}

proptest! {
    #[test]
    fn any_list_is_parsed_without_a_panic(list in "[\"W/, *a]*|\\PC*") {
        let _ = (if_match(&list, TAG), matches_any(&list, TAG));
    }

    #[test]
    fn a_listed_tag_is_found(before in proptest::collection::vec("(W/)?\"[a-z,]{0,3}\"", 0..4)) {
        let list = before.into_iter().chain([TAG.to_owned()]).collect::<Vec<_>>().join(", ");
        prop_assert!(if_match(&list, TAG) && matches_any(&list, TAG));
    }
}
