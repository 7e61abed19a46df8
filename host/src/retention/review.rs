//! The input and output of a review of entries.

use larder_index::{Cause, Entry, EntryDetails, EntryId};

/// The state of an entry's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentState {
    /// Present, with the size of the entry.
    Intact,
    /// Missing, or of another size.
    Broken,
    /// The storage did not answer, or was not asked.
    Unknown,
}

/// What a rule of the operator wants of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It stays.
    Keep,
    /// It is deleted, by the rule of this name.
    Remove(String),
}

/// An entry that may be deleted.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The entry.
    pub entry: Entry,
    /// Who saved it, and how often it was used.
    pub details: EntryDetails,
    /// The state of its content.
    pub content: ContentState,
    /// How many newer entries are in its group; `None` if it is in none, or was not counted.
    pub newer: Option<u32>,
    /// What the rules want; `None` leaves it to the guest.
    pub wish: Option<Wish>,
}

/// Entries that may keep candidates alive.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    /// Roots of the candidates' repositories.
    pub entries: Vec<Entry>,
    /// Whether `entries` is complete: the host holds a limited number of roots.
    pub complete: bool,
}

/// What a review needs to know of a page of entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Entries that may keep others alive.
    pub roots: Vec<EntryId>,
    /// Entries of which the newer ones are counted, and their group, in the order of the page.
    pub groups: Vec<(EntryId, String)>,
}

/// An entry to delete, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The entry.
    pub id: EntryId,
    /// Why.
    pub cause: Cause,
}
