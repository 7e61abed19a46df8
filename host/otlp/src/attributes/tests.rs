use super::parse_pairs;

#[test]
fn pairs_are_decoded_and_malformed_ones_refused() {
    let pairs = [("authorization".to_owned(), "Basic a=b".to_owned()), ("x".to_owned(), String::new())];
    assert_eq!(parse_pairs(" authorization=Basic%20a=b, x= ,"), Some(pairs.into()));
    assert_eq!(parse_pairs(""), Some(Vec::new()));
    for wrong in ["a", "=b", "a=%ff"] {
        assert_eq!(parse_pairs(wrong), None, "{wrong}");
    }
}
