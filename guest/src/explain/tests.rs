#![expect(clippy::unwrap_used, reason = "tests")]

use super::explain;
use crate::DefaultPolicy;
use crate::fake::{FakeHost, Fault, NOW_MS, block_on, claims};
use crate::ports::{Cause, Explanation, Finding, HitVerdict, IndexError, MatchKind, MissCause, Query};

fn query(scopes: &[&str], version: Option<&str>, keys: &[&str]) -> Query {
    Query {
        repository: "1".into(),
        scopes: claims("1", "t", scopes).scopes,
        version: version.map(str::to_owned),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    }
}

fn explained(host: &FakeHost, keys: &[&str]) -> Explanation {
    block_on(explain(&DefaultPolicy, host, NOW_MS, query(&["pr=rw", "main=r"], Some("v"), keys))).unwrap()
}

/// Attempts as `scope:key` (`*` for a prefix), with what was found.
fn attempts(explanation: &Explanation) -> Vec<String> {
    let text = |attempt: &crate::ports::Attempt| {
        let star = if attempt.kind == MatchKind::Prefix { "*" } else { "" };
        let found = match &attempt.finding {
            Finding::Nothing => "-".to_owned(),
            Finding::Match(entry) => format!("match {}", entry.id),
            Finding::Stale(entry) => format!("stale {}", entry.id),
            Finding::Expired(entry) => format!("expired {}", entry.id),
            Finding::Skipped(entry) => format!("skipped {}", entry.id),
        };
        format!("{}:{}{star} {found}", attempt.scope, attempt.key)
    };
    explanation.attempts.iter().map(text).collect()
}

#[test]
fn attempts_are_told_in_order_up_to_the_match_and_nothing_is_used() {
    let host = FakeHost::new();
    let entry = host.add_entry("main", "v", "k-0", b"x");
    let told = explained(&host, &["k-1", "k-"]);
    assert_eq!(told.cause, None);
    assert_eq!(
        attempts(&told),
        [
            "pr:k-1 -".to_owned(),
            "pr:k-1* -".to_owned(),
            "pr:k- -".to_owned(),
            "pr:k-* -".to_owned(),
            "main:k-1 -".to_owned(),
            "main:k-1* -".to_owned(),
            "main:k- -".to_owned(),
            format!("main:k-* match {entry}"),
        ]
    );
    assert!(host.touched().is_empty());
}

#[test]
fn entries_that_are_not_served_are_told_and_passed_by() {
    let host = FakeHost::new();
    host.configure(|settings| settings.max_age_ms = Some(10_000));
    let old = host.add_entry("pr", "v", "k", b"x");
    host.change_entry(old, |entry| entry.created_ms = NOW_MS - 10_001);
    let stale = host.add_entry("main", "v", "k", b"x");
    host.damage(stale, None);
    let told = explained(&host, &["k"]);
    let expected = [
        format!("pr:k expired {old}"),
        "pr:k -".to_owned(),
        "pr:k* -".to_owned(),
        format!("main:k stale {stale}"),
        "main:k -".to_owned(),
        "main:k* -".to_owned(),
    ];
    assert_eq!(attempts(&told), expected);
    assert_eq!(told.cause, Some(MissCause::Stale));
}

#[test]
fn what_a_rule_skips_is_told() {
    let host = FakeHost::new();
    let entry = host.add_entry("main", "v", "k", b"x");
    host.set_hit_rule(|_| HitVerdict::Skip("not for you".to_owned()));
    let told = explained(&host, &["k"]);
    assert_eq!(attempts(&told)[2], format!("main:k skipped {entry}"));
    assert_eq!(told.cause, Some(MissCause::Rule));
}

#[test]
fn what_came_near_is_listed_the_nearest_first_and_once() {
    let host = FakeHost::new();
    let gone = host.add_entry("main", "v", "k", b"gone");
    host.depart(gone, Cause::Quota, NOW_MS - 5);
    host.add_entry("main", "w", "k", b"other version");
    host.add_entry("elsewhere", "v", "k", b"x");
    host.add_entry("elsewhere", "v", "k-long", b"x");
    let told = explained(&host, &["k", "k"]);
    assert_eq!(told.cause, Some(MissCause::Evicted));
    let near: Vec<_> = told.near.iter().map(|near| (near.cause, near.slot.key.as_str())).collect();
    assert_eq!(
        near,
        [
            (MissCause::Evicted, "k"),
            (MissCause::OtherVersion, "k"),
            (MissCause::OtherScope, "k"),
            (MissCause::OtherScope, "k-long"),
        ]
    );
    let departed = told.near[0].departed.as_ref().unwrap();
    assert_eq!((departed.at_ms, &departed.cause), (NOW_MS - 5, &Cause::Quota));
}

