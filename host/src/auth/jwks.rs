//! A set of public keys (RFC 7517), and the signatures that each may verify.

use jsonwebtoken::{
    Algorithm, DecodingKey, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;

/// Most keys of a set that are read. Issuers have two to ten.
const MAX_KEYS: usize = 64;

/// An issuer's public keys.
pub(super) struct KeySet {
    keys: Vec<SigningKey>,
}

struct SigningKey {
    id: Option<String>,
    /// The algorithms that the key may verify: its own `alg`, else those of its type and curve. The
    /// token has no influence.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The outcome of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A key of the set made the signature.
    Good,
    /// A key that could have made it did not.
    Bad,
    /// No key of the set could have made it.
    NoKey,
}

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Parses a set. Keys of unsupported kinds are left out.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let raw: RawKeySet = serde_json::from_slice(json).map_err(|e| format!("not a key set: {e}"))?;
        let keys: Vec<SigningKey> =
            raw.keys.into_iter().take(MAX_KEYS).filter_map(SigningKey::read).collect();
        if keys.is_empty() {
            return Err("no key that can be used (RSA of 2048 bits or more, EC P-256, EC P-384)".to_owned());
        }
        Ok(Self { keys })
    }

    /// Returns whether there is a key that could have made such a signature.
    pub(super) fn knows(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        self.candidates(algorithm, id).next().is_some()
    }

    /// Checks a signature.
    pub(super) fn check(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        signed: &[u8],
        signature: &str,
    ) -> Verdict {
        let mut verdict = Verdict::NoKey;
        for key in self.candidates(algorithm, id) {
            if crypto::verify(signature, signed, &key.key, algorithm).unwrap_or(false) {
                return Verdict::Good;
            }
            verdict = Verdict::Bad;
        }
        verdict
    }

    /// The keys with the token's key id, and those without one; all of them for a token that names
    /// none.
    fn candidates<'a>(
        &'a self,
        algorithm: Algorithm,
        id: Option<&'a str>,
    ) -> impl Iterator<Item = &'a SigningKey> {
        self.keys.iter().filter(move |key| {
            let named = id.is_none() || key.id.is_none() || key.id.as_deref() == id;
            named && key.algorithms.contains(&algorithm)
        })
    }
}

impl SigningKey {
    fn read(value: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let algorithms = algorithms(&jwk);
        if algorithms.is_empty() || !is_for_signatures(&jwk) {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithms, key })
    }
}

/// What the key's type allows, narrowed by its `alg`. Symmetric keys (`oct`) allow nothing: a
/// public set cannot hold a secret.
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    let by_type: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        _ => &[],
    };
    let named = jwk.common.key_algorithm;
    by_type.iter().copied().filter(|a| named.is_none_or(|n| n == KeyAlgorithm::from(*a))).collect()
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let used = jwk.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
    let operations = jwk.common.key_operations.as_ref().is_none_or(|o| o.contains(&KeyOperations::Verify));
    used && operations
}
