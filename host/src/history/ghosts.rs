//! Misses of entries that were deleted to make room, and how much more room would have kept them.
//!
//! The *distance* of such an entry is its size and the bytes that were evicted since: with that much more
//! room it would still be there, if entries go in the same order. Evictions are summed by the hour, so it is
//! exact to an hour's.

use std::collections::BTreeMap;

use larder_index::{
    Area, Cause, Departed, Index, IndexError,
    catalogue::{GHOST_BYTES, HOUR_MS, HistoryQuery},
};

/// How long evictions count, in hours: thirty days. What went before is no ghost.
const HOURS: u64 = 30 * 24;
/// The multiples of what is stored, in the order of the metric's labels.
const TIMES: [u64; 3] = [2, 4, 8];

/// An entry that was deleted to make room, and looked up since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ghost {
    /// Its version.
    pub(crate) version: String,
    /// Its size.
    pub(crate) size_bytes: u64,
    /// When it was deleted.
    pub(crate) at_ms: u64,
}

impl Ghost {
    /// Returns the deleted entry as a ghost, if that was to make room.
    pub(crate) fn of(departed: &Departed) -> Option<Self> {
        matches!(departed.departure.cause, Cause::Size | Cause::Quota).then(|| Self {
            version: departed.slot.version.clone(),
            size_bytes: departed.size_bytes,
            at_ms: departed.departure.at_ms,
        })
    }
}

/// Bytes that were evicted, by hour, and how many are stored.
#[derive(Debug, Default)]
pub(super) struct Evicted {
    by_hour: BTreeMap<u64, u64>,
    stored: Option<u64>,
}

/// How far off an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Haunting {
    distance: Option<u64>,
    stored: Option<u64>,
}

impl Evicted {
    pub(super) fn add(&mut self, hour: u64, bytes: u64) {
        let sum = self.by_hour.entry(hour).or_default();
        *sum = sum.saturating_add(bytes);
    }

    pub(super) fn haunting(&self, ghost: &Ghost) -> Haunting {
        let hour = ghost.at_ms / HOUR_MS;
        let oldest = self.by_hour.last_key_value().map(|(latest, _)| latest.saturating_sub(HOURS));
        let is_known = oldest.is_none_or(|oldest| hour >= oldest);
        // Of its own hour the share that came after it.
        let rest = HOUR_MS - ghost.at_ms % HOUR_MS;
        let own = self.by_hour.get(&hour).map_or(0, |bytes| bytes / HOUR_MS * rest);
        let later = self.by_hour.range(hour + 1..).map(|(_, bytes)| *bytes);
        let since = later.fold(own, u64::saturating_add);
        Haunting { distance: is_known.then(|| since.saturating_add(ghost.size_bytes)), stored: self.stored }
    }
}

impl Haunting {
    /// Whether each of [`GHOST_BYTES`] would have kept it.
    pub(super) fn ghosts(&self) -> [u64; GHOST_BYTES.len()] {
        GHOST_BYTES.map(|room| u64::from(self.distance.is_some_and(|distance| distance <= room)))
    }

    /// Returns the smallest multiple of what is stored that would have kept it.
    pub(super) fn times(&self) -> Option<u64> {
        let (distance, stored) = (self.distance?, self.stored?);
        TIMES.into_iter().find(|times| distance <= stored.saturating_mul(times - 1))
    }
}

/// Reads what all servers have evicted, and how much is stored.
pub(super) async fn read(index: &dyn Index, hour: u64) -> Result<Evicted, IndexError> {
    let limit = usize::try_from(HOURS).unwrap_or(usize::MAX) + 1;
    let query = HistoryQuery { from_hour: hour.saturating_sub(HOURS), limit, ..HistoryQuery::default() };
    let sums = index.sum_history(&query).await?;
    let stored = match index.usage_of(&Area::Tenant).await {
        Err(IndexError::Unsupported(_)) => None,
        stored => Some(stored?),
    };
    let by_hour = sums.into_iter().map(|sum| (sum.hour, sum.counts.evicted_bytes));
    Ok(Evicted { by_hour: by_hour.filter(|(_, bytes)| *bytes > 0).collect(), stored })
}
