#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value, reason = "tests")]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{KeySet, TokenError, TokenVerifier, UrlSigner, bearer, signing};
use crate::config::{Auth, Secret};

const SECRET: &[u8] = b"a secret of this test";
/// The time of the tests, in seconds.
const NOW: u64 = 1_800_000_000;

fn token(secret: &[u8], algorithm: &str, changes: Value) -> String {
    use hmac::Mac;
    let mut claims = json!({
        "exp": NOW + 100, "repository_id": "42", "ac": r#"[{"Scope":"main","Permission":3}]"#,
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({ "alg": algorithm })), encode(&claims));
    let signature = signing::key(secret).chain_update(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn verifier(auth: Auth) -> TokenVerifier {
    TokenVerifier::new(&Auth { hs256_secret: Some(Secret(SECRET.to_vec())), ..auth }, None)
}

#[test]
fn a_secrets_token_is_accepted_until_it_expires_also_when_it_is_remembered() {
    let verifier = verifier(Auth::default());
    let token = token(SECRET, "HS256", json!({}));
    let claims = verifier.verify(&token, NOW * 1000).unwrap();
    assert_eq!((claims.repository.as_str(), claims.owner.len()), ("42", 32));
    assert_eq!(verifier.verify(&token, (NOW + 159) * 1000).unwrap(), claims);
    assert_eq!(verifier.verify(&token, (NOW + 160) * 1000), Err(TokenError::Expired));
}

#[test]
fn others_tokens_are_refused() {
    let verify = |token: &str| verifier(Auth::default()).verify(token, NOW * 1000);
    assert_eq!(verify(&token(b"another secret", "HS256", json!({}))), Err(TokenError::BadSignature));
    for algorithm in ["none", "HS512", "hs256"] {
        assert_eq!(verify(&token(SECRET, algorithm, json!({}))), Err(TokenError::BadSignature));
    }
    let by_issuer = token(SECRET, "RS256", json!({ "iss": "https://evil.example\n" }));
    assert_eq!(verify(&by_issuer), Err(TokenError::UntrustedIssuer("https://evil.example\\n".to_owned())));
    let early = token(SECRET, "HS256", json!({ "nbf": NOW + 61 }));
    assert_eq!(verify(&early), Err(TokenError::NotYetValid));
    assert!(matches!(verify("a.b"), Err(TokenError::Malformed(_))));
}

#[test]
fn audience_and_owners_are_checked() {
    let auth = Auth { audience: Some("me".to_owned()), owners: vec!["Octo".to_owned()], ..Auth::default() };
    let verify = |changes| verifier(auth.clone()).verify(&token(SECRET, "HS256", changes), NOW * 1000);
    assert!(verify(json!({ "aud": "me", "repository": "octo/x" })).is_ok());
    assert!(matches!(verify(json!({ "repository": "octo/x" })), Err(TokenError::BadClaim(_))));
    let other = verify(json!({ "aud": "me", "repository": "evil/x" }));
    assert!(matches!(other, Err(TokenError::NotAllowed(_))), "{other:?}");
}

#[test]
fn facts_are_read_with_the_token() {
    let auth = Auth { facts: vec!["run_id".to_owned(), "actor".to_owned()], ..Auth::default() };
    let extra = json!({ "actor": "octocat", "secret": "hush" }).to_string();
    let token = token(SECRET, "HS256", json!({ "RunID": 7, "sha": "abc", "oidc_extra": extra }));
    let claims = verifier(auth).verify(&token, NOW * 1000).unwrap();
    let facts: Vec<_> = claims.facts.iter().collect();
    assert_eq!(facts, [("actor", "octocat"), ("run_id", "7")]);
}

#[test]
fn without_verification_a_token_needs_its_form_alone() {
    let verifier = TokenVerifier::new(&Auth { skip_validation: true, ..Auth::default() }, None);
    let claims = verifier.verify(&token(b"anything", "none", json!({ "exp": 1 })), NOW * 1000).unwrap();
    assert_eq!(claims.repository, "42");
    assert!(verifier.verify("no token", NOW * 1000).is_err());
}

#[test]
fn a_set_without_a_key_that_can_be_used_is_refused() {
    let short = json!({ "keys": [{ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 64]), "e": "AQAB" }] });
    let symmetric = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] });
    for set in [short, symmetric, json!({ "keys": [] }), json!([])] {
        assert!(KeySet::parse(set.to_string().as_bytes()).is_err(), "{set}");
    }
}

#[test]
fn a_signature_is_of_one_text_and_either_key() {
    let (old, new) = (UrlSigner::new(b"old", None), UrlSigner::new(b"new", Some(b"old")));
    let signature = old.sign("text");
    assert_eq!(signature.len(), 64);
    assert!(old.check("text", &signature) && new.check("text", &signature));
    assert!(!old.check("text", &new.sign("text")), "the secondary key signs nothing");
    for (text, signature) in [("Text", signature.as_str()), ("text", &signature.to_uppercase()), ("text", "")]
    {
        assert!(!old.check(text, signature));
    }
}

#[test]
fn a_bearer_token_is_of_that_scheme() {
    assert_eq!(bearer(Some(b"bEARER  x ")), Ok("x"));
    for missing in [None, Some(&b"Basic x"[..]), Some(b"Bearer "), Some(b"Bearer")] {
        assert_eq!(bearer(missing), Err(TokenError::Missing));
    }
}
