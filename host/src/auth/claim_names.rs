//! The names of the claims that platforms send, for the log.

use std::collections::HashSet;

use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::{error::shown, facts};

/// Most issuers whose claims are logged.
const MAX_ISSUERS: usize = 64;
/// Most names in a line.
const MAX_NAMES: usize = 64;
/// Most characters of a name, or of an issuer.
const SHOWN_CHARS: usize = 64;

/// Logs which claims the tokens of each issuer have, so that operators find out what their platform
/// sends. Names only: a value may be private.
#[derive(Default)]
pub(super) struct ClaimNames {
    logged: Mutex<HashSet<String>>,
}

impl ClaimNames {
    /// Logs the names of a token's claims at level `debug`, once for each issuer.
    pub(super) fn log(&self, issuer: Option<&str>, payload: &[u8]) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let issuer = shown(issuer.unwrap_or("none"), SHOWN_CHARS);
        let mut logged = self.logged.lock();
        if logged.len() == MAX_ISSUERS || !logged.insert(issuer.clone()) {
            return;
        }
        drop(logged);
        let claims: Map<String, Value> = serde_json::from_slice(payload).unwrap_or_default();
        let (claims, oidc_extra) = (list(&claims), list(&facts::extra(&claims)));
        tracing::debug!(issuer, claims, oidc_extra, "names of the claims in the first token of this issuer");
    }
}

/// Returns the names, separated by commas.
fn list(claims: &Map<String, Value>) -> String {
    let names: Vec<String> = claims.keys().take(MAX_NAMES).map(|name| shown(name, SHOWN_CHARS)).collect();
    names.join(",")
}

#[cfg(test)]
mod tests;
