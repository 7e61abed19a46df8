use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use serde_json::{Value, json};

use super::support::*;
use crate::{
    auth::{AuthSetupError, Scope, TokenError, TokenVerifier, bearer},
    config::{Auth, IssuerConfig, Secret},
};

#[test]
fn good_tokens_of_each_kind_are_accepted() {
    let rs512 = token(&json!({ "alg": "RS512" }), &claims(), rs512_signature);
    for token in [rs256("rsa", &claims()), es256("ec", &claims()), hs256(&claims())] {
        let claims = verify(&auth(), &token).unwrap();
        assert_eq!(claims.repository, "42");
        assert_eq!(claims.expires_ms, (NOW + 3600) * 1000);
        let scope = |name: &str, read, write| Scope { name: name.to_owned(), read, write };
        assert_eq!(
            claims.scopes,
            [scope("refs/heads/topic", true, true), scope("refs/heads/main", true, false)]
        );
    }
    // The key says RS256.
    assert_eq!(verify(&auth(), &rs512), Err(TokenError::BadSignature));
    let mut jwk = rsa_jwk(&RSA, "rsa");
    jwk.as_object_mut().unwrap().remove("alg");
    let verifier = verifier_of(&auth(), &FakeIssuer::with_keys(&[jwk]));
    runtime().block_on(verifier.verify(&rs512, NOW_MS)).unwrap();
}

#[test]
fn an_owner_is_the_same_for_the_same_token_only() {
    let owner = |claims: &Value| verify(&auth(), &hs256(claims)).unwrap().owner.clone();
    let one = owner(&claims());
    assert_eq!(one, owner(&claims()));
    assert_ne!(one, owner(&claims_with(json!({ "orch_id": "x" }))));
    assert!(one.len() == 32 && one.bytes().all(|b| b.is_ascii_hexdigit()));
}

#[test]
fn an_algorithm_never_works_with_another_kind_of_key() {
    let rsa_as_secret = |key: &[u8], header: &Value| token(header, &claims(), |s| hs256_signature(key, s));
    let modulus = rsa_jwk(&RSA, "rsa")["n"].as_str().unwrap().to_owned();
    let header = json!({ "alg": "HS256", "kid": "rsa" });
    let unsigned = |alg: &str| token(&json!({ "alg": alg, "kid": "rsa" }), &claims(), |_| Vec::new());
    let rsa = |alg: &str, kid: &str| {
        token(&json!({ "alg": alg, "kid": kid }), &claims(), |signed| rsa_signature(&RSA, signed))
    };
    let wrong = [
        rsa_as_secret(&rsa_public_der(), &header),
        rsa_as_secret(modulus.as_bytes(), &header),
        rsa_as_secret(SECRET.as_bytes(), &json!({ "alg": "HS512" })),
        rsa_as_secret(SECRET.as_bytes(), &json!({ "alg": "RS256", "kid": "rsa" })),
        rsa_as_secret(SECRET.as_bytes(), &json!({ "alg": "HS256", "crit": ["b64"] })),
        unsigned("none"),
        unsigned("None"),
        unsigned("nonE"),
        unsigned("RS256"),
        unsigned("HS256"),
        unsigned("ES256"),
        rsa("RS384", "rsa"),
        rsa("PS256", "rsa"),
        rsa("ES256", "rsa"),
        rsa("ES256", "ec"),
        rsa("RS256", "ec"),
        rsa("rs256", "rsa"),
    ];
    for token in wrong {
        assert_eq!(verify(&auth(), &token), Err(TokenError::BadSignature), "{token}");
    }
}

#[test]
fn a_symmetric_key_in_a_public_set_is_no_key() {
    let oct = json!({ "kty": "oct", "alg": "HS256", "kid": "oct", "k": b64(SECRET) });
    let only_issuers = Auth { hs256_secrets: Vec::new(), ..auth() };
    let verifier = verifier_of(&only_issuers, &FakeIssuer::with_keys(&[oct, rsa_jwk(&RSA, "rsa")]));
    let token =
        token(&json!({ "alg": "HS256", "kid": "oct" }), &claims(), |s| hs256_signature(SECRET.as_bytes(), s));
    assert_eq!(runtime().block_on(verifier.verify(&token, NOW_MS)), Err(TokenError::BadSignature));
}

