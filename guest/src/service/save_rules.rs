//! What policy and operator's rules say about what is saved.
//!
//! Called by `reserve`, where the size may not be known, and by `finalize`, where it is. The second
//! answer can only refuse.

use super::{Caller, Code, Error, reserve};
use crate::ports::{Facts, Host, SaveVerdict, Slot};

/// `@actions/cache` looks for the beginning of the message (protocol reference 1.3).
const DENIED: &str = "cache write denied: ";

/// Why a save is refused.
pub(super) struct Refusal {
    reason: String,
    /// The client is told that the key exists.
    is_quiet: bool,
}

/// Asks whether a slot may be saved into. Returns what is stored beside the facts of the token.
pub(super) fn ask<H: Host>(
    caller: &Caller<'_, H>,
    slot: &Slot,
    size_bytes: Option<u64>,
) -> Result<Facts, Refusal> {
    let mut terms = accepted(caller.policy.judge_save(caller.claims, slot, size_bytes))?;
    if caller.request.rules.save {
        let (key, version) = (slot.key.clone(), slot.version.clone());
        let asked = caller.host.judge_save(&caller.request.incoming, key, version, size_bytes);
        terms.extend(accepted(asked)?);
    }
    Ok(terms)
}

fn accepted(verdict: SaveVerdict) -> Result<Facts, Refusal> {
    match verdict {
        SaveVerdict::Accept(facts) => Ok(facts),
        SaveVerdict::Refuse(reason) => Err(Refusal { reason, is_quiet: false }),
        SaveVerdict::RefuseQuietly(reason) => Err(Refusal { reason, is_quiet: true }),
    }
}

impl Refusal {
    /// Returns whether the client is told that it has succeeded, where it cannot be told that the key
    /// exists.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Returns the error for the client: `already_exists` if it is to pass over it. Not so for BuildKit's
    /// export, which would take a layer for there that is not: `reserve` and `finalize` see to it that
    /// nothing names what was refused.
    pub(super) fn into_error<H: Host>(self, caller: &Caller<'_, H>) -> Error {
        let text = format!("{DENIED}{}", self.reason);
        if self.is_quiet && !caller.is_export() {
            return reserve::already_exists().with_reason(text);
        }
        Error::new(Code::PermissionDenied, text)
    }
}

#[cfg(test)]
mod tests;
