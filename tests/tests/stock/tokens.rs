//! Tokens of an issuer whose keys are a file in the directory.

use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use larder_tests::{StockOptions, StockServer};
use serde_json::{Value, json};

use super::{client::Client, directory};

const ISSUER: &str = "https://issuer.example";

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

fn rs256(key: &RsaKeyPair) -> impl Fn(&[u8]) -> Vec<u8> {
    |signed| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature).unwrap();
        signature
    }
}

fn claims(changes: &Value) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": ISSUER, "exp": now + 600, "nbf": now - 10, "repository_id": "7", "aud": "larder",
        "repository": "octo/cache", "ac": r#"[{"Scope":"refs/heads/main","Permission":3}]"#,
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

/// The status of a look-up with this token.
async fn status(client: &Client, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let target = "/twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL";
    client.send("POST", target, &headers, r#"{"key":"k","version":"v"}"#).await.status.as_u16()
}

#[tokio::test]
async fn an_issuers_tokens_are_verified_by_its_keys() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let other = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(rsa.public_key());
    let point = ec.public_key().as_ref();
    let keys = json!({ "keys": [
        { "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "rsa", "n": b64(public.n), "e": b64(public.e) },
        { "kty": "EC", "crv": "P-256", "kid": "ec", "x": b64(&point[1..33]), "y": b64(&point[33..65]) },
    ]});
    let data = directory();
    std::fs::write(data.path().join("jwks.json"), keys.to_string()).unwrap();
    let variables = [
        ("ACTIONS_TOKEN_ISSUER", ISSUER),
        ("LARDER_JWKS_FILE", "jwks.json"),
        ("LARDER_AUDIENCE", "larder"),
        ("LARDER_OWNERS", "octo"),
    ];
    let variables = variables.map(|(name, value)| (name, value.to_owned())).to_vec();
    let server = StockServer::start(data.path(), &StockOptions { variables, ..StockOptions::default() });
    let client = Client::of(&server);
    let rs = |changes| token(&json!({ "alg": "RS256", "kid": "rsa" }), &claims(&changes), rs256(&rsa));
    let es = token(&json!({ "alg": "ES256", "kid": "ec" }), &claims(&json!({})), |signed| {
        ec.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()
    });
    let good = rs(json!({}));
    for token in [&good, &good, &es] {
        assert_eq!(status(&client, token).await, 200);
    }
    let public_der = rsa.public_key().as_der().unwrap().as_ref().to_vec();
    let confused = token(&json!({ "alg": "HS256", "kid": "rsa" }), &claims(&json!({})), |signed| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public_der), signed).as_ref().to_vec()
    });
    let unsigned = token(&json!({ "alg": "none" }), &claims(&json!({})), |_| Vec::new());
    let by_another = token(&json!({ "alg": "RS256", "kid": "rsa" }), &claims(&json!({})), rs256(&other));
    let mismatched = token(&json!({ "alg": "ES256", "kid": "rsa" }), &claims(&json!({})), rs256(&rsa));
    let bad = [
        ("another key", by_another),
        ("the public key as a secret", confused),
        ("no signature", unsigned),
        ("another algorithm", mismatched),
        ("another issuer", rs(json!({ "iss": "https://other.example" }))),
        ("another audience", rs(json!({ "aud": "other" }))),
        ("it has expired", rs(json!({ "exp": 1_700_000_000 }))),
        ("it is not valid yet", rs(json!({ "nbf": 4_000_000_000_u64 }))),
        ("cut", good[..good.len() - 20].to_owned()),
        ("empty", String::new()),
    ];
    for (why, token) in &bad {
        assert_eq!(status(&client, token).await, 401, "{why}");
    }
    assert_eq!(status(&client, &rs(json!({ "repository": "evil/cache" }))).await, 403);
    assert_eq!(status(&client, &good).await, 200);
}
