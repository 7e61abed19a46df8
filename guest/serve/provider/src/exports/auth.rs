//! `larder:cache/auth`.

use super::{Provider, types::IncomingRequest};
use crate::{
    auth::{TokenError, bearer},
    bindings::exports::larder::cache::{
        auth::{Claims, Error, Guest, Scope},
        types::IncomingRequestBorrow,
    },
    instance::{instance, now_ms},
};

/// Longest text for a signature, in bytes.
const MAX_SIGNED_BYTES: usize = 8 * 1024;

impl Guest for Provider {
    async fn verify(request: IncomingRequestBorrow<'_>) -> Result<Claims, Error> {
        let request = request.get::<IncomingRequest>();
        let token = bearer(request.authorization.as_deref())?;
        let claims = instance().tokens.verify(token, now_ms())?;
        let scopes = claims.scopes.iter();
        let scopes = scopes.map(|s| Scope { name: s.name.clone(), read: s.read, write: s.write });
        Ok(Claims {
            repository: claims.repository.clone(),
            scopes: scopes.collect(),
            owner: claims.owner.clone(),
            expires_ms: claims.expires_ms,
        })
    }

    fn get_facts(request: IncomingRequestBorrow<'_>) -> Vec<(String, String)> {
        let request = request.get::<IncomingRequest>();
        let token = bearer(request.authorization.as_deref());
        // Verified before, so it is remembered.
        let claims = token.and_then(|token| instance().tokens.verify(token, now_ms()));
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        claims.map(|claims| claims.facts.iter().map(owned).collect()).unwrap_or_default()
    }

    fn sign(text: String) -> String {
        assert!(text.len() <= MAX_SIGNED_BYTES, "the policy signs more than 8 KiB");
        instance().signer.sign(&text)
    }

    fn check(text: String, signature: String) -> bool {
        text.len() <= MAX_SIGNED_BYTES && instance().signer.check(&text, &signature)
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Missing => Self::Missing,
            TokenError::Malformed(reason) => Self::Malformed(reason),
            TokenError::Expired => Self::Expired,
            TokenError::NotYetValid => Self::NotYetValid,
            TokenError::BadSignature => Self::BadSignature,
            TokenError::UntrustedIssuer(issuer) => Self::UntrustedIssuer(issuer),
            TokenError::BadClaim(claim) => Self::BadClaim(claim),
            TokenError::NotAllowed(reason) => Self::NotAllowed(reason),
            TokenError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
