//! The cache service: lookup, reserve, attach, finalize.
//!
//! Called by `twirp` (protocol version 2) and `v1`, which decode requests and encode responses, and
//! by `blob` for the content of uploads. So an entry saved with one version is found with the
//! other, and both fail for the same reasons. Repository and scopes come from the token alone,
//! never from a message. Must not depend on an encoding.

mod attach;
mod barred;
mod chunks;
mod error;
mod finalize;
mod lookup;
mod message;
pub(crate) mod refusal;
mod reserve;
mod save_rules;

pub(crate) use attach::{AttachError, attach};
pub(crate) use chunks::{ChunkKind, DISPLACED, Layout, appended_id, layout, ranged_id};
pub(crate) use error::clip;
pub use error::{Code, Error};
pub(crate) use finalize::{drop_in_words, finalize, finalize_chunks, finalized_entry};
pub(crate) use lookup::{Hit, lookup};
pub(crate) use message::{Message, ValidRequest};
pub(crate) use reserve::{Grant, reserve};

use crate::Policy;
use crate::ports::{AuthError, Claims, Host, Request};

/// `@actions/cache` looks for the beginning of this text (protocol reference 1.3).
const WRITE_DENIED: &str = "cache write denied: the token has no scope that it may write to";

/// The warning that a client prints if it saves while the disk is full.
pub(crate) const FULL: &str =
    "the cache server's disk is full, or as much is saved as its operator allows: this is not saved";

/// The context of a call.
pub(crate) struct Caller<'a, H: Host> {
    pub(crate) policy: &'a dyn Policy,
    pub(crate) host: &'a H,
    pub(crate) request: &'a Request<H::IncomingRequest>,
    pub(crate) claims: &'a Claims,
}

impl<H: Host> Caller<'_, H> {
    /// Returns whether the client is `@actions/cache`, which needs some responses in a form of its
    /// own.
    pub(crate) fn is_actions_cache(&self) -> bool {
        is_actions_cache(self.request)
    }

    /// Returns whether the client is BuildKit, or its library, go-actions-cache.
    ///
    /// It never retries a reservation, so that a second one comes from another saver: only after a 429,
    /// which this server never sends. If one build exports several targets, some may wait for more than
    /// a second before they send their first byte. And its export fails with the first error
    /// (`refusal`).
    pub(crate) fn is_export(&self) -> bool {
        let agent = self.request.header("user-agent");
        agent.is_some_and(|agent| agent.starts_with("buildkit/") || agent.starts_with("go-actions-cache/"))
    }

    /// Returns whether the client downloads with `GET` and `Range` only, so that any object store
    /// can serve it. BuildKit does not: the Azure SDK for Go resumes with `x-ms-range`, which other
    /// services ignore, and would take the wrong bytes. So only known clients qualify:
    /// `@actions/cache` in both versions, and those that speak protobuf (Nix, and opendal, which
    /// sends no name).
    pub(crate) fn supports_direct_downloads(&self) -> bool {
        let starts_with =
            |field: &str, text: &str| self.request.header(field).is_some_and(|value| value.starts_with(text));
        self.is_actions_cache()
            || starts_with("user-agent", "actions/cache")
            || starts_with("content-type", "application/protobuf")
    }
}

/// Returns whether the request's user agent is `@actions/cache`.
pub(crate) fn is_actions_cache<I>(request: &Request<I>) -> bool {
    request.header("user-agent").is_some_and(|agent| agent.starts_with("@actions/cache"))
}

/// Verifies the request's token, and asks the policy what it permits. `writes`: the call saves, which
/// changes the text of a denial.
///
/// # Errors
/// `unauthenticated` if the token is rejected, `permission_denied` if its repository may not use
/// this server, `unavailable` if the issuer's keys cannot be fetched.
pub(crate) async fn verify<H: Host>(
    policy: &dyn Policy,
    host: &H,
    request: &Request<H::IncomingRequest>,
    writes: bool,
) -> Result<Claims, Error> {
    let verified = host.verify(&request.incoming).await;
    let mut claims = verified.map_err(|error| match error {
        AuthError::NotAllowed(repository) => Error::not_allowed(&repository, writes),
        error => error.into(),
    })?;
    policy.admit(&mut claims, &|| host.facts(&request.incoming));
    Ok(claims)
}

/// Returns the scope that the caller saves into.
///
/// # Errors
/// `permission_denied` if the token has no writable scope.
pub(crate) fn writable_scope<'a, H: Host>(caller: &Caller<'a, H>) -> Result<&'a str, Error> {
    let scope = caller
        .policy
        .save_scope(caller.claims)
        .ok_or_else(|| Error::new(Code::PermissionDenied, WRITE_DENIED))?;
    caller.request.record(|outcome| outcome.scope = Some(scope.to_owned()));
    Ok(scope)
}
