#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::KeyRule;

/// Fault 4.
#[test]
fn only_ascii_letters_are_folded() {
    let rule = KeyRule::AnyCase;
    assert_eq!(rule.compared("macOS-13-DEPS"), "macos-13-deps");
    for other in ["ÄÖ", "İ", "ı", "ß", "\u{212a}", "@[`{", "0_%\0", "", "deps-1"] {
        assert_eq!(rule.folded(other), None, "{other}");
        assert_eq!(rule.compared(other), other);
    }
    assert_eq!(rule.compared("ÄÖ-Z\0Z"), "ÄÖ-z\0z");
}

#[test]
fn bytes_are_left_alone() {
    assert_eq!(KeyRule::Bytes.folded("ABC"), None);
    assert_eq!(KeyRule::Bytes.compared("ABC"), "ABC");
}

/// Folding a prefix of a key yields a prefix of the folded key.
#[test]
fn folding_keeps_lengths_and_prefixes() {
    let key = "Ünïcode-KEY-\u{10ffff}Z";
    for (end, _) in key.char_indices() {
        let (start, whole) = (KeyRule::AnyCase.compared(&key[..end]), KeyRule::AnyCase.compared(key));
        assert!(whole.starts_with(&*start) && start.len() == end);
    }
}
