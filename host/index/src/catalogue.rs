//! What operators ask of an index: lists in any order, counts, and the keys of the management API.

mod access_key;
mod browse;
mod history;

use async_trait::async_trait;
use larder_storage::{Digest, ObjectName};

pub use self::{
    access_key::{
        ACCESS_KEY_DIGEST_BYTES, AccessKey, AccessRole, MAX_ACCESS_KEY_NAME_BYTES, MAX_ACCESS_KEYS,
    },
    browse::{Browsed, EntryFilter, browse, count},
    history::{
        GHOST_BYTES, HOUR_MS, HistoryBatch, HistoryBy, HistoryCounts, HistoryKind, HistoryQuery, HistoryRow,
        HistorySum, MAX_HISTORY_TEXT_BYTES, MAX_WRITER_BYTES,
    },
};
use crate::{Entry, EntryId, IndexError, KeyRule, MatchKind, Within};

/// The error of what an index without lists cannot do.
const NO_LISTS: IndexError = IndexError::Unsupported("this index has no lists for operators");

/// The error of an index without history.
const NO_HISTORY: IndexError = IndexError::Unsupported("this index keeps no history");

/// The error of an index without access keys.
const NO_KEYS: IndexError = IndexError::Unsupported("this index keeps no access keys");

/// The error of an index without digests.
const NO_DIGESTS: IndexError = IndexError::Unsupported("this index keeps no digests");

/// An order of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EntryOrder {
    /// By [`Entry::id`]: the order of creation.
    #[default]
    Created,
    /// By [`Entry::last_used_ms`].
    LastUsed,
    /// By [`Entry::size_bytes`].
    Size,
}

impl EntryOrder {
    /// Returns the place of an entry in this order. No two entries have the same.
    #[must_use]
    pub fn place(self, entry: &Entry) -> (u64, EntryId) {
        let value = match self {
            Self::Created => 0,
            Self::LastUsed => entry.last_used_ms,
            Self::Size => entry.size_bytes,
        };
        (value, entry.id)
    }
}

/// The connections of this process to a database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Open ones, in use or idle.
    pub open: usize,
    /// Calls that wait for one.
    pub waiting: usize,
}

/// A part of [`Index`](crate::Index): what operators ask, and no job. An index without it makes the
/// management API and the command line less useful, and changes nothing for jobs.
#[async_trait]
pub trait Catalogue: Send + Sync + 'static {
    /// How keys are compared.
    fn key_rule(&self) -> KeyRule {
        KeyRule::default()
    }

    /// Returns the connections to the database, those of all tenants; `None` where it is no server. Asks nobody.
    fn connections(&self) -> Option<Connections> {
        None
    }

    /// Returns up to `limit` entries of the tenant in this order, or against it, starting behind the
    /// place `after` ([`EntryOrder::place`]). Entries in quarantine are among them. The cost does not
    /// depend on how many entries there are.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index has no such order.
    async fn scan_entries(
        &self,
        _order: EntryOrder,
        _descending: bool,
        _after: Option<(u64, EntryId)>,
        _limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        Err(NO_LISTS)
    }

    /// Returns up to `limit` entries in any repository, scope and version, also those in quarantine: with
    /// this key, the newest first; or with this prefix, in any order. Of keys of more than 255 bytes that
    /// begin alike only a thousand are looked at.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index has no such search.
    async fn entries_with_key(
        &self,
        _key: &str,
        _kind: MatchKind,
        _limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        Err(NO_LISTS)
    }

    /// Returns how many entries there are, with those in quarantine. Reads an index of all of them.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index does not count them.
    async fn count_entries(&self, _within: &Within) -> Result<u64, IndexError> {
        Err(NO_LISTS)
    }

    /// Stores what is known of the bytes of an entry's object, which was not known when it was attached.
    /// Returns `false`, and changes nothing, if the entry does not exist or has another object.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index keeps no digests.
    async fn record_digest(
        &self,
        _id: EntryId,
        _object: &ObjectName,
        _digest: &Digest,
    ) -> Result<bool, IndexError> {
        Err(NO_DIGESTS)
    }

    /// Stores an access key. Returns `false`, and changes nothing, if there is one of this name.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index keeps none, or is that of a tenant other than `default`.
    /// The same holds for the two below.
    async fn add_access_key(&self, _key: &AccessKey) -> Result<bool, IndexError> {
        Err(NO_KEYS)
    }

    /// Deletes an access key. Returns whether there was one of this name.
    async fn remove_access_key(&self, _name: &str) -> Result<bool, IndexError> {
        Err(NO_KEYS)
    }

    /// Returns the access keys in the order of their names; at most [`MAX_ACCESS_KEYS`].
    async fn list_access_keys(&self) -> Result<Vec<AccessKey>, IndexError> {
        Err(NO_KEYS)
    }

    /// Adds the rows of a batch to what is stored, all of them or none. A batch whose number is not larger
    /// than the last one of its writer was added before, and changes nothing: so one whose outcome is not
    /// known may be repeated. Several writers add to the same rows.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index keeps no history. The same holds for the two below.
    async fn add_history(&self, _batch: &HistoryBatch) -> Result<(), IndexError> {
        Err(NO_HISTORY)
    }

    /// Returns up to [`HistoryQuery::limit`] sums from an hour on. Reads all rows from there on.
    async fn sum_history(&self, _query: &HistoryQuery) -> Result<Vec<HistorySum>, IndexError> {
        Err(NO_HISTORY)
    }

    /// Forgets up to `limit` rows, the earliest first: those before `before_hour`, and, if there are more
    /// than `most`, those of the earliest hours. The hour in which the latest row beyond `most` is stays
    /// whole. Writers without a batch since `before_hour` are forgotten, too. Returns how many rows.
    async fn trim_history(
        &self,
        _before_hour: u64,
        _most: usize,
        _limit: usize,
    ) -> Result<usize, IndexError> {
        Err(NO_HISTORY)
    }
}
