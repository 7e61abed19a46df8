//! Why entries are deleted, and why a lookup finds none (`types`, `index`).

use super::{Entry, Slot, Upload};

/// How far a saver, and what it saved, is trusted (`types.trust`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Outsiders may have a part in it.
    Low,
    /// As the default branch.
    Full,
}

/// Why an entry was deleted (`types.departure-cause`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub enum Cause {
    Age,
    NeverUsed,
    MaxAge,
    Superseded,
    Size,
    Quota,
    Stale,
    Manual,
    Revoked,
    ClosedScope,
    Rule(String),
}

/// Why a lookup found nothing (`types.miss-cause`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub enum MissCause {
    NeverSaved,
    OtherScope,
    OtherVersion,
    Uploading,
    Stale,
    Quarantined,
    Expired,
    Evicted,
    Superseded,
    Revoked,
    ClosedScope,
    Deleted,
    Denied,
    Rule,
}

impl From<&Cause> for MissCause {
    fn from(cause: &Cause) -> Self {
        match cause {
            Cause::Age | Cause::NeverUsed | Cause::MaxAge => Self::Expired,
            Cause::Size | Cause::Quota => Self::Evicted,
            Cause::Superseded => Self::Superseded,
            Cause::Stale => Self::Stale,
            Cause::Revoked => Self::Revoked,
            Cause::ClosedScope => Self::ClosedScope,
            Cause::Manual | Cause::Rule(_) => Self::Deleted,
        }
    }
}

/// An entry near a key (`index.near-entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearEntry {
    /// The entry.
    pub entry: Entry,
    /// Withheld by the operator: no lookup finds it.
    pub quarantined: bool,
}

/// What is near a key (`index.nearby`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Nearby {
    pub entries: Vec<NearEntry>,
    pub uploads: Vec<Upload>,
}

/// An entry that was deleted (`index.departed`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Departed {
    /// A version or key of more than 255 bytes is its first 200 bytes and a digest.
    pub slot: Slot,
    pub size_bytes: u64,
    pub created_ms: u64,
    pub last_used_ms: u64,
    pub uses: Option<u64>,
    pub trust: Trust,
    pub cause: Cause,
    pub departed_ms: u64,
}
