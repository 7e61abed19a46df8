use proptest::prelude::*;

use super::{probes, readable_scopes, writable_scope};
use crate::fake::claims;
use crate::ports::MatchKind;

fn listed(scopes: &[&str], key: &str, restore_keys: &[&str]) -> Vec<String> {
    let restore_keys: Vec<_> = restore_keys.iter().map(|key| (*key).to_owned()).collect();
    let star = |kind| if kind == MatchKind::Prefix { "*" } else { "" };
    let probes = probes(&claims("1", "t", scopes).scopes, key, &restore_keys);
    probes.iter().map(|probe| format!("{}:{}{}", probe.scope, probe.key, star(probe.kind))).collect()
}

#[test]
fn all_keys_of_a_scope_come_before_the_next_scope_and_exact_before_prefix() {
    let expected = ["pr:k", "pr:k*", "pr:r", "pr:r*", "main:k", "main:k*", "main:r", "main:r*"];
    assert_eq!(listed(&["pr=rw", "main=r"], "k", &["r"]), expected);
}

#[test]
fn unreadable_scopes_are_not_searched() {
    assert_eq!(listed(&["a=w", "b=r", "c="], "k", &[]), ["b:k", "b:k*"]);
    assert!(listed(&["a=w"], "k", &["r"]).is_empty());
}

#[test]
fn repeated_keys_and_scopes_are_searched_once() {
    assert_eq!(listed(&["a=r", "a=rw"], "k", &["k", "r", "k", "r"]), ["a:k", "a:k*", "a:r", "a:r*"]);
    let claims = claims("1", "t", &["a=w", "a=r", "b=r", "a=r"]);
    assert_eq!(readable_scopes(&claims.scopes).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn entries_are_saved_into_the_first_writable_scope() {
    assert_eq!(writable_scope(&claims("1", "t", &["a=r", "b=w", "c=rw"])), Some("b"));
    assert_eq!(writable_scope(&claims("1", "t", &["a=r"])), None);
}

proptest! {
    #[test]
    fn no_probe_is_repeated(scopes in proptest::collection::vec("[ab]{1,2}=(r|w|rw)", 0..5), keys in proptest::collection::vec("[ab]{1,2}", 1..6)) {
        let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let made = listed(&scopes, keys[0], &keys[1..]);
        let mut distinct = made.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(made.len(), distinct.len());
    }
}
