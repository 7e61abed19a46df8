//! The cache service: what can be done with entries, whichever protocol version asks for it.
//!
//! Called by `twirp` (version 2) and by `v1`, which read requests and write answers, and by `blob` for the content of uploads.
//! So an entry saved by one version is found by the other, and all of them fail for the same reasons. Repository and scopes
//! come from the token alone: what a request may do comes from nowhere else. Must never know how a request or an answer is
//! encoded.

mod attach;
mod chunks;
mod error;
mod finalize;
mod lookup;
mod message;
mod reserve;

pub(crate) use attach::{AttachError, attach};
pub(crate) use chunks::{ChunkKind, DISPLACED, Layout, appended_id, layout, ranged_id};
pub(crate) use error::{Code, Error, clip};
pub(crate) use finalize::{finalize, finalize_chunks, finalized};
pub(crate) use lookup::{Hit, lookup};
pub(crate) use message::{Checked, Message};
pub(crate) use reserve::{HandOut, reserve};

use crate::ports::{AuthError, Claims, Host, Request};

/// `@actions/cache` looks for how it starts (protocol reference 1.3).
const WRITE_DENIED: &str = "cache write denied: the token has no scope that it may write to";

/// What a client prints that saves while the disk is full.
pub(crate) const FULL: &str =
    "the cache server's disk is full: nothing is saved until its operator makes room";

/// Who calls, and by what: what every operation needs.
pub(crate) struct Caller<'a, H: Host> {
    pub(crate) host: &'a H,
    pub(crate) request: &'a Request<H::IncomingRequest>,
    pub(crate) claims: &'a Claims,
}

impl<H: Host> Caller<'_, H> {
    /// Returns whether the client is `@actions/cache`, which needs some answers in another form than all others.
    pub(crate) fn is_actions_cache(&self) -> bool {
        is_actions_cache(self.request)
    }

    /// Returns whether the client never asks a second time for an upload to which it got no answer, so that whoever seems to is
    /// another saver: BuildKit and its library, go-actions-cache, repeat a call after a 429 only, which is never sent here. Of
    /// several targets that one build exports some may wait for more than a second before they send their first byte.
    pub(crate) fn never_reserves_again(&self) -> bool {
        let agent = self.request.header("user-agent");
        agent.is_some_and(|agent| agent.starts_with("buildkit/") || agent.starts_with("go-actions-cache/"))
    }

    /// Returns whether the client downloads with plain `GET`, and `Range` at most, so that any server will do. BuildKit does
    /// not: the Azure SDK for Go resumes with `x-ms-range`, which other services pass over in silence, and takes what comes
    /// for what it asked for. So only clients that are known count: `@actions/cache` in both versions, and those that speak
    /// protobuf (opendal, which does not say its name; Nix).
    pub(crate) fn downloads_plainly(&self) -> bool {
        let begins =
            |field: &str, text: &str| self.request.header(field).is_some_and(|value| value.starts_with(text));
        self.is_actions_cache()
            || begins("user-agent", "actions/cache")
            || begins("content-type", "application/protobuf")
    }
}

/// Returns whether a request is of `@actions/cache`, by its own word.
pub(crate) fn is_actions_cache<I>(request: &Request<I>) -> bool {
    request.header("user-agent").is_some_and(|agent| agent.starts_with("@actions/cache"))
}

/// Verifies the request's token, for a call that saves or one that only reads.
///
/// # Errors
/// `unauthenticated` where the token does not count, `permission_denied` where its repository may not use this server.
pub(crate) async fn verify<H: Host>(
    host: &H,
    request: &Request<H::IncomingRequest>,
    writes: bool,
) -> Result<Claims, Error> {
    host.verify(&request.incoming).await.map_err(|error| match error {
        AuthError::NotAllowed(who) => Error::not_allowed(&who, writes),
        error => error.into(),
    })
}

/// Returns the scope that the caller saves into.
///
/// # Errors
/// `permission_denied` where there is none.
pub(crate) fn writable_scope<'a, H: Host>(caller: &Caller<'a, H>) -> Result<&'a str, Error> {
    let scope = crate::matching::writable_scope(caller.claims)
        .ok_or_else(|| Error::new(Code::PermissionDenied, WRITE_DENIED))?;
    caller.request.note(|outcome| outcome.scope = Some(scope.to_owned()));
    Ok(scope)
}
