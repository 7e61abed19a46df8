#![expect(clippy::unwrap_used, reason = "tests")]

use super::Message;

fn message(key: &str, version: &str, restore_keys: Vec<String>) -> Message {
    Message { key: key.to_owned(), version: version.to_owned(), restore_keys, size_bytes: 0 }
}

fn is_valid(key: &str, version: &str, restore_keys: Vec<String>) -> bool {
    message(key, version, restore_keys).validate().is_ok()
}

#[test]
fn keys_have_up_to_512_characters_of_any_kind() {
    assert!(is_valid("index-#1: a/b %20 ,ü", "v", Vec::new()));
    assert!(is_valid(&"k".repeat(512), "v", Vec::new()));
    assert!(is_valid(&"😀".repeat(512), "v", Vec::new()));
    assert!(!is_valid(&"k".repeat(513), "v", Vec::new()));
    assert!(!is_valid(&"😀".repeat(513), "v", Vec::new()));
    assert!(!is_valid("", "v", Vec::new()));
    assert!(!is_valid("a\0", "v", Vec::new()));
}

#[test]
fn versions_have_up_to_512_bytes() {
    assert!(is_valid("k", &"v".repeat(512), Vec::new()));
    assert!(!is_valid("k", &"v".repeat(513), Vec::new()));
    assert!(!is_valid("k", "", Vec::new()));
    assert!(!is_valid("k", "\0", Vec::new()));
}

/// Fault 32.
#[test]
fn in_protocol_version_1_the_version_may_be_empty() {
    let valid = |version: &str| message("k", version, Vec::new()).validate_v1();
    assert_eq!(valid("").unwrap().version, "");
    assert!(valid(&"v".repeat(512)).is_ok());
    assert!(valid(&"v".repeat(513)).is_err() && valid("\0").is_err());
}

#[test]
fn restore_keys_are_limited_like_keys_and_empty_ones_are_dropped() {
    let keys = |count: usize| (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>();
    assert!(is_valid("k", "v", keys(100)));
    assert!(!is_valid("k", "v", keys(101)));
    assert!(!is_valid("k", "v", vec!["k".repeat(513)]));
    assert!(!is_valid("k", "v", vec!["\0".to_owned()]));
    let valid = message("k", "v", vec![String::new(), "a".to_owned()]).validate().unwrap();
    assert_eq!(valid.restore_keys, ["a"]);
}

#[test]
fn sizes_are_not_negative() {
    let sized = |size_bytes| Message { size_bytes, ..message("k", "v", Vec::new()) }.validate();
    assert_eq!(sized(i64::MAX).unwrap().size_bytes, i64::MAX as u64);
    assert!(sized(-1).is_err());
}
