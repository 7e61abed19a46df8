//! Fault 21: `auth.owners` and `auth.repositories`.

use serde_json::{Value, json};

use super::support::*;
use crate::{auth::TokenError, config::Auth};

fn only(owners: &[&str], repositories: &[&str]) -> Auth {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Auth { owners: list(owners), repositories: list(repositories), ..auth() }
}

fn github() -> Value {
    json!({
        "repository_owner_id": "7",
        "repository_owner": "Octo-Org",
        "repository": "Octo-Org/Hello",
    })
}

fn outcome(auth: &Auth, changes: Value) -> Result<(), TokenError> {
    verify(auth, &rs256("rsa", &claims_with(changes))).map(drop)
}

#[track_caller]
fn refused(auth: &Auth, changes: Value) -> String {
    match outcome(auth, changes) {
        Err(TokenError::NotAllowed(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Fault 21.
#[test]
fn ids_and_names_let_their_repositories_in_and_nobody_else() {
    for auth in [
        only(&["7"], &[]),
        only(&["octo-org"], &[]),
        only(&["other", "OCTO-ORG"], &[]),
        only(&[], &["42"]),
        only(&[], &["octo-org/hello"]),
        only(&["8"], &["1", "42"]),
    ] {
        assert_eq!(outcome(&auth, github()), Ok(()), "{auth:?}");
    }
    for auth in [
        only(&["42"], &[]),
        only(&["octo"], &[]),
        only(&[], &["7"]),
        only(&[], &["octo-org/hell"]),
        only(&[], &["octo-org/hello2", "octo-org"]),
    ] {
        let why = refused(&auth, github());
        assert_eq!(why, "repository 42 (Octo-Org/Hello) is not in auth.owners or auth.repositories");
    }
}

/// Fault 21: GitHub sends these in `oidc_extra`, which is a text.
#[test]
fn the_claims_count_in_oidc_extra_too() {
    for extra in [json!(github().to_string()), github()] {
        for auth in [only(&["7"], &[]), only(&["octo-org"], &[]), only(&[], &["octo-org/hello"])] {
            assert_eq!(outcome(&auth, json!({ "oidc_extra": extra })), Ok(()), "{auth:?}");
        }
    }
    // The claims themselves count first.
    let two = json!({ "repository_owner_id": 8, "oidc_extra": github().to_string() });
    refused(&only(&["7"], &[]), two.clone());
    assert_eq!(outcome(&only(&["8"], &[]), two), Ok(()));
    refused(&only(&["7"], &[]), json!({ "oidc_extra": "{" }));
}

/// Fault 21: what a token does not say cannot be decided, and ids of repositories always can.
#[test]
fn a_token_that_does_not_say_who_it_is_of_is_refused_with_the_cure() {
    let why = refused(&only(&["octo-org"], &[]), json!({}));
    assert!(why.contains("does not say the name of its owner") && why.contains("use the id"), "{why}");
    let why = refused(&only(&["7"], &["octo-org/hello"]), json!({}));
    assert!(why.contains("the id of its owner or the name of its repository"), "{why}");
    assert_eq!(outcome(&only(&["octo-org"], &["42"]), json!({})), Ok(()));
    // Known not to be listed.
    assert!(!refused(&only(&[], &["43"]), json!({})).contains("does not say"));
}

/// Fault 21: anybody may register a number as a name.
#[test]
fn a_name_that_is_a_number_is_not_an_id() {
    let posing = json!({ "repository_owner": "7", "repository": "7/hello", "repository_owner_id": "666" });
    refused(&only(&["7"], &[]), posing.clone());
    assert_eq!(outcome(&only(&[], &["7/hello"]), posing), Ok(()));
}

/// Fault 21: two platforms number their repositories alike, and their names are alike, too.
#[test]
fn an_element_is_of_the_platform_whose_prefix_it_has() {
    let auth = |owners: &[&str], repositories: &[&str]| Auth {
        hs256_repository_prefix: "ghes:".to_owned(),
        ..only(owners, repositories)
    };
    let by_secret = |auth: &Auth| verify(auth, &hs256(&claims_with(github()))).map(drop);
    let by_issuer = |auth: &Auth| outcome(auth, github());
    for (plain, prefixed) in [("7", "ghes:7"), ("octo-org", "GHES:octo-org")] {
        assert!(
            by_issuer(&auth(&[plain], &[])).is_ok() && by_secret(&auth(&[plain], &[])).is_err(),
            "{plain}"
        );
        assert!(by_issuer(&auth(&[prefixed], &[])).is_err() && by_secret(&auth(&[prefixed], &[])).is_ok());
    }
    assert!(by_secret(&auth(&[], &["42", "octo-org/hello"])).is_err());
    assert!(
        by_secret(&auth(&[], &["ghes:42"])).is_ok()
            && by_secret(&auth(&[], &["ghes:octo-org/Hello"])).is_ok()
    );
}

/// Fault 21: the tokens of Gitea name neither; they are of the default repository.
#[test]
fn the_default_repository_can_be_listed() {
    let without = json!({ "repository_id": null });
    let gitea =
        |repositories: &[&str]| Auth { default_repository: Some("gitea".into()), ..only(&[], repositories) };
    assert!(verify(&gitea(&["Gitea"]), &hs256(&claims_with(without.clone()))).is_ok());
    assert!(verify(&gitea(&["other"]), &hs256(&claims_with(without))).is_err());
}
