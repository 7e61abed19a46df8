use std::{future::Future, pin::Pin, sync::Arc, task::Poll};

use futures_util::future::{join_all, poll_immediate};
use serde_json::json;

use super::support::*;
use crate::{
    auth::{TokenError, TokenVerifier},
    config::{Auth, IssuerConfig},
};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A token that lives for days, another for each `n`, so that none is remembered.
fn long_lived(kid: &str, n: u64) -> String {
    rs256(kid, &claims_with(json!({ "exp": NOW + 100 * 3600, "n": n })))
}

fn one_issuer(issuer: IssuerConfig) -> Auth {
    Auth { issuers: vec![IssuerConfig { issuer: ISSUER.to_owned(), ..issuer }], ..Auth::default() }
}

fn unavailable<T: std::fmt::Debug>(outcome: Result<T, TokenError>) -> String {
    match outcome {
        Err(TokenError::Unavailable(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

/// Polls a verification until nothing is left to do but to wait for the issuer.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_who_wait() {
    let fake = FakeIssuer::gated(&[rsa_jwk(&RSA, "rsa")]);
    let verifier = verifier_of(&auth(), &fake);
    let tokens: Vec<_> = (0..20).map(|n| long_lived("rsa", n)).collect();
    let mut all = Box::pin(join_all(tokens.iter().map(|token| verifier.verify(token, NOW_MS))));
    assert!(poll_immediate(&mut all).await.is_none());
    settle().await;
    fake.open();
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!(fake.fetches(), 2, "the discovery document and the keys, once");
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_break_off_the_fetch() {
    let fake = FakeIssuer::gated(&[rsa_jwk(&RSA, "rsa")]);
    let verifier = verifier_of(&auth(), &fake);
    let (first, second) = (long_lived("rsa", 1), long_lived("rsa", 2));
    let mut leaves = Box::pin(verifier.verify(&first, NOW_MS));
    assert!(poll_immediate(&mut leaves).await.is_none());
    settle().await;
    drop(leaves);
    fake.open();
    verifier.verify(&second, NOW_MS).await.unwrap();
    assert_eq!(fake.fetches(), 2);
}

#[test]
fn a_runtime_that_stops_in_a_fetch_does_not_hold_up_the_others() {
    let fake = FakeIssuer::gated(&[rsa_jwk(&RSA, "rsa")]);
    let verifier = verifier_of(&auth(), &fake);
    let token = long_lived("rsa", 1);
    let stops = runtime();
    stops.block_on(async {
        let mut waits = Box::pin(verifier.verify(&token, NOW_MS));
        assert!(poll_immediate(&mut waits).await.is_none());
        settle().await;
    });
    drop(stops);
    fake.open();
    // The next attempt is not before the pause is over: until then it is an answer, not a wait.
    unavailable(runtime().block_on(verifier.verify(&token, NOW_MS)));
    runtime().block_on(verifier.verify(&token, NOW_MS + 5 * SECOND)).unwrap();
}

#[test]
fn threads_with_a_runtime_each_share_one_fetch() {
    let fake = FakeIssuer::with_keys(&[rsa_jwk(&RSA, "rsa")]);
    let verifier = verifier_of(&auth(), &fake);
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (verifier, start) = (&verifier, &start);
            scope.spawn(move || {
                let token = long_lived("rsa", n);
                start.wait();
                runtime().block_on(verifier.verify(&token, NOW_MS)).unwrap();
            });
        }
    });
    assert_eq!(fake.fetches(), 2);
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_in_a_while() {
    let fake = FakeIssuer::with_keys(&[rsa_jwk(&RSA, "rsa")]);
    let verifier = verifier_of(&auth(), &fake);
    verifier.verify(&long_lived("rsa", 0), NOW_MS).await.unwrap();
    assert_eq!(fake.fetches(), 2);
    for n in 0..100 {
        let outcome = verifier.verify(&long_lived(&format!("unknown-{n}"), n), NOW_MS + 5 * SECOND + n).await;
        assert_eq!(outcome, Err(TokenError::BadSignature));
    }
    assert_eq!(fake.fetches(), 4);
    let later = NOW_MS + 11 * SECOND;
    assert_eq!(verifier.verify(&long_lived("unknown", 0), later).await, Err(TokenError::BadSignature));
    assert_eq!(fake.fetches(), 6);
}

#[tokio::test]
async fn a_rotated_key_is_found_and_a_withdrawn_one_is_not_used_any_more() {
    let fake = FakeIssuer::with_keys(&[rsa_jwk(&OTHER_RSA, "old")]);
    let verifier = verifier_of(&auth(), &fake);
    let old = |n: u64| rs256_by(&OTHER_RSA, "old", &claims_with(json!({ "n": n })));
    verifier.verify(&old(1), NOW_MS).await.unwrap();
    fake.publish(&[rsa_jwk(&RSA, "new")]);
    let later = NOW_MS + 10 * SECOND;
    verifier.verify(&rs256("new", &claims()), later).await.unwrap();
    assert_eq!(verifier.verify(&old(2), later).await, Err(TokenError::BadSignature));
    // Verified before: remembered.
    verifier.verify(&old(1), later).await.unwrap();
}

#[tokio::test]
async fn a_new_key_during_an_outage_is_unavailable_not_wrong() {
    let fake = FakeIssuer::with_keys(&[rsa_jwk(&OTHER_RSA, "old")]);
    let verifier = verifier_of(&auth(), &fake);
    verifier.verify(&rs256_by(&OTHER_RSA, "old", &claims()), NOW_MS).await.unwrap();
    fake.go_down();
    unavailable(verifier.verify(&rs256("new", &claims()), NOW_MS + 10 * SECOND).await);
    fake.publish(&[rsa_jwk(&RSA, "new")]);
    unavailable(verifier.verify(&rs256("new", &claims()), NOW_MS + 14 * SECOND).await);
    verifier.verify(&rs256("new", &claims()), NOW_MS + 15 * SECOND).await.unwrap();
}

#[tokio::test]
async fn known_keys_outlive_an_outage_of_a_day_and_no_longer() {
    let fake = FakeIssuer::with_keys(&[rsa_jwk(&RSA, "rsa")]);
    let verifier = verifier_of(&auth(), &fake);
    verifier.verify(&long_lived("rsa", 0), NOW_MS).await.unwrap();
    fake.go_down();
    for (n, age) in [14 * MINUTE, 20 * MINUTE, 2 * HOUR, 23 * HOUR].into_iter().enumerate() {
        verifier.verify(&long_lived("rsa", n as u64 + 1), NOW_MS + age).await.unwrap();
        settle().await;
    }
    unavailable(verifier.verify(&long_lived("rsa", 9), NOW_MS + 24 * HOUR).await);
    fake.publish(&[rsa_jwk(&RSA, "rsa")]);
    verifier.verify(&long_lived("rsa", 9), NOW_MS + 24 * HOUR + 5 * SECOND).await.unwrap();
}

#[tokio::test]
async fn keys_are_renewed_in_passing_when_they_age_and_before_use_when_they_are_old() {
    let fake = FakeIssuer::gated(&[rsa_jwk(&RSA, "rsa")]);
    let verifier = verifier_of(&auth(), &fake);
    let token = |n: u64| long_lived("rsa", n);
    fake.open();
    verifier.verify(&token(0), NOW_MS).await.unwrap();
    verifier.verify(&token(1), NOW_MS + 15 * MINUTE - 1).await.unwrap();
    assert_eq!(fake.fetches(), 2);
    verifier.verify(&token(2), NOW_MS + 15 * MINUTE).await.unwrap();
    assert_eq!(fake.fetches(), 2, "nobody waited for it");
    settle().await;
    assert_eq!(fake.fetches(), 4);
    let withdrawn = NOW_MS + 15 * MINUTE + HOUR;
    fake.publish(&[rsa_jwk(&OTHER_RSA, "rsa")]);
    assert_eq!(verifier.verify(&token(3), withdrawn).await, Err(TokenError::BadSignature));
}

#[tokio::test]
async fn a_first_fetch_that_fails_is_unavailable_and_tried_again() {
    let fake = FakeIssuer::with_keys(&[]);
    fake.go_down();
    let verifier = verifier_of(&auth(), &fake);
    let token = long_lived("rsa", 0);
    assert!(unavailable(verifier.verify(&token, NOW_MS).await).contains("404"));
    fake.publish(&[rsa_jwk(&RSA, "rsa")]);
    unavailable(verifier.verify(&token, NOW_MS + SECOND).await);
    verifier.verify(&token, NOW_MS + 5 * SECOND).await.unwrap();
}

#[tokio::test]
async fn documents_that_cannot_be_trusted_are_not_used() {
    let good = json!({ "keys": [rsa_jwk(&RSA, "rsa")] });
    let discovery = |issuer: &str, uri: &str| json!({ "issuer": issuer, "jwks_uri": uri });
    let cases = [
        (discovery("https://evil.example", KEYS), good.clone(), "another issuer"),
        (discovery(ISSUER, "http://keys.example/jwks"), good.clone(), "not an https URL"),
        (discovery(ISSUER, "file:///etc/passwd"), good.clone(), "not an https URL"),
        (json!({ "jwks_uri": KEYS }), good.clone(), "discovery document"),
        (json!([]), good, "discovery document"),
        (discovery(ISSUER, KEYS), json!({ "keys": [] }), "no key"),
        (discovery(ISSUER, KEYS), json!({}), "not a key set"),
        (discovery(ISSUER, KEYS), json!({ "keys": [{ "kty": "RSA" }, 7] }), "no key"),
    ];
    for (document, keys, problem) in cases {
        let fake = Arc::new(FakeIssuer::default());
        fake.page(DISCOVERY, &document);
        fake.page(KEYS, &keys);
        fake.page("http://keys.example/jwks", &keys);
        let outcome = unavailable(verifier_of(&auth(), &fake).verify(&long_lived("rsa", 0), NOW_MS).await);
        assert!(outcome.contains(problem), "{outcome}");
    }
}

#[tokio::test]
async fn keys_that_are_not_for_this_are_left_out() {
    let changed = |change: serde_json::Value| {
        let mut jwk = rsa_jwk(&RSA, "rsa");
        jwk.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        jwk
    };
    for (jwk, accepted) in [
        (changed(json!({})), true),
        (changed(json!({ "x5c": ["AAAA"], "unknown": 1 })), true),
        (changed(json!({ "key_ops": ["verify"] })), true),
        (changed(json!({ "use": "enc" })), false),
        (changed(json!({ "key_ops": ["encrypt"] })), false),
        (changed(json!({ "alg": "RS384" })), false),
        (changed(json!({ "alg": "PS256" })), false),
        (changed(json!({ "alg": "ES256" })), false),
        (changed(json!({ "kty": "EC" })), false),
        (changed(json!({ "kid": "other" })), false),
    ] {
        let fake = FakeIssuer::with_keys(&[jwk.clone(), ec_jwk("ec")]);
        let outcome = verifier_of(&auth(), &fake).verify(&long_lived("rsa", 0), NOW_MS).await;
        assert_eq!(outcome.is_ok(), accepted, "{jwk}");
    }
}

#[tokio::test]
async fn a_token_or_key_without_key_id_is_matched_by_its_algorithm() {
    let mut jwk = rsa_jwk(&RSA, "x");
    jwk.as_object_mut().unwrap().remove("kid");
    let fake = FakeIssuer::with_keys(&[rsa_jwk(&OTHER_RSA, "other"), ec_jwk("ec"), jwk]);
    let verifier = verifier_of(&auth(), &fake);
    let without = token(&json!({ "alg": "RS256" }), &claims(), |signed| rsa_signature(&RSA, signed));
    verifier.verify(&without, NOW_MS).await.unwrap();
    verifier.verify(&rs256("some", &claims()), NOW_MS).await.unwrap();
}

#[tokio::test]
async fn a_configured_url_replaces_discovery() {
    let fake = Arc::new(FakeIssuer::default());
    fake.page(KEYS, &json!({ "keys": [rsa_jwk(&RSA, "rsa")] }));
    let auth = one_issuer(IssuerConfig { jwks_url: Some(KEYS.to_owned()), ..IssuerConfig::default() });
    verifier_of(&auth, &fake).verify(&long_lived("rsa", 0), NOW_MS).await.unwrap();
    assert_eq!(fake.fetches(), 1);
}

#[tokio::test]
async fn keys_from_a_file_need_no_network() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "keys": [rsa_jwk(&RSA, "rsa")] }).to_string()).unwrap();
    let fake = Arc::new(FakeIssuer::default());
    let auth =
        one_issuer(IssuerConfig { jwks_file: Some(file.path().to_owned()), ..IssuerConfig::default() });
    let verifier = verifier_of(&auth, &fake);
    verifier.verify(&long_lived("rsa", 0), NOW_MS + 90 * HOUR).await.unwrap();
    assert_eq!(verifier.verify(&long_lived("other", 0), NOW_MS).await, Err(TokenError::BadSignature));
    assert_eq!(fake.fetches(), 0);
}