#[test]
fn a_key_in_the_tokens_header_is_not_looked_at() {
    let header = json!({ "alg": "RS256", "kid": "mine", "jwk": rsa_jwk(&OTHER_RSA, "mine"), "jku": KEYS });
    let token = token(&header, &claims(), |signed| rsa_signature(&OTHER_RSA, signed));
    assert_eq!(verify(&auth(), &token), Err(TokenError::BadSignature));
}

#[test]
fn a_changed_token_is_refused() {
    let good = rs256("rsa", &claims());
    let parts: Vec<_> = good.split('.').collect();
    let forged = b64(claims_with(json!({ "repository_id": "43" })).to_string());
    let other = rs256("rsa", &claims_with(json!({ "repository_id": "43" })));
    for token in [
        format!("{}.{forged}.{}", parts[0], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], other.rsplit('.').next().unwrap()),
        format!("{}.{}.{}", parts[0], parts[1], b64(vec![0; 256])),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.***", parts[0], parts[1]),
        rs256_by(&OTHER_RSA, "rsa", &claims()),
        token(&json!({ "alg": "HS256" }), &claims(), |s| hs256_signature(b"another secret, also long", s)),
    ] {
        assert_eq!(verify(&auth(), &token), Err(TokenError::BadSignature), "{token}");
    }
}

#[test]
fn foreign_issuers_are_refused_by_name() {
    let of = |iss: &str| verify(&auth(), &rs256("rsa", &claims_with(json!({ "iss": iss }))));
    assert_eq!(of("https://evil.example"), Err(TokenError::UntrustedIssuer("https://evil.example".into())));
    assert_eq!(
        of("https://issuer.example.evil"),
        Err(TokenError::UntrustedIssuer("https://issuer.example.evil".into()))
    );
    assert_eq!(of("a\nb"), Err(TokenError::UntrustedIssuer("a\\nb".into())));
    let Err(TokenError::UntrustedIssuer(shown)) = of(&"x".repeat(5000)) else { panic!("must be untrusted") };
    assert_eq!(shown.len(), 100);
    of("https://issuer.example/").unwrap();
    let without = verify(&auth(), &rs256("rsa", &claims_with(json!({ "iss": null }))));
    assert_eq!(without, Err(TokenError::BadClaim("iss is missing".into())));
}

