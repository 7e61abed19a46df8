//! The input of an eviction: what is full, and where room may come from.

use larder_index::{Slot, Trust, Within};

/// What is full. Only what is deleted within it helps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RoomBound {
    /// The share of a scope.
    Scope {
        /// Its repository.
        repository: String,
        /// The scope.
        scope: String,
    },
    /// The quota of a repository.
    Repository(String),
    /// The quota of the tenant.
    Tenant,
    /// The storage of the server.
    Server,
}

/// Room that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomNeeded {
    /// The slot that is saved; `None` if room is made ahead of need.
    pub slot: Option<Slot>,
    /// The trust of who saves; full if room is made ahead of need.
    pub trust: Trust,
    /// What is full.
    pub bound: RoomBound,
    /// How many bytes are missing.
    pub bytes: u64,
}

/// Entries that may be deleted to make room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    /// Where they are.
    pub within: Within,
    /// Their trust; `None`: any.
    pub trust: Option<Trust>,
}
