//! Which cache entries exist, and which uploads are under way.
//!
//! The [`Index`] trait states what every database driver promises; each promise has a conformance test that runs on every
//! driver. Called by `interfaces/db.rs` (for the guest), by the sweep and by the flusher. Knows nothing of HTTP, of WIT
//! types, or of what is in an object.
//!
//! A *slot* holds at most one entry and at most one upload. Text is compared byte for byte, but for keys, in which ASCII
//! letters of any case are the same unless the operator wants otherwise (`keys.rs`); what is returned is the key as it was
//! saved. Every change is one atomic step, also among several processes on one database; a repeat is harmless.

#[cfg(test)]
mod conformance;
pub(crate) mod keys;
#[cfg(test)]
mod last_release;
#[cfg(test)]
mod model;
#[cfg(feature = "sql")]
pub mod sql;
pub mod sqlite;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;

pub use self::keys::KeyRule;
use larder_storage::{ObjectName, UploadName};

/// Number of an entry: grows with every entry made, which is the strict order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// Number of an upload: non-zero, below 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub u64);

/// The place of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Isolates repositories from each other.
    pub repository: String,
    /// A git ref, usually.
    pub scope: String,
    /// Opaque; what the client mixed into it decides what can match.
    pub version: String,
    /// The cache key.
    pub key: String,
}

/// A finished cache entry. Immutable but for `last_used_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// Its place.
    pub slot: Slot,
    /// Its content.
    pub object: ObjectName,
    /// The content's length in bytes.
    pub size_bytes: u64,
    /// When it was finalized, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was last used, or made.
    pub last_used_ms: u64,
    /// Fingerprint of the token that reserved it. `None` for entries of releases that did not keep it.
    pub owner: Option<String>,
}

/// Content that an upload has, but that is not an entry yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The object.
    pub object: ObjectName,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// A reserved slot: an entry in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its number.
    pub id: UploadId,
    /// Its name in the storage and in URLs.
    pub name: UploadName,
    /// Its place.
    pub slot: Slot,
    /// Fingerprint of the token that reserved it.
    pub owner: String,
    /// When it was reserved, or handed out last ([`Index::renew`]), in milliseconds since 1970.
    pub created_ms: u64,
    /// When bytes last came for it, or `created_ms`.
    pub last_activity_ms: u64,
    /// Its content, once there is any.
    pub attachment: Option<Attachment>,
}

/// How far ahead of the clock a time may be, in milliseconds: ten minutes, for servers whose clocks differ.
macro_rules! ahead_ms {
    () => {
        600_000
    };
}
#[cfg(feature = "sql")]
pub(crate) use ahead_ms;

/// A time that is further ahead of the clock was written while a clock was wrong. It says nothing: an upload with such a time
/// of activity is idle, and the next note of activity takes its place.
pub const AHEAD_MS: u64 = ahead_ms!();

impl Upload {
    /// Returns whether its slot goes to whoever reserves it: nothing came for it since `idle_before_ms`, or it is not known
    /// when.
    fn is_idle(&self, now_ms: u64, idle_before_ms: u64) -> bool {
        self.last_activity_ms < idle_before_ms || self.last_activity_ms > now_ms.saturating_add(AHEAD_MS)
    }
}

/// How a probe's key is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchKind {
    /// The entry with this very key.
    Exact,
    /// The newest entry whose key starts with it.
    Prefix,
}

/// One attempt at a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The scope to look in.
    pub scope: String,
    /// The key, or the start of it.
    pub key: String,
    /// Which of the two.
    pub kind: MatchKind,
}

/// What [`Index::reserve`] found in the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// It was free: now reserved.
    Reserved(Upload),
    /// An entry.
    Entry(Entry),
    /// An upload under way.
    Upload(Upload),
}

/// What [`Index::attach`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachOutcome {
    /// Attached; names the other object that was attached before.
    Attached(Option<ObjectName>),
    /// The upload is gone.
    Gone,
}

/// Whether an entry's content survives a loss of power, as known when the entry is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does.
    Durable,
    /// Not before it is flushed; until then it is good only while the machine runs whose boot this names.
    Until {
        /// Identifies one run of the machine, from start to loss of power.
        boot: String,
    },
}

