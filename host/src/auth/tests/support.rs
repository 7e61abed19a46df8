//! Keys, tokens, and an issuer without a network.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
        RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    auth::{Claims, TokenError, TokenVerifier},
    config::{Auth, IssuerConfig, Secret},
    net::{Fetch, fetch::FetchError},
};

pub(super) const ISSUER: &str = "https://issuer.example";
pub(super) const DISCOVERY: &str = "https://issuer.example/.well-known/openid-configuration";
pub(super) const KEYS: &str = "https://keys.example/jwks";
pub(super) const SECRET: &str = "a secret of this test";
/// The time of the tests, in seconds.
pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const NOW_MS: u64 = NOW * 1000;

// Made once: an RSA key takes a while.
pub(super) static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
pub(super) static OTHER_RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
pub(super) static EC: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn rsa_jwk(key: &RsaKeyPair, kid: &str) -> Value {
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(public.n), "e": b64(public.e) })
}

pub(super) fn ec_jwk(kid: &str) -> Value {
    let point = EC.public_key().as_ref();
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": b64(&point[1..33]), "y": b64(&point[33..65]) })
}

/// The public RSA key as somebody would feed it to HMAC.
pub(super) fn rsa_public_der() -> Vec<u8> {
    RSA.public_key().as_der().unwrap().as_ref().to_vec()
}

/// Claims of an ordinary token.
pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "exp": NOW + 3600,
        "nbf": NOW - 10,
        "repository_id": "42",
        "ac": r#"[{"Scope":"refs/heads/topic","Permission":3},{"Scope":"refs/heads/main","Permission":1}]"#,
    })
}

/// The ordinary claims with some changed; `null` takes a claim away.
pub(super) fn claims_with(changes: Value) -> Value {
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            all.as_object_mut().unwrap().remove(name);
        } else {
            all[name] = value.clone();
        }
    }
    all
}

pub(super) fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = b64(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

pub(super) fn rsa_signature(key: &RsaKeyPair, signed: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature).unwrap();
    signature
}

pub(super) fn rs512_signature(signed: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; RSA.public_modulus_len()];
    RSA.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), signed, &mut signature).unwrap();
    signature
}

pub(super) fn hs256_signature(key: &[u8], signed: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed).as_ref().to_vec()
}

pub(super) fn rs256(kid: &str, claims: &Value) -> String {
    token(&json!({ "alg": "RS256", "kid": kid }), claims, |signed| rsa_signature(&RSA, signed))
}

pub(super) fn rs256_by(key: &RsaKeyPair, kid: &str, claims: &Value) -> String {
    token(&json!({ "alg": "RS256", "kid": kid }), claims, |signed| rsa_signature(key, signed))
}

pub(super) fn es256(kid: &str, claims: &Value) -> String {
    token(&json!({ "alg": "ES256", "kid": kid }), claims, |signed| {
        EC.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()
    })
}

pub(super) fn hs256(claims: &Value) -> String {
    token(&json!({ "alg": "HS256" }), claims, |signed| hs256_signature(SECRET.as_bytes(), signed))
}

/// An issuer without a network. A URL that it has no page for answers 404.
#[derive(Default)]
pub(super) struct FakeIssuer {
    pages: Mutex<HashMap<String, Vec<u8>>>,
    fetches: AtomicUsize,
    /// Each fetch takes one permit, where there is a gate.
    gate: Option<Semaphore>,
}

impl FakeIssuer {
    /// With discovery and these keys.
    pub(super) fn with_keys(keys: &[Value]) -> Arc<Self> {
        let fake = Self::default();
        fake.publish(keys);
        Arc::new(fake)
    }

    /// The same, and no fetch ends before [`Self::open`].
    pub(super) fn gated(keys: &[Value]) -> Arc<Self> {
        let fake = Self { gate: Some(Semaphore::new(0)), ..Self::default() };
        fake.publish(keys);
        Arc::new(fake)
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        self.page(DISCOVERY, &json!({ "issuer": ISSUER, "jwks_uri": KEYS }));
        self.page(KEYS, &json!({ "keys": keys }));
    }

    pub(super) fn page(&self, url: &str, content: &Value) {
        self.pages.lock().insert(url.to_owned(), content.to_string().into_bytes());
    }

    pub(super) fn go_down(&self) {
        self.pages.lock().clear();
    }

    pub(super) fn open(&self) {
        self.gate.as_ref().unwrap().add_permits(1000);
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Fetch for FakeIssuer {
    async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let page = self.pages.lock().get(url).cloned();
        page.map(Bytes::from).ok_or(FetchError::Status(http::StatusCode::NOT_FOUND))
    }
}

/// Trusts [`ISSUER`] by discovery and [`SECRET`].
pub(super) fn auth() -> Auth {
    Auth {
        issuers: vec![IssuerConfig { issuer: ISSUER.to_owned(), ..IssuerConfig::default() }],
        hs256_secrets: vec![Secret::new(SECRET.to_owned())],
        ..Auth::default()
    }
}

pub(super) fn verifier_of(auth: &Auth, fake: &Arc<FakeIssuer>) -> TokenVerifier {
    let fetch: Arc<dyn Fetch> = Arc::clone(fake) as _;
    TokenVerifier::new(auth, &fetch).unwrap()
}

/// A verifier whose issuer has an RSA and an EC key, named `rsa` and `ec`.
pub(super) fn verifier(auth: &Auth) -> TokenVerifier {
    verifier_of(auth, &FakeIssuer::with_keys(&[rsa_jwk(&RSA, "rsa"), ec_jwk("ec")]))
}

/// Verifies one token with a verifier of its own.
pub(super) fn verify(auth: &Auth, token: &str) -> Result<Arc<Claims>, TokenError> {
    verify_at(auth, token, NOW_MS)
}

pub(super) fn verify_at(auth: &Auth, token: &str, now_ms: u64) -> Result<Arc<Claims>, TokenError> {
    runtime().block_on(verifier(auth).verify(token, now_ms))
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