#[test]
fn what_is_no_token_is_malformed() {
    assert_eq!(verify(&auth(), ""), Err(TokenError::Missing));
    let header = b64(r#"{"alg":"HS256"}"#);
    for token in [
        "x".to_owned(),
        "a.b".to_owned(),
        "a.b.c.d".to_owned(),
        "..".to_owned(),
        "é.é.é".to_owned(),
        format!("{header}.{}.x", b64("[1]")),
        format!("{header}.{}.x", b64("{")),
        format!("{header}.{}.x", b64(r#"{"exp":1,"exp":2}"#)),
        format!("{}.{}.x", b64("{}"), b64("{}")),
        format!("{header}=.{}.x", b64("{}")),
        format!("{header}.{}.x", b64(format!("{}1{}", "[".repeat(5000), "]".repeat(5000)))),
        "x".repeat(16 * 1024 + 1),
        "x".repeat(10 * 1024 * 1024),
    ] {
        let shown: String = token.chars().take(80).collect();
        assert!(matches!(verify(&auth(), &token), Err(TokenError::Malformed(_))), "{shown}");
    }
}

#[test]
fn a_token_of_the_greatest_length_is_accepted_and_one_more_is_not() {
    let of_length = |filling: usize| hs256(&claims_with(json!({ "x": "y".repeat(filling) })));
    let base = of_length(0).len();
    // Base64 turns 3 bytes into 4.
    let filling = (16 * 1024 - base) / 4 * 3;
    assert!(of_length(filling).len() <= 16 * 1024);
    verify(&auth(), &of_length(filling)).unwrap();
    assert!(matches!(verify(&auth(), &of_length(filling + 4)), Err(TokenError::Malformed(_))));
}

#[test]
fn no_error_has_anything_of_the_token() {
    let token = rs256("rsa", &claims_with(json!({ "repository_id": "hush hush" })));
    let signature = token.rsplit('.').next().unwrap().to_owned();
    for token in [token.clone(), format!("{token}x"), token.replace('.', ":"), "hush".to_owned()] {
        let error = verify(&auth(), &token).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hush") && !text.contains(&signature), "{text}");
    }
    assert_eq!(format!("{:?}", verifier(&auth())), "TokenVerifier { .. }");
}

#[test]
fn a_verified_token_is_remembered_until_it_expires() {
    let fake = FakeIssuer::with_keys(&[rsa_jwk(&RSA, "rsa")]);
    let verifier = verifier_of(&auth(), &fake);
    let token = rs256("rsa", &claims());
    let runtime = runtime();
    let at = |now_ms| runtime.block_on(verifier.verify(&token, now_ms));
    let first = at(NOW_MS).unwrap();
    // Neither the issuer nor its keys are needed any more.
    fake.go_down();
    let last_ms = (NOW + 3600 + 60) * 1000 - 1;
    assert!(std::sync::Arc::ptr_eq(&first, &at(last_ms).unwrap()));
    assert_eq!(fake.fetches(), 2);
    assert_eq!(at(last_ms + 1), Err(TokenError::Expired));
    assert_eq!(verifier.remembered(), 0);
}

#[test]
fn a_refused_token_is_not_remembered() {
    let verifier = verifier(&auth());
    let runtime = runtime();
    let early = hs256(&claims_with(json!({ "nbf": NOW + 100 })));
    assert_eq!(runtime.block_on(verifier.verify(&early, NOW_MS)), Err(TokenError::NotYetValid));
    assert_eq!(verifier.remembered(), 0);
    runtime.block_on(verifier.verify(&early, NOW_MS + 100_000)).unwrap();
}

#[test]
fn remembered_tokens_are_bounded() {
    let verifier = verifier(&auth());
    let runtime = runtime();
    let scopes: Vec<_> =
        (0..60).map(|n| json!({ "Scope": format!("{n}{}", "s".repeat(120)), "Permission": 1 })).collect();
    for n in 0..2000 {
        let token = hs256(&claims_with(json!({ "n": n, "ac": scopes })));
        runtime.block_on(verifier.verify(&token, NOW_MS)).unwrap();
    }
    // 60 scopes of more than 160 bytes each in 8 MiB.
    assert!((100..900).contains(&verifier.remembered()), "{}", verifier.remembered());
}

#[test]
fn each_issuer_and_the_secret_have_their_own_prefix() {
    let issuer = IssuerConfig {
        issuer: ISSUER.to_owned(),
        repository_prefix: "a:".to_owned(),
        ..IssuerConfig::default()
    };
    let auth = Auth { issuers: vec![issuer], hs256_repository_prefix: "s:".to_owned(), ..auth() };
    assert_eq!(verify(&auth, &rs256("rsa", &claims())).unwrap().repository, "a:42");
    assert_eq!(verify(&auth, &hs256(&claims())).unwrap().repository, "s:42");
}

#[test]
fn any_of_several_secrets_counts() {
    let secrets = ["the first secret of all", SECRET].map(|s| Secret::new(s.to_owned()));
    let auth = Auth { hs256_secrets: secrets.into(), ..auth() };
    verify(&auth, &hs256(&claims())).unwrap();
    let base64 = Auth { hs256_secrets: vec![Secret::new(format!("base64:{}", b64(SECRET)))], ..auth };
    verify(&base64, &hs256(&claims())).unwrap();
}

#[test]
fn without_validation_a_token_is_taken_at_its_word() {
    let auth = Auth { skip_validation: true, ..auth() };
    let unsigned = |claims: &Value| format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(claims.to_string()));
    let expired = claims_with(json!({ "exp": 1, "iss": "https://anyone" }));
    let claims = verify(&auth, &unsigned(&expired)).unwrap();
    assert_eq!((claims.repository.as_str(), claims.scopes.len(), claims.expires_ms), ("42", 2, 1000));

    let bare = verify(&auth, &unsigned(&json!({}))).unwrap();
    assert_eq!(bare.repository, "0");
    assert_eq!(bare.scopes, [Scope { name: String::new(), read: true, write: true }]);
    assert!(bare.expires_ms > NOW_MS);
    let named = Auth { default_repository: Some("all".into()), ..auth.clone() };
    assert_eq!(verify(&named, &unsigned(&json!({}))).unwrap().repository, "all");

    assert_eq!(verify(&auth, ""), Err(TokenError::Missing));
    assert!(matches!(verify(&auth, "opaque"), Err(TokenError::Malformed(_))));
    assert!(matches!(verify(&auth, &unsigned(&json!({ "ac": 7 }))), Err(TokenError::BadClaim(_))));
}

#[test]
fn a_set_up_that_cannot_work_is_refused() {
    let refuse = |auth: &Auth| {
        let fetch: std::sync::Arc<dyn crate::net::Fetch> = FakeIssuer::with_keys(&[]);
        TokenVerifier::new(auth, &fetch).unwrap_err()
    };
    let short = Auth { hs256_secrets: vec![Secret::new("hush".into())], ..auth() };
    let error = refuse(&short);
    assert!(matches!(error, AuthSetupError::Secret { .. }) && !error.to_string().contains("hush"));
    let with_file = |path: &std::path::Path| {
        let issuer = IssuerConfig {
            issuer: ISSUER.into(),
            jwks_file: Some(path.to_owned()),
            ..IssuerConfig::default()
        };
        Auth { issuers: vec![issuer], ..auth() }
    };
    assert!(matches!(refuse(&with_file("/no/such/file".as_ref())), AuthSetupError::KeyFile { .. }));
    let file = tempfile::NamedTempFile::new().unwrap();
    for content in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"aaaa"}]}"#] {
        std::fs::write(file.path(), content).unwrap();
        assert!(matches!(refuse(&with_file(file.path())), AuthSetupError::KeySet { .. }), "{content}");
    }
}

