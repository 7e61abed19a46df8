//! Verification of bearer tokens: what the native server's `auth/token_verifier.rs` does, with the
//! same rules in the same order.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::{
    Claims, KeySet, TokenError,
    allowed::Allowed,
    claims::{ClaimRules, Scope, has_expired},
    facts,
    jwt::Jwt,
    signing,
};
use crate::config::Auth;

/// The clocks of issuer and server may differ by this much, in milliseconds.
const LEEWAY_MS: u64 = 60 * 1000;
/// The repository of tokens that name none, when tokens are not verified.
const UNVERIFIED_REPOSITORY: &str = "0";
/// Lifetime of a token without `exp` when tokens are not verified.
const UNVERIFIED_LIFETIME_MS: u64 = 6 * 60 * 60 * 1000;
/// Most verified tokens that an instance remembers.
const MAX_REMEMBERED: usize = 256;

/// An algorithm that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Rs256,
    Es256,
}

/// Verifies tokens; remembers verified ones as long as the instance lives.
pub(crate) struct TokenVerifier {
    rules: ClaimRules,
    allowed: Allowed,
    skip_validation: bool,
    secret: Option<Hmac<Sha256>>,
    issuer: Option<(String, KeySet)>,
    verified: RefCell<HashMap<[u8; 32], Rc<Claims>>>,
}

impl TokenVerifier {
    /// Makes a verifier. `keys` are the issuer's.
    pub(crate) fn new(auth: &Auth, keys: Option<KeySet>) -> Self {
        let rules = ClaimRules {
            leeway_ms: LEEWAY_MS,
            audience: auth.audience.clone(),
            default_repository: auth.default_repository.clone(),
            facts: facts::kept(&auth.facts),
        };
        Self {
            rules,
            allowed: Allowed::from_config(auth),
            skip_validation: auth.skip_validation,
            secret: auth.hs256_secret.as_ref().map(|secret| signing::key(&secret.0)),
            issuer: auth.issuer.clone().zip(keys),
            verified: RefCell::default(),
        }
    }

    /// Returns the claims of a token that is valid at `now_ms`.
    pub(crate) fn verify(&self, token: &str, now_ms: u64) -> Result<Rc<Claims>, TokenError> {
        let known_as: [u8; 32] = Sha256::digest(token).into();
        if self.skip_validation {
            return self.read_unverified(token, &known_as, now_ms).map(Rc::new);
        }
        if let Some(claims) = self.verified.borrow().get(&known_as) {
            let is_over = has_expired(claims.expires_ms, self.rules.leeway_ms, now_ms);
            return if is_over { Err(TokenError::Expired) } else { Ok(Rc::clone(claims)) };
        }
        let jwt = Jwt::parse(token)?;
        let algorithm = accepted(jwt.header.algorithm()).ok_or(TokenError::BadSignature)?;
        jwt.claims.check_times(&self.rules, now_ms)?;
        if !self.is_signed(&jwt, algorithm)? {
            return Err(TokenError::BadSignature);
        }
        let claims = Rc::new(self.read_verified(&jwt, &known_as, now_ms)?);
        let mut verified = self.verified.borrow_mut();
        if verified.len() == MAX_REMEMBERED {
            verified.clear();
        }
        verified.insert(known_as, Rc::clone(&claims));
        Ok(claims)
    }

    fn is_signed(&self, jwt: &Jwt<'_>, algorithm: Algorithm) -> Result<bool, TokenError> {
        // One that is not base64url is a wrong signature.
        let signature = URL_SAFE_NO_PAD.decode(jwt.signature).unwrap_or_default();
        if algorithm == Algorithm::Hs256 {
            let made_with =
                |key: &Hmac<Sha256>| key.clone().chain_update(jwt.signed).verify_slice(&signature).is_ok();
            return Ok(self.secret.as_ref().is_some_and(made_with));
        }
        let name = jwt.claims.issuer()?;
        let trusted = |(issuer, _): &&(String, KeySet)| issuer == name.strip_suffix('/').unwrap_or(name);
        let (_, keys) = self.issuer.as_ref().filter(trusted).ok_or_else(|| TokenError::untrusted(name))?;
        Ok(keys.check(algorithm, jwt.header.kid.as_deref(), jwt.signed, &signature))
    }

    fn read_verified(&self, jwt: &Jwt<'_>, known_as: &[u8; 32], now_ms: u64) -> Result<Claims, TokenError> {
        jwt.claims.check_audience(&self.rules)?;
        let repository = jwt.claims.repository(&self.rules, "")?;
        self.allowed.check(&jwt.claims, "", &repository)?;
        let missing = || TokenError::BadClaim("ac is missing".to_owned());
        Ok(Claims {
            repository,
            scopes: jwt.claims.scopes()?.ok_or_else(missing)?,
            owner: owner(known_as),
            expires_ms: jwt.claims.expires_ms()?,
            issued_ms: jwt.claims.issued_ms(now_ms),
            facts: facts::read(&jwt.payload, &self.rules.facts),
        })
    }

    fn read_unverified(&self, token: &str, known_as: &[u8; 32], now_ms: u64) -> Result<Claims, TokenError> {
        let jwt = Jwt::parse(token)?;
        let default =
            self.rules.default_repository.clone().unwrap_or_else(|| UNVERIFIED_REPOSITORY.to_owned());
        let default_repository = Some(default);
        let rules = ClaimRules { default_repository, leeway_ms: 0, audience: None, facts: Vec::new() };
        let everything = || vec![Scope { name: String::new(), read: true, write: true }];
        Ok(Claims {
            repository: jwt.claims.repository(&rules, "")?,
            scopes: jwt.claims.scopes()?.unwrap_or_else(everything),
            owner: owner(known_as),
            expires_ms: jwt.claims.expires_ms().unwrap_or(now_ms.saturating_add(UNVERIFIED_LIFETIME_MS)),
            issued_ms: jwt.claims.issued_ms(now_ms),
            facts: facts::read(&jwt.payload, &self.rules.facts),
        })
    }
}

/// Returns the algorithm of this name, if it is one that is accepted. `none` is not.
fn accepted(name: Option<&str>) -> Option<Algorithm> {
    match name? {
        "HS256" => Some(Algorithm::Hs256),
        "RS256" => Some(Algorithm::Rs256),
        "ES256" => Some(Algorithm::Es256),
        _ => None,
    }
}

fn owner(known_as: &[u8; 32]) -> String {
    hex::encode(&known_as[..16])
}
