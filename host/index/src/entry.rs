//! Finished entries, and the slots that they are in.

use larder_storage::ObjectName;

/// Number of an entry. Numbers grow with every entry made, so their order is the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// Where an entry is: at most one entry and one upload are in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Isolates repositories from each other.
    pub repository: String,
    /// Usually a git ref.
    pub scope: String,
    /// Chosen by the client and opaque to the index: only entries of the same version match.
    pub version: String,
    /// The cache key.
    pub key: String,
}

/// A finished cache entry. Only `last_used_ms` ever changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique in the index.
    pub id: EntryId,
    /// Where it is.
    pub slot: Slot,
    /// The object with the entry's content.
    pub object: ObjectName,
    /// Length of the content in bytes.
    pub size_bytes: u64,
    /// When it was finalized, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was last used, in milliseconds since 1970; `created_ms` until the first use.
    pub last_used_ms: u64,
    /// Fingerprint of the token that reserved it. `None` for entries of releases that did not store
    /// it.
    pub owner: Option<String>,
}

/// Whether an entry's content survives a loss of power, as known when the entry is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does.
    Durable,
    /// Only once it is flushed. Until then it is lost when the machine reboots.
    Until {
        /// Identifies the boot of the machine in which the content was written.
        boot: String,
    },
}
