//! `larder:cache/retention`: converts what the component decides about, and filters what it decides.

use std::collections::{HashMap, HashSet};

use larder_index::{Cause, Entry, EntryId, Slot, Trust, Upload, UploadId, Within};

use super::bindings::{exports::larder::cache::retention as wit, larder::cache::types};
use crate::retention::{
    Candidate, ContentState, RoomBound, RoomNeeded, Roots, Selection, Tier, Verdict, Wish,
};

/// Longest text of a group, in bytes.
const MAX_GROUP_BYTES: usize = 16 * 1024;
/// Most tiers of one eviction.
pub(super) const MAX_TIERS: usize = 16;
/// Longest name of a rule, in bytes.
const MAX_RULE_BYTES: usize = 64;

impl From<&Roots> for wit::Roots {
    fn from(roots: &Roots) -> Self {
        Self { entries: roots.entries.iter().map(Into::into).collect(), complete: roots.complete }
    }
}

impl From<&Candidate> for wit::Candidate {
    fn from(candidate: &Candidate) -> Self {
        let Candidate { entry, details, content, newer, wish } = candidate;
        let content = match content {
            ContentState::Intact => wit::ContentState::Intact,
            ContentState::Broken => wit::ContentState::Broken,
            ContentState::Unknown => wit::ContentState::Unknown,
        };
        let pairs = details
            .facts
            .as_ref()
            .map(|facts| facts.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let trust = Trust::of(details.trust, &entry.slot.scope).into();
        let details = wit::EntryDetails { facts: pairs, uses: details.uses, trust };
        let wish = wish.as_ref().map(|wish| match wish {
            Wish::Keep => wit::Wish::Keep,
            Wish::Remove(rule) => wit::Wish::Remove(rule.clone()),
        });
        Self { entry: entry.into(), details, content, newer: *newer, wish }
    }
}

impl From<&RoomNeeded> for wit::RoomNeeded {
    fn from(needed: &RoomNeeded) -> Self {
        let bound = match &needed.bound {
            RoomBound::Scope { repository, scope } => {
                wit::Bound::Scope(wit::ScopeOf { repository: repository.clone(), scope: scope.clone() })
            }
            RoomBound::Repository(repository) => wit::Bound::Repository(repository.clone()),
            RoomBound::Tenant => wit::Bound::Tenant,
            RoomBound::Server => wit::Bound::Server,
        };
        let slot = needed.slot.as_ref().map(|slot: &Slot| slot.into());
        Self { slot, trust: needed.trust.into(), bound, bytes: needed.bytes }
    }
}

impl From<Trust> for types::Trust {
    fn from(trust: Trust) -> Self {
        match trust {
            Trust::Low => Self::Low,
            Trust::Full => Self::Full,
        }
    }
}

impl From<types::Trust> for Trust {
    fn from(trust: types::Trust) -> Self {
        match trust {
            types::Trust::Low => Self::Low,
            types::Trust::Full => Self::Full,
        }
    }
}

impl From<wit::Tier> for Tier {
    fn from(wit::Tier { within, trust }: wit::Tier) -> Self {
        let within = match within {
            wit::Within::Scope(wit::ScopeOf { repository, scope }) => Within::Scope { repository, scope },
            wit::Within::Repository(repository) => Within::Repository(repository),
            wit::Within::Tenant => Within::Tenant,
        };
        Self { within, trust: trust.map(Into::into) }
    }
}

impl From<types::DepartureCause> for Cause {
    fn from(cause: types::DepartureCause) -> Self {
        match cause {
            types::DepartureCause::Age => Self::Age,
            types::DepartureCause::NeverUsed => Self::NeverUsed,
            types::DepartureCause::MaxAge => Self::MaxAge,
            types::DepartureCause::Superseded => Self::Superseded,
            types::DepartureCause::Size => Self::Size,
            types::DepartureCause::Quota => Self::Quota,
            types::DepartureCause::Stale => Self::Stale,
            types::DepartureCause::Manual => Self::Manual,
            types::DepartureCause::Revoked => Self::Revoked,
            types::DepartureCause::ClosedScope => Self::ClosedScope,
            types::DepartureCause::Rule(mut name) => {
                name.truncate(name.floor_char_boundary(MAX_RULE_BYTES));
                Self::Rule(name)
            }
        }
    }
}

impl From<Cause> for types::DepartureCause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Age => Self::Age,
            Cause::NeverUsed => Self::NeverUsed,
            Cause::MaxAge => Self::MaxAge,
            Cause::Superseded => Self::Superseded,
            Cause::Size => Self::Size,
            Cause::Quota => Self::Quota,
            Cause::Stale => Self::Stale,
            Cause::Manual => Self::Manual,
            Cause::Revoked => Self::Revoked,
            Cause::ClosedScope => Self::ClosedScope,
            Cause::Rule(name) => Self::Rule(name),
        }
    }
}

/// Returns what the component selected of the given entries: each root once, and one group for an
/// entry at most.
pub(crate) fn selection(given: &[Entry], selected: wit::Selection) -> Selection {
    let roots = selected_entries(given.iter(), &selected.roots);
    let mut groups: HashMap<u64, String> = selected
        .groups
        .into_iter()
        .filter(|member| member.group.len() <= MAX_GROUP_BYTES)
        .map(|member| (member.id, member.group))
        .collect();
    let of_group = |entry: &Entry| Some((entry.id, groups.remove(&entry.id.0)?));
    Selection { roots, groups: given.iter().filter_map(of_group).collect() }
}

/// Returns the verdicts about the given candidates, one for each at most.
pub(crate) fn verdicts(given: &[Candidate], verdicts: Vec<wit::Verdict>) -> Vec<Verdict> {
    let mut causes: HashMap<u64, types::DepartureCause> =
        verdicts.into_iter().map(|verdict| (verdict.id, verdict.cause)).collect();
    let verdict = |candidate: &Candidate| {
        let id = candidate.entry.id;
        Some(Verdict { id, cause: causes.remove(&id.0)?.into() })
    };
    given.iter().filter_map(verdict).collect()
}

/// Returns the tiers of an eviction.
pub(crate) fn tiers(tiers: Vec<wit::Tier>) -> Vec<Tier> {
    tiers.into_iter().take(MAX_TIERS).map(Into::into).collect()
}

/// Returns the given candidates that the component chose, each once, in its order.
pub(crate) fn chosen(given: &[Candidate], chosen: Vec<u64>) -> Vec<EntryId> {
    let mut left: HashSet<u64> = given.iter().map(|candidate| candidate.entry.id.0).collect();
    chosen.into_iter().filter(|id| left.remove(id)).map(EntryId).collect()
}

/// Returns the given entries that the component selected, each once.
fn selected_entries<'a>(given: impl Iterator<Item = &'a Entry>, selected: &[u64]) -> Vec<EntryId> {
    let selected: HashSet<u64> = selected.iter().copied().collect();
    given.map(|entry| entry.id).filter(|id| selected.contains(&id.0)).collect()
}

/// Returns the given uploads that the component selected, each once.
pub(crate) fn selected_uploads(given: &[Upload], selected: &[u64]) -> Vec<UploadId> {
    given.iter().map(|u| u.id).filter(|id| selected.contains(&id.0)).collect()
}
