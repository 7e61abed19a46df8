//! An entry as the operator's rules see it, and the terms that they saved it on.

use larder_common::facts::LIFETIME;
use larder_index::{Entry, EntryDetails, Facts, Trust};
use larder_rules::number;

/// Returns an entry as rules see it.
#[must_use]
pub(crate) fn seen_by_rules(entry: &Entry, details: &EntryDetails, now_ms: u64) -> larder_rules::Entry {
    let seconds_since = |ms: u64| number(now_ms.saturating_sub(ms) / 1000);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let slot = &entry.slot;
    larder_rules::Entry {
        repository: slot.repository.clone(),
        scope: slot.scope.clone(),
        version: slot.version.clone(),
        key: slot.key.clone(),
        size_kib: number(entry.size_bytes.div_ceil(1024)),
        age_s: seconds_since(entry.created_ms),
        idle_s: seconds_since(entry.last_used_ms.max(entry.created_ms)),
        uses: details.uses.map(number),
        trust: match Trust::of(details.trust, &slot.scope) {
            Trust::Low => larder_rules::Trust::Low,
            Trust::Full => larder_rules::Trust::Full,
        },
        provenance: details.facts.iter().flat_map(Facts::iter).map(owned).collect(),
    }
}

/// Returns whether the lifetime is over that rules gave an entry when it was saved. One that was made in
/// the future, by a clock that was wrong, has an unknown age.
#[must_use]
pub(crate) fn is_past_lifetime(entry: &Entry, details: &EntryDetails, now_ms: u64) -> bool {
    let lifetime_s = details.facts.as_ref().and_then(|facts| facts.get(LIFETIME)?.parse::<u64>().ok());
    let age_ms = now_ms.saturating_sub(entry.created_ms);
    lifetime_s.is_some_and(|lifetime_s| age_ms > lifetime_s.saturating_mul(1000))
}

#[cfg(test)]
mod tests;
