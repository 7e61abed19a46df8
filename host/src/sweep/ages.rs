//! How old what a storage lists is.

use larder_index::MAX_CLOCK_SKEW_MS;
use larder_storage::Listed;

/// October 2025, in milliseconds since 1970. A clock that is earlier is wrong, and so is a time that
/// was written by one.
pub(crate) const EARLIEST_MS: u64 = 1_760_000_000_000;

/// What the time of an object or upload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// A row may not refer to it yet.
    Young,
    /// Older than the grace period: an orphan, if no row refers to it.
    Old,
    /// Its real age is unknown: the time is in the future, or long before this program existed. A
    /// clock was wrong when it was written.
    Unknown,
}

/// Determines ages, as of a time and for a grace period.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ages {
    pub(super) now_ms: u64,
    grace_ms: u64,
}

impl Ages {
    pub(crate) fn new(now_ms: u64, grace_ms: u64) -> Self {
        Self { now_ms, grace_ms }
    }

    /// Returns the age of what was last written at this time. While this machine's own clock is
    /// certainly wrong, everything is young.
    pub(super) fn of(self, modified_ms: u64) -> Age {
        let Self { now_ms, grace_ms } = self;
        if now_ms < EARLIEST_MS {
            Age::Young
        } else if modified_ms < EARLIEST_MS || modified_ms > now_ms.saturating_add(MAX_CLOCK_SKEW_MS) {
            Age::Unknown
        } else if modified_ms < now_ms.saturating_sub(grace_ms) {
            Age::Old
        } else {
            Age::Young
        }
    }

    /// Returns the items with their age.
    pub(super) fn aged<Name>(self, items: Vec<Listed<Name>>) -> Vec<(Listed<Name>, Age)> {
        let aged = |item: Listed<Name>| {
            let age = self.of(item.modified_ms);
            (item, age)
        };
        items.into_iter().map(aged).collect()
    }

    /// Returns the items that are not young, with their age.
    pub(super) fn not_young<Name>(self, items: Vec<Listed<Name>>) -> Vec<(Name, Age)> {
        let aged = self.aged(items).into_iter().map(|(item, age)| (item.name, age));
        aged.filter(|(_, age)| *age != Age::Young).collect()
    }
}

#[cfg(test)]
mod tests;
