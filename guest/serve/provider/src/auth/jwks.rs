//! A set of public keys (RFC 7517): RSA of 2,048 to 8,192 bits for RS256, P-256 for ES256.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{self, signature::Verifier};
use rsa::{BigUint, RsaPublicKey, pkcs1v15, traits::PublicKeyParts};
use serde::Deserialize;
use sha2::Sha256;

use super::verifier::Algorithm;

/// Most keys of a set that are read.
const MAX_KEYS: usize = 64;
/// Shortest and longest RSA key in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// An issuer's public keys.
pub(crate) struct KeySet(Vec<SigningKey>);

struct SigningKey {
    id: Option<String>,
    key: PublicKey,
}

enum PublicKey {
    Rsa(pkcs1v15::VerifyingKey<Sha256>),
    P256(ecdsa::VerifyingKey),
}

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Parses a set. Keys of unsupported kinds are left out.
    ///
    /// # Errors
    /// When it is no set, or has no key that can be used.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let raw: RawKeySet =
            serde_json::from_slice(json).map_err(|error| format!("not a key set: {error}"))?;
        let keys: Vec<SigningKey> =
            raw.keys.into_iter().take(MAX_KEYS).filter_map(SigningKey::read).collect();
        if keys.is_empty() {
            return Err("no key that can be used (RSA of 2048 bits or more, EC P-256)".to_owned());
        }
        Ok(Self(keys))
    }

    /// Returns whether a key of the set made the signature: one with the token's key id, or one
    /// without; any of them for a token that names none.
    pub(super) fn check(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> bool {
        self.0
            .iter()
            .filter(|key| id.is_none() || key.id.is_none() || key.id.as_deref() == id)
            .any(|key| key.key.check(algorithm, signed, signature))
    }
}

impl PublicKey {
    fn check(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::Rsa(key), Algorithm::Rs256) => pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
            (Self::P256(key), Algorithm::Es256) => ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
            _ => false,
        }
    }
}

impl SigningKey {
    fn read(value: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let is_for_signatures = jwk.used_for.as_deref().is_none_or(|used| used == "sig")
            && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|o| o == "verify"));
        let is_named = |name: &str| jwk.alg.as_deref().is_none_or(|alg| alg == name);
        let key = match jwk.kty.as_str() {
            "RSA" if is_named("RS256") => PublicKey::Rsa(rsa_key(&jwk)?),
            "EC" if is_named("ES256") && jwk.crv.as_deref() == Some("P-256") => {
                PublicKey::P256(p256_key(&jwk)?)
            }
            // Symmetric keys (`oct`) allow nothing: a public set cannot hold a secret.
            _ => return None,
        };
        is_for_signatures.then_some(Self { id: jwk.kid, key })
    }
}

fn rsa_key(jwk: &Jwk) -> Option<pkcs1v15::VerifyingKey<Sha256>> {
    let number = |text: &Option<String>| Some(BigUint::from_bytes_be(&decode(text)?));
    let key = RsaPublicKey::new_with_max_size(number(&jwk.n)?, number(&jwk.e)?, RSA_BYTES.end() * 8).ok()?;
    RSA_BYTES.contains(&key.size()).then(|| pkcs1v15::VerifyingKey::new(key))
}

fn p256_key(jwk: &Jwk) -> Option<ecdsa::VerifyingKey> {
    let (x, y) = (decode(&jwk.x)?, decode(&jwk.y)?);
    if (x.len(), y.len()) != (32, 32) {
        return None;
    }
    let (x, y) = (p256::FieldBytes::clone_from_slice(&x), p256::FieldBytes::clone_from_slice(&y));
    ecdsa::VerifyingKey::from_encoded_point(&p256::EncodedPoint::from_affine_coordinates(&x, &y, false)).ok()
}

fn decode(text: &Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.as_ref()?).ok()
}
