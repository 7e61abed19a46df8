use serde_json::{Value, json};

use super::support::*;
use crate::config::Auth;

/// The facts of a token with these further claims, as JSON.
fn facts_of(auth: &Auth, changes: Value) -> Value {
    let claims = verify(auth, &hs256(&claims_with(changes))).unwrap();
    serde_json::to_value(&claims.facts).unwrap()
}

#[test]
fn claims_of_the_token_and_of_its_oidc_extra_are_kept_and_no_others() {
    let extra = json!({
        "repository": "octo/hello", "actor": "octocat", "ref": "refs/heads/main", "run_attempt": 2,
        "ref_protected": "true", "secret": "hush", "repository_id": "42",
    });
    let token = json!({
        "run_id": "7", "trust_tier": 3, "actor": "the-tokens-own", "password": "hush", "sha": "",
        "oidc_extra": extra.to_string(), "ref_type": null, "environment": ["hush"], "job_id": {"a": "hush"},
    });
    let expected = json!({
        "actor": "the-tokens-own", "ref": "refs/heads/main", "ref_protected": "true",
        "repository": "octo/hello", "run_attempt": "2", "run_id": "7", "trust_tier": "3",
    });
    assert_eq!(facts_of(&auth(), token), expected);
}

#[test]
fn an_oidc_extra_that_is_missing_or_malformed_is_no_error() {
    for extra in [json!(null), json!("{"), json!(""), json!(7), json!([]), json!("[]"), json!("\"x\"")] {
        assert_eq!(facts_of(&auth(), json!({ "run_id": 7, "oidc_extra": extra })), json!({ "run_id": "7" }));
    }
    let object = json!({ "oidc_extra": { "actor": "octocat", "ref_protected": false } });
    assert_eq!(facts_of(&auth(), object), json!({ "actor": "octocat", "ref_protected": "false" }));
    assert_eq!(facts_of(&auth(), json!({})), json!({}));
}

#[test]
fn giteas_names_are_those_of_the_same_facts() {
    let gitea = json!({ "TaskID": 5, "RunID": 6, "JobID": 7 });
    assert_eq!(facts_of(&auth(), gitea), json!({ "task_id": "5", "run_id": "6", "job_id": "7" }));
    let extra = json!({ "run_id": "9" }).to_string();
    assert_eq!(facts_of(&auth(), json!({ "RunID": 6, "oidc_extra": extra })), json!({ "run_id": "6" }));
}

#[test]
fn what_does_not_fit_is_left_out_and_never_cut() {
    let long = "x".repeat(1025);
    let wrong = json!({ "actor": long, "workflow": "a\nb", "run_id": "7" });
    assert_eq!(facts_of(&auth(), wrong), json!({ "run_id": "7" }));
    let big = "x".repeat(1024);
    let sum = json!({ "oidc_sub": "me", "repository": big, "workflow": big, "ref": big, "head_ref": big, "actor": "a" });
    let kept = facts_of(&auth(), sum);
    let names: Vec<_> = kept.as_object().unwrap().keys().collect();
    assert_eq!(names, ["actor", "oidc_sub", "ref", "repository", "workflow"]);
}

#[test]
fn the_operator_may_keep_less() {
    let token = json!({ "run_id": "7", "actor": "octocat", "sha": "abc" });
    let auth = |facts: &[&str]| Auth { facts: facts.iter().map(|&name| name.to_owned()).collect(), ..auth() };
    assert_eq!(facts_of(&auth(&["sha", "run_id"]), token.clone()), json!({ "run_id": "7", "sha": "abc" }));
    assert_eq!(facts_of(&auth(&[]), token), json!({}));
}

#[test]
fn the_time_of_issue_is_the_tokens_and_never_in_the_future() {
    let issued = |changes| verify(&auth(), &hs256(&claims_with(changes))).unwrap().issued_ms;
    assert_eq!(issued(json!({ "iat": NOW - 20 })), NOW_MS - 20_000);
    assert_eq!(issued(json!({ "iat": "x" })), NOW_MS - 10_000);
    assert_eq!(issued(json!({ "nbf": null })), NOW_MS);
    assert_eq!(issued(json!({ "iat": NOW + 20 })), NOW_MS);
}

/// They are read once, with the token.
#[test]
fn tokens_that_are_not_verified_have_facts_and_are_remembered_until_they_expire() {
    let verifier = verifier(&Auth { skip_validation: true, hs256_secrets: Vec::new(), ..auth() });
    let runtime = runtime();
    let at = |token: &str, now_ms| runtime.block_on(verifier.verify(token, now_ms)).unwrap();
    let token = hs256(&claims_with(json!({ "run_id": 7 })));
    let first = at(&token, NOW_MS);
    assert_eq!(first.facts.get("run_id"), Some("7"));
    assert!(std::sync::Arc::ptr_eq(&first, &at(&token, NOW_MS)));
    let late = at(&token, NOW_MS + 100_000_000);
    assert_eq!((&late.owner, late.expires_ms, verifier.remembered()), (&first.owner, first.expires_ms, 0));
    at(&hs256(&claims_with(json!({ "exp": null }))), NOW_MS);
    assert_eq!(verifier.remembered(), 0);
}
