//! `larder:cache/explain`: converts a question about a lookup, and its answer.

use super::{
    bindings::{
        exports::larder::cache::explain as wit,
        larder::cache::{auth, index},
    },
    handler::miss_word,
};
use crate::explain::{Attempt, Deletion, Explanation, Finding, Found, Neighbour, Query};

/// The answer, or why the index failed.
pub(crate) type Explained = Result<Explanation, String>;

/// Most attempts and neighbours that are taken of a component.
pub(super) const MAX_ATTEMPTS: usize = 1000;
pub(super) const MAX_NEIGHBOURS: usize = 100;

impl From<Query> for wit::Query {
    fn from(query: Query) -> Self {
        let scope = |scope: crate::auth::Scope| auth::Scope {
            name: scope.name,
            read: scope.read,
            write: scope.write,
        };
        Self {
            repository: query.repository,
            scopes: query.scopes.into_iter().map(scope).collect(),
            version: query.version,
            keys: query.keys,
        }
    }
}

/// Converts the answer. The host has logged why an index failed.
pub(crate) fn explained(result: Result<wit::Explanation, index::Error>) -> Explained {
    let wit::Explanation { version, attempts, near, cause } = result.map_err(|error| match error {
        index::Error::Unavailable(context) => format!("the database is unavailable: {context}"),
        index::Error::NoSpace => "the disk of the database is full".to_owned(),
    })?;
    Ok(Explanation {
        version,
        attempts: attempts.into_iter().take(MAX_ATTEMPTS).map(Into::into).collect(),
        near: near.into_iter().take(MAX_NEIGHBOURS).map(Into::into).collect(),
        cause: cause.map(|cause| miss_word(cause).into()),
    })
}

impl From<wit::Attempt> for Attempt {
    fn from(wit::Attempt { scope, key, kind, finding }: wit::Attempt) -> Self {
        let is_prefix = matches!(kind, index::MatchKind::Prefix);
        let (found, entry) = match finding {
            wit::Finding::Nothing => (Found::Nothing, None),
            wit::Finding::Match(entry) => (Found::Match, Some(entry)),
            wit::Finding::Stale(entry) => (Found::Stale, Some(entry)),
            wit::Finding::Expired(entry) => (Found::Expired, Some(entry)),
            wit::Finding::Skipped(entry) => (Found::Skipped, Some(entry)),
        };
        let finding = |entry: index::Entry| Finding {
            entry: entry.id,
            key: entry.slot.key,
            size_bytes: entry.size_bytes,
            created_ms: entry.created_ms,
            last_used_ms: entry.last_used_ms,
        };
        Self { scope, key, is_prefix, found, finding: entry.map(finding) }
    }
}

impl From<wit::Neighbour> for Neighbour {
    fn from(from: wit::Neighbour) -> Self {
        let wit::Neighbour { cause, slot, entry, size_bytes, created_ms, departed } = from;
        let deletion = |departure: wit::Departure| Deletion {
            at_ms: departure.at_ms,
            cause: larder_index::Cause::from(departure.cause).to_string(),
        };
        let index::Slot { scope, version, key, .. } = slot;
        let deleted = departed.map(deletion);
        Self { cause: miss_word(cause).into(), scope, version, key, entry, size_bytes, created_ms, deleted }
    }
}
