//! Scrubs: objects are read back and compared with what was recorded of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a scrub looks at, and what it does.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrubRequest {
    /// Delete entries whose object is damaged or lost, so that they are misses.
    #[serde(default)]
    #[schema(required = false)]
    pub repair: bool,
    /// Record the digest of objects of which none is known, as they are now.
    #[serde(default)]
    #[schema(required = false)]
    pub record: bool,
    /// Read at most so many bytes a second; 0: any number.
    #[serde(default)]
    #[schema(required = false)]
    pub bytes_per_second: u64,
    /// Only this repository, by its id or as `owner/name`; absent: all.
    #[serde(default)]
    pub repository: Option<String>,
    /// Begin behind the entry with this number: `last_entry` of a scrub that was broken off.
    #[serde(default)]
    #[schema(required = false)]
    pub after: u64,
}

/// How far a scrub is, or how it ended.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct ScrubStatus {
    /// Whether it is under way. If it is not, the rest is of the last one since the server started.
    pub running: bool,
    /// When it began, in milliseconds since 1970. Absent: there was none.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Whether it looked at all that it was asked to.
    pub complete: bool,
    /// Why it did not, unless it was stopped.
    pub error: Option<String>,
    /// Whether it deletes what is bad.
    pub repair: bool,
    /// How many entries the tenant had when it began.
    pub entries: Option<u64>,
    /// How many entries it has looked at.
    pub checked: u64,
    /// How many bytes it has read.
    pub bytes: u64,
    /// Of how many entries nothing is recorded: of them it has compared the length alone.
    pub unrecorded: u64,
    /// Of how many of these it has recorded the digest.
    pub recorded: u64,
    /// How many objects could not be read, and may be good.
    pub unreadable: u64,
    /// How many objects are damaged or lost.
    pub bad: u64,
    /// How many entries of these it has deleted.
    pub repaired: u64,
    /// The first hundred of these.
    pub bad_entries: Vec<BadEntry>,
    /// The entry that it looked at last, to go on behind it.
    pub last_entry: u64,
}

/// An entry whose object is not what was stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BadEntry {
    /// Its number.
    pub id: u64,
    /// Its repository, as in tokens.
    pub repository: String,
    /// Its scope.
    pub scope: String,
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// What is wrong: `damaged` or `lost`.
    pub problem: String,
    /// Whether it was deleted.
    pub repaired: bool,
}
