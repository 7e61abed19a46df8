//! Presets: in which order entries make room.
//!
//! All numbers are whole, and every order has the entry's number in it: the same trace gives the same
//! order on every machine.

mod by_priority;
mod keep_newest;
mod s3_fifo;

use self::{by_priority::ByPriority, keep_newest::KeepNewest, s3_fifo::S3Fifo};
use larder_index::Slot;

/// How many entries of a kind the preset `keep-newest` keeps.
const KEPT: usize = 2;

/// Another order in which entries go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Those first that were not used for longest, wherever they are.
    Lru,
    /// S3-FIFO: a queue for new entries, which have a tenth of the bytes, and one for those that were used again.
    S3Fifo,
    /// GDSF: those first that are large and rarely used.
    SizeAware,
    /// Only the 2 newest of the keys of a scope that differ in what is after their last `-`; then LRU.
    KeepNewest,
    /// As LRU, but entries of the default branch (`main` or `master`) last.
    DefaultBranch,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Lru, Self::S3Fifo, Self::SizeAware, Self::KeepNewest, Self::DefaultBranch];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::S3Fifo => "s3-fifo",
            Self::SizeAware => "size-aware",
            Self::KeepNewest => "keep-newest",
            Self::DefaultBranch => "default-branch",
        }
    }

    /// Makes an empty shelf of so many bytes.
    pub(super) fn shelf(self, bytes: u64) -> Box<dyn Shelf> {
        match self {
            Self::Lru => Box::new(ByPriority::lru()),
            Self::S3Fifo => Box::new(S3Fifo::new(bytes)),
            Self::SizeAware => Box::new(ByPriority::gdsf()),
            Self::KeepNewest => Box::new(KeepNewest::new(KEPT)),
            Self::DefaultBranch => Box::new(ByPriority::default_branch_last()),
        }
    }
}

/// An entry, as a shelf sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    /// Grows with each entry.
    pub(super) id: u64,
    pub(super) slot: &'a Slot,
    pub(super) bytes: u64,
}

/// Which entries there are, and which goes next.
pub(super) trait Shelf {
    /// A new entry. Returns those that go because of it, whatever room there is.
    fn insert(&mut self, item: Item<'_>) -> Vec<u64>;

    /// An entry was found.
    fn hit(&mut self, id: u64);

    /// Takes the entry that goes next.
    fn evict(&mut self) -> Option<u64>;
}
