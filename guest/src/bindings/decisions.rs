//! Conversions of what the exports `retention` and `explain` take and return.

use super::wit::exports::larder::cache::{explain, retention};
use super::wit::larder::cache::{auth, index};
use crate::ports;

impl From<retention::Roots> for ports::Roots {
    fn from(retention::Roots { entries, complete }: retention::Roots) -> Self {
        Self { entries: entries.into_iter().map(Into::into).collect(), complete }
    }
}

impl From<retention::Candidate> for ports::Candidate {
    fn from(from: retention::Candidate) -> Self {
        let retention::Candidate { entry, details, content, newer, wish } = from;
        let content = match content {
            retention::ContentState::Intact => ports::ContentState::Intact,
            retention::ContentState::Broken => ports::ContentState::Broken,
            retention::ContentState::Unknown => ports::ContentState::Unknown,
        };
        let retention::EntryDetails { facts, uses, trust } = details;
        let details = ports::EntryDetails { facts, uses, trust: trust.into() };
        let wish = wish.map(|wish| match wish {
            retention::Wish::Keep => ports::Wish::Keep,
            retention::Wish::Remove(rule) => ports::Wish::Remove(rule),
        });
        Self { entry: entry.into(), details, content, newer, wish }
    }
}

impl From<ports::Selection> for retention::Selection {
    fn from(ports::Selection { roots, groups }: ports::Selection) -> Self {
        let member = |ports::GroupMember { id, group }| retention::GroupMember { id, group };
        Self { roots, groups: groups.into_iter().map(member).collect() }
    }
}

impl From<ports::Verdict> for retention::Verdict {
    fn from(ports::Verdict { id, cause }: ports::Verdict) -> Self {
        Self { id, cause: cause.into() }
    }
}

impl From<retention::RoomNeeded> for ports::RoomNeeded {
    fn from(from: retention::RoomNeeded) -> Self {
        let retention::RoomNeeded { slot, trust, bound, bytes } = from;
        let bound = match bound {
            retention::Bound::Scope(retention::ScopeOf { repository, scope }) => {
                ports::Bound::Scope { repository, scope }
            }
            retention::Bound::Repository(repository) => ports::Bound::Repository(repository),
            retention::Bound::Tenant => ports::Bound::Tenant,
            retention::Bound::Server => ports::Bound::Server,
        };
        Self { slot: slot.map(Into::into), trust: trust.into(), bound, bytes }
    }
}

impl From<ports::Tier> for retention::Tier {
    fn from(ports::Tier { within, trust }: ports::Tier) -> Self {
        let within = match within {
            ports::Within::Scope { repository, scope } => {
                retention::Within::Scope(retention::ScopeOf { repository, scope })
            }
            ports::Within::Repository(repository) => retention::Within::Repository(repository),
            ports::Within::Tenant => retention::Within::Tenant,
        };
        Self { within, trust: trust.map(Into::into) }
    }
}

impl From<explain::Query> for ports::Query {
    fn from(explain::Query { repository, scopes, version, keys }: explain::Query) -> Self {
        let scope = |auth::Scope { name, read, write }| ports::Scope { name, read, write };
        Self { repository, scopes: scopes.into_iter().map(scope).collect(), version, keys }
    }
}

impl From<ports::Explanation> for explain::Explanation {
    fn from(ports::Explanation { version, attempts, near, cause }: ports::Explanation) -> Self {
        Self {
            version,
            attempts: attempts.into_iter().map(Into::into).collect(),
            near: near.into_iter().map(Into::into).collect(),
            cause: cause.map(Into::into),
        }
    }
}

impl From<ports::Attempt> for explain::Attempt {
    fn from(ports::Attempt { scope, key, kind, finding }: ports::Attempt) -> Self {
        let finding = match finding {
            ports::Finding::Nothing => explain::Finding::Nothing,
            ports::Finding::Match(entry) => explain::Finding::Match(index::Entry::from(entry)),
            ports::Finding::Stale(entry) => explain::Finding::Stale(entry.into()),
            ports::Finding::Expired(entry) => explain::Finding::Expired(entry.into()),
            ports::Finding::Skipped(entry) => explain::Finding::Skipped(entry.into()),
        };
        Self { scope, key, kind: kind.into(), finding }
    }
}

impl From<ports::Neighbour> for explain::Neighbour {
    fn from(from: ports::Neighbour) -> Self {
        let ports::Neighbour { cause, slot, entry, size_bytes, created_ms, departed } = from;
        let departure = |ports::Departure { at_ms, cause }| explain::Departure { at_ms, cause: cause.into() };
        Self {
            cause: cause.into(),
            slot: slot.into(),
            entry,
            size_bytes,
            created_ms,
            departed: departed.map(departure),
        }
    }
}
