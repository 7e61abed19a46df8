#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn names_of_tenants_have_their_form() {
    for name in ["a", "0", "default", "team-1", "a--b", &"x".repeat(63)] {
        assert_eq!(name.parse::<TenantName>().unwrap().as_str(), name);
    }
    for name in
        ["", "-", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "a\0", "ä", "a b", "a\n", &"x".repeat(64)]
    {
        assert!(name.parse::<TenantName>().is_err(), "{name:?}");
    }
}

#[test]
fn the_default_is_a_valid_name() {
    let name = TenantName::default();
    assert_eq!(TenantName::parse(name.as_str()).unwrap(), name);
    assert!(name.is_default());
    assert!(!TenantName::parse("default-1").unwrap().is_default());
}

#[test]
fn an_error_shows_a_long_text_in_part() {
    let error = TenantName::parse(&"X\n".repeat(10_000)).unwrap_err().to_string();
    assert!(error.len() < 400, "{error}");
    assert!(!error.contains('\n'), "{error}");
}
