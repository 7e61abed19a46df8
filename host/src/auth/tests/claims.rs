use serde_json::{Value, json};

use super::support::*;
use crate::{
    auth::{Scope, TokenError},
    config::Auth,
};

/// The claim that a token with these changes is refused for.
fn refused(auth: &Auth, changes: Value) -> String {
    match verify(auth, &hs256(&claims_with(changes.clone()))) {
        Err(TokenError::BadClaim(problem)) => problem,
        other => panic!("{changes}: {other:?}"),
    }
}

#[test]
fn dates_hold_to_the_millisecond_with_the_leeway() {
    let token = hs256(&claims());
    let at = |now_ms: u64| verify_at(&auth(), &token, now_ms).map(drop);
    let (exp_ms, nbf_ms) = ((NOW + 3600) * 1000, (NOW - 10) * 1000);
    assert_eq!(at(exp_ms + 60_000 - 1), Ok(()));
    assert_eq!(at(exp_ms + 60_000), Err(TokenError::Expired));
    assert_eq!(at(u64::MAX), Err(TokenError::Expired));
    assert_eq!(at(nbf_ms - 60_000), Ok(()));
    assert_eq!(at(nbf_ms - 60_000 - 1), Err(TokenError::NotYetValid));
    assert_eq!(at(0), Err(TokenError::NotYetValid));
    let strict = Auth { leeway_ms: 0, ..auth() };
    assert_eq!(verify_at(&strict, &token, exp_ms).map(drop), Err(TokenError::Expired));
    assert_eq!(verify_at(&strict, &token, exp_ms - 1).map(drop), Ok(()));
}

#[test]
fn dates_may_be_any_number_and_nothing_else() {
    let expires =
        |exp: Value| verify(&auth(), &hs256(&claims_with(json!({ "exp": exp })))).map(|c| c.expires_ms);
    assert_eq!(expires(json!(NOW as f64 + 0.5)), Ok(NOW_MS + 500));
    assert_eq!(expires(json!(u64::MAX)), Ok(u64::MAX));
    assert_eq!(expires(json!(1e300)), Ok(u64::MAX));
    assert_eq!(expires(json!(-1)), Err(TokenError::Expired));
    assert_eq!(expires(json!("x")), Err(TokenError::BadClaim("exp must be a number".into())));
    assert_eq!(refused(&auth(), json!({ "exp": null })), "exp is missing");
    assert_eq!(refused(&auth(), json!({ "nbf": "x" })), "nbf must be a number");
    verify(&auth(), &hs256(&claims_with(json!({ "nbf": null })))).unwrap();
}

#[test]
fn a_repository_is_text_or_a_whole_number() {
    let repository = |id: Value| {
        verify(&auth(), &hs256(&claims_with(json!({ "repository_id": id })))).unwrap().repository.clone()
    };
    assert_eq!(repository(json!("9007199254740993")), "9007199254740993");
    assert_eq!(repository(json!(9_007_199_254_740_993_u64)), "9007199254740993");
    assert_eq!(repository(json!("org/repo_1.x-y")), "org/repo_1.x-y");
    for id in [json!(""), json!("a:b"), json!("a b"), json!("é"), json!("x".repeat(129))] {
        assert_eq!(
            refused(&auth(), json!({ "repository_id": id })),
            "repository_id is not of the form of an id"
        );
    }
    for id in [json!(1.5), json!(-1), json!(true), json!([1])] {
        assert_eq!(
            refused(&auth(), json!({ "repository_id": id })),
            "repository_id must be text or a whole number"
        );
    }
}

#[test]
fn a_token_without_repository_needs_the_default_one() {
    let without = json!({ "repository_id": null });
    assert_eq!(refused(&auth(), without.clone()), "repository_id is missing");
    let auth = Auth { default_repository: Some("gitea".into()), ..auth() };
    assert_eq!(verify(&auth, &hs256(&claims_with(without))).unwrap().repository, "gitea");
    assert_eq!(verify(&auth, &hs256(&claims())).unwrap().repository, "42");
}

/// Fault 22: without the prefix the default could name a repository of another platform.
#[test]
fn the_default_repository_is_behind_the_prefix_too() {
    let without = json!({ "repository_id": null });
    let auth = Auth {
        default_repository: Some("42".into()),
        hs256_repository_prefix: "gitea:".to_owned(),
        ..auth()
    };
    assert_eq!(verify(&auth, &hs256(&claims_with(without))).unwrap().repository, "gitea:42");
}

#[test]
fn scopes_keep_their_order_and_bits() {
    let ac =
        json!((0..8).rev().map(|p| json!({ "Scope": format!("r{p}"), "Permission": p })).collect::<Vec<_>>());
    let expected: Vec<_> =
        (0..8).rev().map(|p| Scope { name: format!("r{p}"), read: p & 1 != 0, write: p & 2 != 0 }).collect();
    // As a text, and as a list.
    for ac in [json!(ac.to_string()), ac] {
        assert_eq!(verify(&auth(), &hs256(&claims_with(json!({ "ac": ac })))).unwrap().scopes, expected);
    }
    assert!(verify(&auth(), &hs256(&claims_with(json!({ "ac": "[]" })))).unwrap().scopes.is_empty());
}

#[test]
fn giteas_scope_without_a_name_may_be_read_when_it_may_be_written() {
    let scopes = |permission: u64| {
        let ac = json!([{ "Scope": "", "Permission": permission }]);
        verify(&auth(), &hs256(&claims_with(json!({ "ac": ac })))).unwrap().scopes.clone()
    };
    let scope = |read, write| vec![Scope { name: String::new(), read, write }];
    assert_eq!(scopes(2), scope(true, true));
    assert_eq!(scopes(3), scope(true, true));
    assert_eq!(scopes(1), scope(true, false));
    assert_eq!(scopes(0), scope(false, false));
}

#[test]
fn scopes_of_a_wrong_form_or_size_are_refused() {
    let scope = |name: &str| json!({ "Scope": name, "Permission": 1 });
    assert_eq!(refused(&auth(), json!({ "ac": null })), "ac is missing");
    for ac in [
        json!("not json"),
        json!("{}"),
        json!(7),
        json!({}),
        json!([7]),
        json!([{ "Scope": "x" }]),
        json!([{ "Permission": 1 }]),
        json!([{ "Scope": "x", "Permission": "1" }]),
        json!([{ "Scope": "x", "Permission": -1 }]),
        json!([{ "Scope": 1, "Permission": 1 }]),
    ] {
        assert!(refused(&auth(), json!({ "ac": ac })).starts_with("ac must be a list"), "{ac}");
    }
    let many = |n: usize| json!({ "ac": vec![scope("x"); n] });
    assert_eq!(refused(&auth(), many(65)), "ac has more than 64 scopes");
    verify(&auth(), &hs256(&claims_with(many(64)))).unwrap();
    let long = |n: usize| json!({ "ac": [scope(&"x".repeat(n))] });
    assert_eq!(refused(&auth(), long(1025)), "ac has a scope of more than 1024 bytes");
    verify(&auth(), &hs256(&claims_with(long(1024)))).unwrap();
}

#[test]
fn the_audience_counts_where_one_is_configured() {
    let auth = Auth { audience: Some("larder".into()), ..auth() };
    for aud in [json!("larder"), json!(["x", "larder"])] {
        verify(&auth, &hs256(&claims_with(json!({ "aud": aud })))).unwrap();
    }
    for aud in [json!(null), json!("other"), json!([]), json!(["x"]), json!(7)] {
        assert!(refused(&auth, json!({ "aud": aud })).starts_with("aud "), "{aud}");
    }
}