#[test]
fn the_bearer_token_is_found_in_the_field() {
    type Case<'a> = (Option<&'a [u8]>, Result<&'a str, TokenError>);
    let cases: &[Case<'_>] = &[
        (Some(b"Bearer abc"), Ok("abc")),
        (Some(b"bearer  abc "), Ok("abc")),
        (Some(b"BEARER abc"), Ok("abc")),
        (None, Err(TokenError::Missing)),
        (Some(b""), Err(TokenError::Missing)),
        (Some(b"Bearer"), Err(TokenError::Missing)),
        (Some(b"Bearer "), Err(TokenError::Missing)),
        (Some(b"Basic abc"), Err(TokenError::Missing)),
        (Some(b"Bearer \xff"), Err(TokenError::Malformed("not text".into()))),
    ];
    for (field, expected) in cases {
        assert_eq!(bearer(*field), *expected, "{field:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic_or_pass(text in "\\PC{0,200}") {
        prop_assert!(verify(&auth(), &text).is_err());
    }

    #[test]
    fn no_header_and_claims_make_it_panic_or_pass(
        header in r#"\{"alg":"(RS256|HS256|ES256|none)","(kid|crit|x)":("rsa"|1|null|\[\])\}"#,
        claims in r#"\{"(exp|nbf|ac|iss|aud)":("x"|1e999|-1|18446744073709551616|null|\[\]|\{\})(,"exp":9e18)?\}"#,
        signature in any::<Vec<u8>>(),
    ) {
        let token = format!("{}.{}.{}", b64(header), b64(claims), b64(signature));
        prop_assert!(verify(&auth(), &token).is_err());
        // Takes every well-formed one, and must not panic either.
        let _ = verify(&Auth { skip_validation: true, ..auth() }, &token);
    }

    #[test]
    fn no_single_change_of_a_character_passes(at in 0_usize..400, to in "[A-Za-z0-9_.-]") {
        let mut token = hs256(&claims());
        let at = at % token.len();
        if token[at..=at] != to {
            token.replace_range(at..=at, &to);
            prop_assert!(verify(&auth(), &token).is_err());
        }
    }
}
