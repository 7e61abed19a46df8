//! What jobs found, restored and saved, hour by hour.

/// An hour in milliseconds.
pub const HOUR_MS: u64 = 60 * 60 * 1_000;

/// Longest repository or name of a row, in bytes. Longer ones are cut by who counts.
pub const MAX_HISTORY_TEXT_BYTES: usize = 255;

/// Longest [`HistoryBatch::writer`], in bytes.
pub const MAX_WRITER_BYTES: usize = 64;

/// Counts of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryCounts {
    /// Look-ups that found an entry.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Look-ups whose entry had lost its content.
    pub stale: u64,
    /// Bytes that were restored from here.
    pub served_bytes: u64,
    /// Bytes of entries that were saved.
    pub saved_bytes: u64,
    /// Bytes of entries that were deleted to make room.
    pub evicted_bytes: u64,
    /// Misses whose entry would still be there with [`GHOST_BYTES`] more room, smallest first: each has
    /// those of the ones before it, too.
    pub ghosts: [u64; GHOST_BYTES.len()],
}

/// The amounts of room of [`HistoryCounts::ghosts`], in bytes: 10, 50 and 100 GB.
pub const GHOST_BYTES: [u64; 3] = [10_000_000_000, 50_000_000_000, 100_000_000_000];

/// Columns of [`HistoryCounts`].
pub(crate) const COUNTS: usize = 9;

impl HistoryCounts {
    /// The values, in the order of the columns.
    pub(crate) fn columns(&self) -> [u64; COUNTS] {
        let [few, some, many] = self.ghosts;
        let bytes = [self.served_bytes, self.saved_bytes, self.evicted_bytes];
        [self.hits, self.misses, self.stale, bytes[0], bytes[1], bytes[2], few, some, many]
    }

    /// Reads the values in that order.
    pub(crate) fn of_columns<E>(column: impl Fn(usize) -> Result<u64, E>) -> Result<Self, E> {
        Ok(Self {
            hits: column(0)?,
            misses: column(1)?,
            stale: column(2)?,
            served_bytes: column(3)?,
            saved_bytes: column(4)?,
            evicted_bytes: column(5)?,
            ghosts: [column(6)?, column(7)?, column(8)?],
        })
    }

    /// Adds other counts. A sum that does not fit is the largest number.
    pub fn add(&mut self, other: &Self) {
        let mut sums = self.columns();
        for (sum, more) in sums.iter_mut().zip(other.columns()) {
            *sum = sum.saturating_add(more);
        }
        let sums: Result<Self, std::convert::Infallible> = Self::of_columns(|column| Ok(sums[column]));
        let Ok(sums) = sums;
        *self = sums;
    }

    /// All look-ups.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.hits.saturating_add(self.misses).saturating_add(self.stale)
    }
}

/// What the name of a row is. Everything is counted once for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HistoryKind {
    /// The tool of the key, as `cargo`.
    #[default]
    Tool,
    /// The workflow of the job.
    Workflow,
}

impl HistoryKind {
    /// As stored: changing a number needs a migration.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Tool => 0,
            Self::Workflow => 1,
        }
    }
}

/// What was counted of a repository and a name in an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// Hours since 1970.
    pub hour: u64,
    /// The repository's id, as in tokens; at most [`MAX_HISTORY_TEXT_BYTES`].
    pub repository: String,
    /// What the name is.
    pub kind: HistoryKind,
    /// The tool or the workflow; at most [`MAX_HISTORY_TEXT_BYTES`].
    pub name: String,
    /// What is added.
    pub counts: HistoryCounts,
}

/// Rows that a writer adds at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryBatch {
    /// A text that no other process has: at most [`MAX_WRITER_BYTES`] of ASCII.
    pub writer: String,
    /// Larger than that of each batch before; from 1 on.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What is added.
    pub rows: Vec<HistoryRow>,
}

/// What sums of history are grouped by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryBy {
    /// Hours, the latest first.
    #[default]
    Hour,
    /// Repositories, those with most hits first.
    Repository,
    /// Repositories and names, those with most hits first.
    Name,
}

/// Which history is summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which of the kinds: a sum of both would count everything twice.
    pub kind: HistoryKind,
    /// The first hour, since 1970.
    pub from_hour: u64,
    /// Of one repository; `None`: of all.
    pub repository: Option<String>,
    /// What is summed.
    pub by: HistoryBy,
    /// Most sums that are returned.
    pub limit: usize,
}

/// A sum of history. What was not grouped by is 0 or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistorySum {
    /// Hours since 1970.
    pub hour: u64,
    /// The repository's id.
    pub repository: String,
    /// The tool or the workflow.
    pub name: String,
    /// The sum.
    pub counts: HistoryCounts,
}