#[test]
fn without_a_version_it_is_that_of_the_newest_entry_or_of_the_last_departed() {
    let host = FakeHost::new();
    let ask = || block_on(explain(&DefaultPolicy, &host, NOW_MS, query(&["main=r"], None, &["k"]))).unwrap();
    let unknown = ask();
    assert_eq!((unknown.version, unknown.cause), (None, Some(MissCause::NeverSaved)));
    assert!(unknown.attempts.is_empty());
    let old = host.add_entry("main", "v1", "k", b"x");
    let new = host.add_entry("main", "v2", "k", b"x");
    assert_eq!(ask().version.as_deref(), Some("v2"));
    assert_eq!(ask().cause, None);
    for id in [old, new] {
        host.depart(id, Cause::Age, NOW_MS);
    }
    let gone = ask();
    assert_eq!((gone.version.as_deref(), gone.cause), (Some("v2"), Some(MissCause::Expired)));
}

/// The usual case: the key has a new digest, and a restore key finds what was saved before.
#[test]
fn of_a_key_that_was_never_saved_the_version_is_that_of_what_comes_near() {
    let host = FakeHost::new();
    let ask = |keys: &[&str]| {
        block_on(explain(&DefaultPolicy, &host, NOW_MS, query(&["pr=rw", "main=r"], None, keys))).unwrap()
    };
    let older = host.add_entry("main", "v1", "npm-linux-1", b"x");
    host.change_entry(older, |entry| entry.created_ms = NOW_MS - 3);
    let newer = host.add_entry("main", "v2", "npm-linux-2", b"x");
    host.change_entry(newer, |entry| entry.created_ms = NOW_MS - 2);
    let unreadable = host.add_entry("elsewhere", "v3", "npm-linux-3", b"x");
    host.change_entry(unreadable, |entry| entry.created_ms = NOW_MS - 1);
    let told = ask(&["npm-linux-4", "npm-linux-", "npm-"]);
    assert_eq!((told.version.as_deref(), told.cause), (Some("v2"), None));
    assert_eq!(attempts(&told).last(), Some(&format!("main:npm-linux-* match {newer}")));
    assert_eq!(ask(&["npm-linux-3-more", "npm-linux-3"]).version.as_deref(), Some("v3"));
    let unknown = ask(&["cargo-1", "cargo-"]);
    assert_eq!((unknown.version, unknown.cause), (None, Some(MissCause::NeverSaved)));
}

#[test]
fn without_a_readable_scope_it_is_denied() {
    let host = FakeHost::new();
    host.add_entry("main", "v", "k", b"x");
    let told =
        block_on(explain(&DefaultPolicy, &host, NOW_MS, query(&["main=w"], Some("v"), &["k"]))).unwrap();
    assert_eq!(told.cause, Some(MissCause::Denied));
    assert_eq!(told.near[0].cause, MissCause::Denied);
}

#[test]
fn attempts_and_neighbours_are_bounded() {
    let host = FakeHost::new();
    for n in 0..1100 {
        let id = host.add_entry("pr", "v", &format!("k-{n}"), b"x");
        host.damage(id, None);
    }
    for n in 0..250 {
        host.add_entry("elsewhere", "v", &format!("k-{n}"), b"x");
        host.add_entry("elsewhere", "v", "k-", b"x");
    }
    let told = explained(&host, &["k-"]);
    assert_eq!((told.attempts.len(), told.near.len()), (1000, 100));
}

#[test]
fn an_index_that_fails_is_an_error() {
    let host = FakeHost::new();
    for call in ["index.find", "index.list-near", "index.list-departed"] {
        host.fail(call, Fault::Index(IndexError::Unavailable("x".into())));
        let asked = block_on(explain(&DefaultPolicy, &host, NOW_MS, query(&["main=r"], Some("v"), &["k"])));
        assert_eq!(asked, Err(IndexError::Unavailable("x".into())), "{call}");
        host.heal();
    }
}
