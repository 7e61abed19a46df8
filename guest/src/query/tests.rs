use proptest::prelude::*;

use super::parameter;

fn value(query: &str, name: &str) -> Option<String> {
    parameter(Some(query), name)
        .map(|value| value.map_or_else(|_| "not UTF-8".to_owned(), std::borrow::Cow::into_owned))
}

#[test]
fn a_parameter_is_found_anywhere_and_decoded_once() {
    for (query, name, expected) in [
        ("a=1&b=2", "b", Some("2")),
        ("b=2&a=1", "b", Some("2")),
        ("b=2&b=3", "b", Some("2")),
        ("&&b=2", "b", Some("2")),
        ("b", "b", Some("")),
        ("b=", "b", Some("")),
        ("b=x=y", "b", Some("x=y")),
        ("%62=2", "b", Some("2")),
        ("b=%2Fa%3D%3D", "b", Some("/a==")),
        ("b=%252F", "b", Some("%2F")),
        ("b=a+/b", "b", Some("a+/b")),
        ("b=%zz", "b", Some("%zz")),
        ("b=%", "b", Some("%")),
        ("b=%ff", "b", Some("not UTF-8")),
        ("ab=1", "b", None),
        ("B=1", "b", None),
        ("", "b", None),
    ] {
        assert_eq!(value(query, name).as_deref(), expected, "{query}");
    }
    assert!(parameter(None, "b").is_none());
}

proptest! {
    #[test]
    fn any_query_is_parsed_without_a_panic(query in "\\PC*", name in "[a-z]{0,3}") {
        let _ = parameter(Some(&query), &name);
    }

    #[test]
    fn encoded_values_round_trip(text in "\\PC*", before in "[a-z]=[0-9]&|") {
        let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
        let query = format!("{before}blockid={encoded}&z=1");
        prop_assert_eq!(value(&query, "blockid"), Some(text));
    }
}