/// Why an index call failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The database did not answer as it should; trying again may help.
    #[error("database unavailable: {context}")]
    Unavailable {
        /// What was being done.
        context: &'static str,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk of the database is full: nothing can be written until there is space.
    #[error("no space left for the database: {context}")]
    NoSpace {
        /// What was being done.
        context: &'static str,
        /// What the database says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A database of entries and uploads.
#[async_trait]
pub trait Index: Send + Sync + 'static {
    /// Returns the entry that the first probe with a match finds; of several with a prefix the one made last, by
    /// [`Entry::id`]. Entries in `skip` count as absent.
    async fn find(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: &[EntryId],
    ) -> Result<Option<Entry>, IndexError>;

    /// Returns the entry with this number.
    async fn get_entry(&self, id: EntryId) -> Result<Option<Entry>, IndexError>;

    /// Returns the entry that the upload with this number became, as long as the entry is there.
    async fn get_entry_of_upload(&self, id: UploadId) -> Result<Option<Entry>, IndexError>;

    /// Reserves a slot, unless there is an entry or an upload in it. An upload whose `last_activity_ms` is before
    /// `idle_before_ms`, or further ahead of `now_ms` than [`AHEAD_MS`], is displaced. Of concurrent calls exactly one
    /// reserves.
    async fn reserve(
        &self,
        slot: &Slot,
        owner: &str,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<Reservation, IndexError>;

    /// Hands an upload out once more: it counts as reserved at `now_ms`. Returns `false`, and changes nothing, where it is gone, has
    /// an attachment, or its `created_ms` and `last_activity_ms` are not both the given one. Of concurrent calls one succeeds.
    async fn renew(&self, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, IndexError>;

    /// Returns the upload with this name.
    async fn get_upload(&self, name: &UploadName) -> Result<Option<Upload>, IndexError>;

    /// Returns the upload with this number.
    async fn get_upload_by_id(&self, id: UploadId) -> Result<Option<Upload>, IndexError>;

    /// Returns the upload in this slot.
    async fn find_upload(&self, slot: &Slot) -> Result<Option<Upload>, IndexError>;

    /// Makes an object the content of an upload, in place of what was attached before, and notes the activity as
    /// [`Self::touch_uploads`] does.
    async fn attach(
        &self,
        id: UploadId,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError>;

    /// Turns an upload into the entry of its slot and its owner. Returns `None`, and changes nothing, where the upload is
    /// gone or its attachment is another one.
    async fn finalize(
        &self,
        id: UploadId,
        attachment: &Attachment,
        durability: &Durability,
        now_ms: u64,
    ) -> Result<Option<Entry>, IndexError>;

    /// Deletes an upload. Returns whether it was there.
    async fn abandon(&self, id: UploadId) -> Result<bool, IndexError>;

    /// Deletes an upload if nothing came for it since `idle_before_ms`. Returns whether it was there and idle.
    async fn abandon_idle(&self, id: UploadId, idle_before_ms: u64) -> Result<bool, IndexError>;

    /// Deletes an entry. Returns whether it was there.
    async fn delete_entry(&self, id: EntryId) -> Result<bool, IndexError>;

    /// Deletes an entry if it was not used since `last_used_ms`, the time that the caller last saw. Returns whether it was.
    async fn delete_entry_unused(&self, id: EntryId, last_used_ms: u64) -> Result<bool, IndexError>;

    /// Notes uses of entries: id and time of each; of several of one entry the latest counts. A time never goes back.
    async fn touch_entries(&self, uses: &[(EntryId, u64)]) -> Result<(), IndexError>;

    /// Makes `now_ms` the last use of these entries, where it is later: that was noted while a clock was wrong.
    async fn bring_entries_back(&self, ids: &[EntryId], now_ms: u64) -> Result<(), IndexError>;

    /// Notes that bytes came for uploads: name and time of each; of several of one upload the latest counts. A time
    /// never goes back, unless it is further ahead than [`AHEAD_MS`].
    async fn touch_uploads(&self, uses: &[(UploadName, u64)]) -> Result<(), IndexError>;

    /// Notes that the contents of these entries survive a loss of power.
    async fn mark_durable(&self, ids: &[EntryId]) -> Result<(), IndexError>;

    /// Returns entries whose content is not known to be durable, made in this boot (to be flushed) or in another one (to
    /// be given up), by number, starting after `after`.
    async fn list_volatile(
        &self,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError>;

    /// Returns entries by number, starting after `after`.
    async fn list_entries(&self, after: EntryId, limit: usize) -> Result<Vec<Entry>, IndexError>;

    /// Returns uploads by number, starting after `after`.
    async fn list_uploads(&self, after: UploadId, limit: usize) -> Result<Vec<Upload>, IndexError>;

    /// Returns those of the objects that an entry or an upload refers to.
    async fn referenced_objects(&self, objects: &[ObjectName]) -> Result<HashSet<ObjectName>, IndexError>;

    /// Returns those of the uploads that exist.
    async fn existing_uploads(&self, names: &[UploadName]) -> Result<HashSet<UploadName>, IndexError>;

    /// Returns the secret of this name, storing `fresh` as it where there is none yet. Of concurrent first calls all
    /// return the same.
    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, IndexError>;
}

/// Makes a name for an upload, for the drivers. Nobody can guess it, and it is never made twice.
fn fresh_upload_name() -> Result<UploadName, IndexError> {
    const CONTEXT: &str = "making a name for an upload";
    let mut random = [0; 16];
    // Requests of up to 256 bytes are met whole.
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| unavailable(CONTEXT, error))?;
    UploadName::parse(hex::encode(random)).map_err(|error| unavailable(CONTEXT, error))
}

/// The latest time of each, in order: so that concurrent batches lock rows in one order.
fn latest<I: Ord + Clone>(uses: &[(I, u64)]) -> BTreeMap<I, u64> {
    let mut latest = BTreeMap::new();
    for (id, at) in uses {
        latest.entry(id.clone()).and_modify(|known: &mut u64| *known = *at.max(known)).or_insert(*at);
    }
    latest
}

/// Turns a failure into the error of the index.
fn unavailable(context: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> IndexError {
    IndexError::Unavailable { context, source: Box::new(source) }
}

/// Turns a failure for want of space into the error of the index.
fn no_space(context: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> IndexError {
    IndexError::NoSpace { context, source: Box::new(source) }
}
