//! A cache of verified tokens: a signature is checked once, not per request.

use std::sync::Arc;

use aws_lc_rs::digest;
use quick_cache::{Weighter, sync::Cache};

use super::{Claims, TokenError, claims::has_expired};

/// The SHA-256 of a token.
pub(super) type Fingerprint = [u8; 32];

/// Expected number of tokens.
const TOKENS: usize = 10_000;
/// Memory for cached claims, in bytes: a token may have 64 scopes of 1 KiB, and 4 KiB of facts.
const BYTES: u64 = 8 * 1024 * 1024;

/// Caches the claims of verified tokens by fingerprint, without the tokens.
pub(super) struct VerifiedTokens {
    cache: Cache<Fingerprint, Verified, ClaimsWeight>,
    leeway_ms: u64,
}

/// A verified token, and what the rules say of it.
#[derive(Clone)]
pub(super) struct Verified {
    /// With what the rules leave of its scopes.
    pub(super) claims: Arc<Claims>,
    /// Why the rules deny it.
    pub(super) denied: Option<Arc<str>>,
    /// Which rules were asked ([`Asker::generation`](larder_rules::Asker::generation)).
    pub(super) generation: u64,
}

impl Verified {
    /// Returns the claims, unless the rules deny the token.
    pub(super) fn into_claims(self) -> Result<Arc<Claims>, TokenError> {
        match self.denied {
            None => Ok(self.claims),
            Some(reason) => Err(TokenError::NotAllowed(reason.to_string())),
        }
    }
}

#[derive(Clone)]
struct ClaimsWeight;

impl Weighter<Fingerprint, Verified> for ClaimsWeight {
    fn weight(&self, _: &Fingerprint, verified: &Verified) -> u64 {
        let claims = &verified.claims;
        let scopes: usize = claims.scopes.iter().map(|s| s.name.len() + 48).sum();
        (scopes + claims.repository.len() + claims.facts.memory_bytes() + 288) as u64
    }
}

impl VerifiedTokens {
    pub(super) fn new(leeway_ms: u64) -> Self {
        Self { cache: Cache::with_weighter(TOKENS, BYTES, ClaimsWeight), leeway_ms }
    }

    /// Returns a cached token, `None` if it is not cached or other rules were asked than those of
    /// `generation`, and an error if it has expired since.
    pub(super) fn get(
        &self,
        token: &Fingerprint,
        generation: u64,
        now_ms: u64,
    ) -> Result<Option<Verified>, TokenError> {
        let Some(verified) = self.cache.get(token) else { return Ok(None) };
        if has_expired(verified.claims.expires_ms, self.leeway_ms, now_ms) {
            self.cache.remove(token);
            return Err(TokenError::Expired);
        }
        Ok(Some(verified).filter(|verified| verified.generation == generation))
    }

    /// Caches a verified token.
    pub(super) fn insert(&self, token: Fingerprint, verified: Verified) {
        self.cache.insert(token, verified);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }
}

/// Returns a token's fingerprint.
pub(super) fn fingerprint(token: &str) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}
