//! What came of a replay.

use std::collections::BTreeMap;

use serde::Serialize;

/// Parts into which the time of a trace is divided, for a curve.
pub const SERIES: usize = 200;

/// The numbers of one contender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What decided.
    pub name: String,
    /// Look-ups.
    pub lookups: u64,
    /// Those that found something.
    pub hits: u64,
    /// Those of them that found the key itself.
    pub exact_hits: u64,
    /// Bytes of the entries that were found.
    pub bytes_served: u64,
    /// Entries that were saved, without those of before the trace.
    pub saves: u64,
    /// Their bytes.
    pub bytes_saved: u64,
    /// Saves for which there was no room.
    pub no_room: u64,
    /// Saves that the rules refused.
    pub refused: u64,
    /// Entries that were deleted to make room.
    pub evictions: u64,
    /// Their bytes.
    pub bytes_evicted: u64,
    /// Entries that were deleted for another reason.
    pub deletions: u64,
    /// Their bytes.
    pub bytes_deleted: u64,
    /// Why nothing was found, and how often.
    pub misses: BTreeMap<String, u64>,
    /// Questions that the rules failed to answer.
    pub rule_failures: u64,
    /// What was found of each key, by repository and key.
    #[serde(skip)]
    pub keys: BTreeMap<(String, String), KeyOutcome>,
    /// Look-ups and hits in each part of the time.
    #[serde(skip)]
    pub series: Vec<(u64, u64)>,
}

/// What was found of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyOutcome {
    /// Look-ups.
    pub lookups: u64,
    /// Those that found something.
    pub hits: u64,
    /// Bytes of what they found.
    pub bytes: u64,
}

impl Outcome {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), series: vec![(0, 0); SERIES], ..Self::default() }
    }

    /// Hits, as a part of look-ups from 0 to 1; 0 without look-ups.
    #[must_use]
    pub fn hit_ratio(&self) -> f64 {
        if self.lookups == 0 { 0.0 } else { self.hits as f64 / self.lookups as f64 }
    }

    /// Counts a look-up. `part`: of the time. `found`: the length, and whether by the key itself.
    pub(super) fn count_lookup(
        &mut self,
        part: usize,
        (repository, key): (&str, &str),
        found: Option<(u64, bool)>,
    ) {
        let of_key = self.keys.entry((repository.to_owned(), key.to_owned())).or_default();
        let of_part = &mut self.series[part.min(SERIES - 1)];
        self.lookups += 1;
        of_key.lookups += 1;
        of_part.0 += 1;
        if let Some((bytes, is_exact)) = found {
            self.hits += 1;
            self.exact_hits += u64::from(is_exact);
            self.bytes_served = self.bytes_served.saturating_add(bytes);
            of_key.hits += 1;
            of_key.bytes = of_key.bytes.saturating_add(bytes);
            of_part.1 += 1;
        }
    }

    pub(super) fn count_miss(&mut self, cause: &str) {
        *self.misses.entry(cause.to_owned()).or_default() += 1;
    }

    /// Counts a deletion.
    pub(super) fn count_deletion(&mut self, bytes: u64, is_for_room: bool) {
        let (count, sum) = if is_for_room {
            (&mut self.evictions, &mut self.bytes_evicted)
        } else {
            (&mut self.deletions, &mut self.bytes_deleted)
        };
        *count += 1;
        *sum = sum.saturating_add(bytes);
    }
}