#[tokio::test]
async fn one_issuers_key_does_not_sign_for_another() {
    let fake = FakeIssuer::with_keys(&[rsa_jwk(&RSA, "rsa")]);
    let other = "https://other.example";
    let other_keys = "https://other.example/jwks";
    fake.page(
        "https://other.example/.well-known/openid-configuration",
        &json!({ "issuer": other, "jwks_uri": other_keys }),
    );
    fake.page(other_keys, &json!({ "keys": [rsa_jwk(&OTHER_RSA, "rsa")] }));
    let mut auth = auth();
    auth.issuers.push(IssuerConfig {
        issuer: other.to_owned(),
        repository_prefix: "o:".to_owned(),
        ..IssuerConfig::default()
    });
    let verifier = verifier_of(&auth, &fake);
    let of_other = claims_with(json!({ "iss": other }));
    assert_eq!(verifier.verify(&rs256("rsa", &of_other), NOW_MS).await, Err(TokenError::BadSignature));
    let claims = verifier.verify(&rs256_by(&OTHER_RSA, "rsa", &of_other), NOW_MS).await.unwrap();
    assert_eq!(claims.repository, "o:42");
}

#[test]
fn a_verifier_is_shared_by_threads_and_its_future_may_move() {
    fn shared<T: Send + Sync>() {}
    fn moves<T: Send>(_: &T) {}
    shared::<TokenVerifier>();
    let verifier = verifier(&auth());
    let mut future: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(verifier.verify("", 0));
    moves(&future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(matches!(future.as_mut().poll(&mut context), Poll::Ready(Err(TokenError::Missing))));
}
