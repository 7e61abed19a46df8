#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Admission, Asker, Caller, Difference, Entry, Hit, Interface, Limits, Member, RetentionVerdict, Rules,
    Save, SaveVerdict, Scope, ShadowStatus, Source,
};

/// QuickJS is compiled once for all tests.
static COMPILED: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

fn rules(text: &str) -> std::sync::Arc<Rules> {
    let source = Source::Script { text: text.to_owned(), name: "rules.js".to_owned() };
    Rules::load(source, Some(COMPILED.path())).unwrap()
}

fn asker(active: Option<&str>, shadow: &str) -> Asker {
    let asker = Asker::new(Limits::default());
    asker.exchange(active.map(rules));
    asker.set_shadow(Some(rules(shadow)), 100).unwrap();
    asker
}

/// Waits until no question waits.
fn settled(asker: &Asker) -> ShadowStatus {
    let began = Instant::now();
    loop {
        let status = asker.shadow_status().unwrap();
        if status.answered + status.dropped == status.offered {
            return status;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn caller(repository: &str) -> Caller {
    let scope = Scope { name: "refs/heads/main".to_owned(), read: true, write: true };
    Caller { repository: repository.to_owned(), scopes: vec![scope], ..Caller::default() }
}

fn save(key: &str) -> Save {
    Save { key: key.to_owned(), ..Save::default() }
}

fn difference(interface: Interface, active: &str, shadow: &str, count: u64) -> Difference {
    Difference { interface, active: active.to_owned(), shadow: shadow.to_owned(), count }
}

const STRICT: &str = "
export const access = { admit: ({ repository, scopes }) =>
  repository === 'throw' ? nothing.at.all
  : repository === 'same' ? { tag: 'scopes', val: scopes }
  : repository === 'less' ? { tag: 'scopes', val: scopes.map((scope) => ({ ...scope, write: false })) }
  : { tag: 'deny', val: `not ${repository}` } };
export const restore = { judgeHit: (caller, { key }) => key === 'old' ? { tag: 'skip', val: 'too old' } : { tag: 'accept' } };
export const save = { judgeSave: (caller, key) => key === 'large' ? { tag: 'refuse', val: 'too large' } : { tag: 'default' } };
export const retention = {
  group: (entries) => entries.map(({ key }) => key.split('-')[0]),
  judge: (members) => members.map(({ place }) => place === null ? { tag: 'default' } : place > 0 ? { tag: 'remove', val: 'newest' } : { tag: 'keep' }),
};";

#[test]
fn without_rules_in_force_the_built_in_decision_holds_and_is_compared_with() {
    let asker = asker(None, STRICT);
    assert!(Interface::ALL.iter().all(|interface| asker.is_asked(*interface) && !asker.answers(*interface)));
    for repository in ["a", "b", "same", "less", "throw"] {
        assert_eq!(asker.admit(&caller(repository)), Ok(Admission::Default), "{repository}");
    }
    for key in ["old", "new"] {
        let entry = Entry { key: key.to_owned(), ..Entry::default() };
        assert_eq!(asker.judge_hit(&caller("a"), &entry), Ok(Hit::Accept));
    }
    assert_eq!(asker.judge_save(&caller("a"), &save("large")), Ok(SaveVerdict::Default));
    assert_eq!(asker.judge_save(&caller("a"), &save("small")), Ok(SaveVerdict::Default));
    let status = settled(&asker);
    assert_eq!((status.offered, status.answered, status.dropped), (9, 9, 0));
    let mut differences = status.differences.clone();
    differences.sort_by_key(|difference| (difference.interface, difference.shadow.clone()));
    assert_eq!(
        differences,
        [
            difference(Interface::Access, "default", "deny", 2),
            difference(Interface::Access, "default", "failed", 1),
            difference(Interface::Access, "default", "scopes", 1),
            difference(Interface::Restore, "accept", "skip", 1),
            difference(Interface::Save, "default", "refuse", 1),
        ]
    );
    assert_eq!(status.differ, 6);
    let latest = &status.examples[0];
    assert_eq!((latest.key.as_deref(), latest.text.as_deref()), (Some("large"), Some("too large")));
    let denied = status.examples.iter().find(|example| example.shadow == "deny").unwrap();
    assert_eq!((&*denied.repository, denied.text.as_deref()), ("b", Some("not b")));
    assert_eq!(denied.scopes, ["refs/heads/main"]);
}

#[test]
fn what_holds_is_the_answer_of_the_rules_in_force_and_a_promoted_shadow_differs_in_nothing() {
    let lenient =
        "export const access = { admit: ({ repository }) => ({ tag: 'deny', val: `no ${repository}` }) };";
    let asker = asker(Some(lenient), STRICT);
    let denied = |repository: &str| Ok(Admission::Deny(format!("no {repository}")));
    assert_eq!(asker.admit(&caller("less")), denied("less"));
    // The same decision in other words is none that differs.
    assert_eq!(asker.admit(&caller("a")), denied("a"));
    let status = settled(&asker);
    assert_eq!(status.differences, [difference(Interface::Access, "deny", "scopes", 1)]);
    let generation = asker.generation();
    asker.exchange(Some(rules(STRICT)));
    assert_ne!(asker.generation(), generation);
    for repository in ["a", "less", "same", "throw"] {
        let _ = asker.admit(&caller(repository));
    }
    let status = settled(&asker);
    assert_eq!((status.answered, status.differ), (4, 0), "{status:?}");
    asker.set_shadow(None, 100).unwrap();
    assert_eq!(asker.shadow_status(), None);
}

#[test]
fn entries_are_judged_by_their_places_in_the_groups_of_the_shadow() {
    let asker = asker(None, STRICT);
    let entries = ["npm-1", "npm-2", "go-1"].map(|key| Entry { key: key.to_owned(), ..Entry::default() });
    assert_eq!(asker.group(&entries), Ok(vec![None; 3]));
    let groups: Vec<_> = asker.shadow_group(&entries).unwrap().into_iter().flatten().collect();
    assert_eq!(groups, ["npm", "npm", "go"]);
    let members = entries.map(|entry| Member { entry, place: None });
    let places = [Some(1), Some(0), Some(0)];
    assert_eq!(asker.judge(&members, |at| places[at]), Ok(vec![RetentionVerdict::Default; 3]));
    let status = settled(&asker);
    assert_eq!((status.offered, status.differ), (1, 3));
    let removed = status.examples.iter().find(|example| example.shadow == "remove").unwrap();
    assert_eq!((removed.key.as_deref(), removed.text.as_deref()), (Some("npm-1"), Some("newest")));
}

#[test]
fn a_sample_is_what_was_asked_for() {
    let asker = Asker::new(Limits::default());
    asker.set_shadow(Some(rules(STRICT)), 25).unwrap();
    for _ in 0..200 {
        let _ = asker.admit(&caller("a"));
    }
    let status = settled(&asker);
    assert_eq!((status.offered, status.left_out), (50, 150));
}

#[test]
fn examples_are_few_and_every_kind_has_some() {
    let asker = asker(None, STRICT);
    let _ = asker.admit(&caller("less"));
    settled(&asker);
    for at in 0..300 {
        let _ = asker.admit(&caller(&format!("r{at}")));
        settled(&asker);
    }
    let status = settled(&asker);
    let of = |shadow: &str| status.examples.iter().filter(|example| example.shadow == shadow).count();
    assert_eq!((of("deny"), of("scopes"), status.examples.len()), (10, 1, 11));
    assert_eq!(status.examples[0].repository, "r299");
    assert_eq!(status.differ, 301);
}
