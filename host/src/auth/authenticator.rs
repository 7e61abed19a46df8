//! Tokens that an embedding program verifies itself.

use super::{
    Claims, Facts, Scope, TokenError,
    cache::fingerprint,
    claims::{MAX_REPOSITORY_BYTES, MAX_SCOPE_BYTES, MAX_SCOPES, bad},
    token_verifier::owner,
};

/// Verifies the tokens of requests, in place of the issuers and secrets of the configuration
/// (section `[auth]`, of which nothing counts then).
#[async_trait::async_trait]
pub trait Authenticator: Send + Sync {
    /// Returns what the bearer of this token may do. Asked once for each request that has a token:
    /// what takes long is for the implementation to remember. Dropped when the request is.
    ///
    /// # Errors
    /// See [`TokenError`]: the client gets a 401, a 403 for [`TokenError::NotAllowed`], and a 503
    /// for [`TokenError::Unavailable`]. The text of an error must not hold the token.
    async fn authenticate(&self, token: &str) -> Result<Access, TokenError>;
}

/// What the bearer of a token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whose entries these are: isolates repositories from each other. 1 to 128 visible ASCII
    /// characters; an id that is never given to another repository, not a name.
    pub repository: String,
    /// The scopes (git refs, usually), in the order in which keys are matched: at most 64, of at
    /// most 1,024 bytes. The first one with `write` is the one to save in.
    pub scopes: Vec<Scope>,
    /// When the token expires, in milliseconds since 1970.
    pub expires_ms: u64,
    /// What is known about the job that has the token, to be stored with what it saves: names like
    /// `run_id`, `ref` and `actor` ([`CLAIMS`](larder_common::facts::CLAIMS)) with their values. `repository`
    /// is the repository's name, `owner/name`. May be empty.
    pub facts: Facts,
}

impl Access {
    /// Checks the bounds, and makes the claims of a token of it.
    pub(super) fn into_claims(self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        let Self { repository, scopes, expires_ms, facts } = self;
        if !(1..=MAX_REPOSITORY_BYTES).contains(&repository.len())
            || !repository.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(bad("repository: not 1 to 128 visible ASCII characters"));
        }
        if scopes.len() > MAX_SCOPES || scopes.iter().any(|scope| scope.name.len() > MAX_SCOPE_BYTES) {
            return Err(bad("scopes: more than 64, or one of more than 1,024 bytes"));
        }
        if now_ms >= expires_ms {
            return Err(TokenError::Expired);
        }
        let owner = owner(&fingerprint(token));
        Ok(Claims { repository, scopes, owner, expires_ms, issued_ms: now_ms, facts })
    }
}

#[cfg(test)]
mod tests;
