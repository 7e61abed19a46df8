//! The input and output of an eviction (`retention`).

use super::{Slot, Trust};

/// What is full (`retention.bound`). Only what is deleted within it helps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub enum Bound {
    Scope { repository: String, scope: String },
    Repository(String),
    Tenant,
    Server,
}

/// Room that is needed (`retention.room-needed`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomNeeded {
    /// The slot that is saved; `None` if room is made ahead of need.
    pub slot: Option<Slot>,
    /// The trust of who saves.
    pub trust: Trust,
    /// What is full.
    pub bound: Bound,
    /// How many bytes are missing.
    pub bytes: u64,
}

/// Where candidates may come from (`retention.within`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub enum Within {
    Scope { repository: String, scope: String },
    Repository(String),
    Tenant,
}

/// Entries that may be deleted to make room (`retention.tier`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Where they are.
    pub within: Within,
    /// Their trust; `None`: any.
    pub trust: Option<Trust>,
}
