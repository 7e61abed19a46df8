//! The order of matching.
//!
//! Called by `service` and `explain`. The order is GitHub's (protocol reference 5.1): all keys in the first
//! scope, then all keys in the next, so that a restore key on the own branch wins over the exact
//! key on the default branch.

use crate::ports::{Claims, MatchKind, Probe, Scope};

/// Returns the probes of a lookup, in order: for each readable scope in the token's order, for each
/// key, first an exact match, then the newest entry with that prefix. Repeated scopes and keys are
/// dropped.
pub(crate) fn probes(scopes: &[Scope], key: &str, restore_keys: &[String]) -> Vec<Probe> {
    let keys = distinct_keys(key, restore_keys);
    let mut probes = Vec::with_capacity(2 * keys.len() * scopes.len());
    for scope in readable_scopes(scopes) {
        for key in &keys {
            probes.push(probe(scope, key, MatchKind::Exact));
            probes.push(probe(scope, key, MatchKind::Prefix));
        }
    }
    probes
}

/// Returns the readable scopes, in the token's order, each once.
pub(crate) fn readable_scopes(scopes: &[Scope]) -> impl Iterator<Item = &str> {
    let readable = |scope: &&Scope| scope.read;
    scopes.iter().enumerate().filter_map(move |(at, scope)| {
        let repeated = scopes[..at].iter().filter(readable).any(|earlier| earlier.name == scope.name);
        (scope.read && !repeated).then_some(scope.name.as_str())
    })
}

/// Returns the scope that entries are saved into, if any. Tokens have at most one; the first one
/// counts.
pub(crate) fn writable_scope(claims: &Claims) -> Option<&str> {
    claims.scopes.iter().find(|scope| scope.write).map(|scope| scope.name.as_str())
}

/// Drops repeated keys: some clients repeat the primary key among the restore keys. Linear, because
/// there are few.
fn distinct_keys<'a>(key: &'a str, restore_keys: &'a [String]) -> Vec<&'a str> {
    let mut keys = Vec::with_capacity(1 + restore_keys.len());
    keys.push(key);
    for key in restore_keys {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    keys
}

fn probe(scope: &str, key: &str, kind: MatchKind) -> Probe {
    Probe { scope: scope.to_owned(), key: key.to_owned(), kind }
}

#[cfg(test)]
mod tests;
