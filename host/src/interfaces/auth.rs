//! `larder:cache/auth`: tokens and signatures. Tokens and keys stay in the host.

use std::{pin::pin, sync::Arc};

use ::http::{HeaderValue, header::AUTHORIZATION};
use larder_common::facts::is_of_rules;
use larder_metrics::AuthFailure;
use wasmtime::component::{Accessor, HasSelf, Resource, ResourceTableError};

use super::{
    bindings::larder::cache::auth::{self as wit, Host, HostWithStore},
    errors::AuthCallError,
    for_request::ForRequest,
    state::State,
    types::IncomingRequest,
};
use crate::auth::{Claims, TokenError, bearer};

/// Longest text for a signature, in bytes.
const MAX_SIGNED_BYTES: usize = 8 * 1024;

impl Host for State {
    fn get_facts(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<wit::Facts> {
        let record = &self.table.get(&request)?.context.record;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let of_token = |claims: &Arc<Claims>| {
            claims.facts.iter().filter(|(name, _)| !is_of_rules(name)).map(owned).collect()
        };
        Ok(record.claims().map(of_token).unwrap_or_default())
    }

    fn sign(&mut self, text: String) -> wasmtime::Result<String> {
        wasmtime::ensure!(text.len() <= MAX_SIGNED_BYTES, "the component signs more than 8 KiB");
        Ok(self.tenant.signer.sign(&text))
    }

    fn check(&mut self, text: String, signature: String) -> wasmtime::Result<bool> {
        Ok(text.len() <= MAX_SIGNED_BYTES && self.tenant.signer.check(&text, &signature))
    }

    fn convert_error(&mut self, error: AuthCallError) -> wasmtime::Result<wit::Error> {
        error.into_world()
    }
}

impl HostWithStore<State> for HasSelf<State> {
    async fn verify(
        accessor: &Accessor<State, Self>,
        request: Resource<IncomingRequest>,
    ) -> Result<wit::Claims, AuthCallError> {
        let (tenant, context) = accessor.with(|mut access| {
            let state = access.get();
            let context = state.table.get(&request)?.context.clone();
            Ok::<_, ResourceTableError>((state.tenant.clone(), context))
        })?;
        let count = |error: &TokenError| tenant.metrics.count_auth_failure(failure(error));
        let token =
            bearer(context.head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)).inspect_err(count)?;
        let verified =
            pin!(async { tenant.tokens.verify(token, tenant.clock.now_ms()).await.inspect_err(count) });
        let claims = verified.for_request(accessor, "auth.verify").await?;
        context.record.set_claims(&claims);
        Ok((&*claims).into())
    }
}

/// Why a token is not accepted, for the metrics.
fn failure(error: &TokenError) -> AuthFailure {
    match error {
        TokenError::Missing => AuthFailure::Missing,
        TokenError::Malformed(_) => AuthFailure::Malformed,
        TokenError::Expired => AuthFailure::Expired,
        TokenError::NotYetValid => AuthFailure::NotYetValid,
        TokenError::BadSignature => AuthFailure::Signature,
        TokenError::UntrustedIssuer(_) => AuthFailure::Issuer,
        TokenError::BadClaim(claim) if claim.starts_with("aud") => AuthFailure::Audience,
        TokenError::BadClaim(_) => AuthFailure::Claim,
        TokenError::NotAllowed(_) => AuthFailure::NotAllowed,
        TokenError::Unavailable(_) => AuthFailure::Unavailable,
    }
}

impl From<&Claims> for wit::Claims {
    fn from(claims: &Claims) -> Self {
        let scope =
            |s: &crate::auth::Scope| wit::Scope { name: s.name.clone(), read: s.read, write: s.write };
        Self {
            repository: claims.repository.clone(),
            scopes: claims.scopes.iter().map(scope).collect(),
            owner: claims.owner.clone(),
            expires_ms: claims.expires_ms,
        }
    }
}
