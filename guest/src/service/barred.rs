//! Barred keys: what was revoked or evicted cannot be replaced by a saver of less trust.
//!
//! Called by `reserve`. Else a job that outsiders may start could have a trusted entry pushed out,
//! and save its own under the same key, which the default branch then restores.

use super::{Caller, Code, Error};
use crate::buildkit;
use crate::nearness;
use crate::ports::{Cause, Departed, Host, MatchKind, Slot, Trust};

/// Most departed entries of the key that are looked at: of other scopes and versions, too.
const LOOKED_AT: u32 = 200;

/// What the client reads. `@actions/cache` looks for the beginning (protocol reference 1.3).
const BARRED: &str = "cache write denied: the entry of this key was revoked or evicted, \
    and a job of less trust may not save it again yet";

/// Checks that a saver of low trust may save into the slot: that its last entry did not have full
/// trust, and was not revoked or evicted within `barred_ms`. A layer of BuildKit is named by its
/// content, so nothing false can be saved in its place.
///
/// # Errors
/// `permission_denied` if it may not; for BuildKit, whose export fails on any refusal but this one,
/// `already_exists`.
pub(super) async fn check<H: Host>(caller: &Caller<'_, H>, slot: &Slot) -> Result<(), Error> {
    let Some(barred_ms) = caller.host.settings().barred_ms else { return Ok(()) };
    if buildkit::is_layer(slot) {
        return Ok(());
    }
    let (repository, key) = (slot.repository.clone(), slot.key.clone());
    let departed = caller.host.list_departed(repository, key, MatchKind::Exact, LOOKED_AT).await?;
    let last = departed.iter().find(|departed| nearness::was_in(&departed.slot, slot));
    let since_ms = caller.request.received_ms.saturating_sub(barred_ms);
    if !last.is_some_and(|last| bars(last, since_ms)) {
        return Ok(());
    }
    let code = if caller.is_export() { Code::AlreadyExists } else { Code::PermissionDenied };
    Err(Error::new(code, BARRED))
}

fn bars(departed: &Departed, since_ms: u64) -> bool {
    let was_pushed_out = matches!(departed.cause, Cause::Revoked | Cause::Size | Cause::Quota);
    departed.trust == Trust::Full && was_pushed_out && departed.departed_ms > since_ms
}

#[cfg(test)]
mod tests;
