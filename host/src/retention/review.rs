//! The data that the guest gets when it reviews entries.

use crate::index::Entry;

/// The state of an entry's object, as the sweep found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentState {
    /// It exists, with the entry's size.
    Whole,
    /// It is gone, or has another size.
    Broken,
    /// The storage was unavailable.
    Unknown,
}

/// An entry, and the state of its content.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The entry.
    pub entry: Entry,
    /// Its content.
    pub content: ContentState,
}

/// Entries that the guest selected for its reviews of other entries.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// Of the repositories of the candidates.
    pub entries: Vec<Entry>,
    /// Whether these are all.
    pub complete: bool,
}
