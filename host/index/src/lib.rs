//! The index: which cache entries exist, and which uploads are in progress.
//!
//! [`Index`] states what every database driver guarantees; each guarantee has a conformance test
//! that runs on every driver. The crate knows nothing of HTTP, of WIT types, or of the content of
//! objects.
//!
//! A [`Slot`] holds at most one entry and at most one upload. Repository, scope and version are
//! compared byte for byte. Keys are compared by the [`KeyRule`] of the database, and returned as
//! they were saved. Every change is atomic, also among several processes that share a database, and
//! repeating a change is harmless.
//!
//! An index is one tenant's ([`Index::tenant`]): what others have in the same database does not exist
//! for it, and their slots are others.

#[cfg(test)]
mod bench;
pub mod catalogue;
#[cfg(test)]
mod conformance;
mod departed;
mod digest_text;
mod entry;
mod error;
mod facts;
mod keys;
#[cfg(test)]
mod last_release;
mod ledger;
#[cfg(test)]
mod model;
mod probe;
#[cfg(test)]
mod server_sums;
#[cfg(feature = "sql")]
pub mod sql;
pub mod sqlite;
#[cfg(test)]
mod tests;
mod trust;
mod upload;
mod within;

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use larder_common::TenantName;
pub use larder_common::facts::Facts;
#[cfg(test)]
use larder_common::facts::NO_FACTS;
use larder_storage::{Digest, ObjectName, UploadName};

#[cfg(feature = "sql")]
use self::upload::max_clock_skew_ms;
pub use self::{
    catalogue::{AccessKey, AccessRole, Catalogue, EntryOrder, MAX_ACCESS_KEYS},
    departed::{Cause, Departed, Departure, MAX_DEPARTED_TEXT_BYTES},
    entry::{Durability, Entry, EntryId, Slot},
    error::IndexError,
    facts::{EntryDetails, EntryUses, MAX_REPOSITORY_NAME_BYTES, RepositoryName},
    keys::KeyRule,
    ledger::{Area, Bound, Caps, Leaving, LeavingId, Remains, Room},
    probe::{MatchKind, Probe},
    trust::Trust,
    upload::{AttachOutcome, Attachment, MAX_CLOCK_SKEW_MS, Reservation, Upload, UploadId},
    within::{Detailed, LeastRecent, Near, SavedBy, SavedPage, UnusedPage, Within, with_details},
};
use self::{
    error::{
        NO_REFUSALS, NOT_COUNTED, NOT_FOR_DEFAULT, NOT_OF_DEFAULT, REFUSED_FOR_MS, no_space, unavailable,
    },
    facts::{latest, latest_names, summed},
    upload::fresh_upload_name,
};

/// A database of entries and uploads, as one tenant sees it. The index that a driver opens is that of
/// the tenant `default`.
#[async_trait]
pub trait Index: Catalogue {
    /// Returns the index of another tenant in the same database. No call of it finds or changes what
    /// is another tenant's, whatever ids, names, slots or objects it is given; numbers of entries and
    /// uploads are unique among all tenants. It shares connections, threads and caches, and costs some
    /// hundred bytes. The database is closed with the last handle.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index has no tenants, or if it is that of another tenant than
    /// `default`: such a handle returns itself only.
    fn tenant(&self, _name: &TenantName) -> Result<Arc<dyn Index>, IndexError> {
        Err(IndexError::Unsupported("this index has no tenants"))
    }

    /// Returns up to `limit` names of tenants that have something in the database, in the order of
    /// their bytes, starting after `after`.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] as for [`Self::tenant`].
    async fn list_tenants(
        &self,
        _after: Option<&TenantName>,
        _limit: usize,
    ) -> Result<Vec<TenantName>, IndexError> {
        Err(IndexError::Unsupported("this index has no tenants"))
    }

    /// Deletes what is left of a tenant that has neither entries nor uploads: its secrets, names of
    /// repositories, and all that is counted for it. Returns `false`, and changes nothing, if it has any.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if it is the tenant `default`, or the index has no tenants.
    async fn forget_tenant(&self) -> Result<bool, IndexError> {
        Err(IndexError::Unsupported("this index has no tenants"))
    }

    /// Returns the entry that the first matching probe finds, or `None` if no probe matches. Of several
    /// entries with a prefix the one with the highest [`Entry::id`] is found. Those in `skip`, and those in
    /// quarantine ([`Self::set_quarantined`]), count as absent.
    async fn find(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: &[EntryId],
    ) -> Result<Option<Entry>, IndexError>;

    /// Returns the entry with this number, unless it is in quarantine.
    async fn get_entry(&self, id: EntryId) -> Result<Option<Entry>, IndexError>;

    /// Returns the entry that was made from this upload, if it still exists.
    async fn get_entry_of_upload(&self, id: UploadId) -> Result<Option<Entry>, IndexError>;

    /// Returns the details of the given entries that exist, in the order of their numbers.
    async fn entry_details(&self, ids: &[EntryId]) -> Result<Vec<EntryDetails>, IndexError>;

    /// Returns the facts that this upload was reserved with. `None` if it does not exist, or was
    /// reserved by a release that did not store them.
    async fn upload_facts(&self, id: UploadId) -> Result<Option<Facts>, IndexError>;

    /// Reserves a slot that has no entry and no upload, and stores the facts and the trust with it. An
    /// entry in quarantine has its slot. Displaces an
    /// upload whose `last_activity_ms` is before `idle_before_ms`, or more than
    /// [`MAX_CLOCK_SKEW_MS`] after `now_ms`. Of concurrent calls for a slot, exactly one reserves it.
    async fn reserve(
        &self,
        slot: &Slot,
        owner: &str,
        facts: &Facts,
        trust: Trust,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<Reservation, IndexError>;

    /// Renews an upload that nothing was sent to: sets its `created_ms` and `last_activity_ms` to
    /// `now_ms`. Returns `false`, and changes nothing, if the upload does not exist, has an
    /// attachment, or if `created_ms` is not the stored value of both times. Of concurrent calls,
    /// exactly one succeeds.
    async fn renew(&self, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, IndexError>;

    /// Returns the upload with this name.
    async fn get_upload(&self, name: &UploadName) -> Result<Option<Upload>, IndexError>;

    /// Returns the upload with this number.
    async fn get_upload_by_id(&self, id: UploadId) -> Result<Option<Upload>, IndexError>;

    /// Returns the upload in this slot.
    async fn find_upload(&self, slot: &Slot) -> Result<Option<Upload>, IndexError>;

    /// Sets the content of an upload and what is known of its bytes, replacing the previous one, and
    /// records activity like [`Self::touch_uploads`].
    async fn attach(
        &self,
        id: UploadId,
        attachment: &Attachment,
        digest: Option<&Digest>,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError>;

    /// Turns an upload into an entry with the same slot, owner, facts, trust and digest, and without uses.
    /// Returns `None`, and changes nothing, if the upload does not exist or has a different attachment.
    async fn finalize(
        &self,
        id: UploadId,
        attachment: &Attachment,
        durability: &Durability,
        now_ms: u64,
    ) -> Result<Option<Entry>, IndexError>;

    /// Deletes an upload. Returns whether it existed.
    async fn abandon(&self, id: UploadId) -> Result<bool, IndexError>;

    /// Deletes an upload whose `last_activity_ms` is before `idle_before_ms`. Returns whether it
    /// did.
    async fn abandon_idle(&self, id: UploadId, idle_before_ms: u64) -> Result<bool, IndexError>;

    /// Deletes an entry and records its departure, with its object, in one step
    /// ([`Self::find_departed`]). Returns whether it existed.
    async fn delete_entry(&self, id: EntryId, departure: &Departure) -> Result<bool, IndexError>;

    /// Deletes an entry in the same way unless it was used after `last_used_ms`, the time that the
    /// caller last saw. Returns whether it did.
    async fn delete_entry_unused(
        &self,
        id: EntryId,
        last_used_ms: u64,
        departure: &Departure,
    ) -> Result<bool, IndexError>;

    /// Returns up to `limit` entries that were deleted from a repository, whatever their scope and
    /// version, the latest first: with this key, or with this prefix. Of those with a prefix only the
    /// latest thousand of the repository are looked at. Keys are compared by the rule that the database
    /// had when they left, and found by prefixes of up to 200 bytes.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index does not keep them.
    async fn find_departed(
        &self,
        _repository: &str,
        _key: &str,
        _kind: MatchKind,
        _limit: usize,
    ) -> Result<Vec<Departed>, IndexError> {
        Err(IndexError::Unsupported("this index does not keep what was deleted"))
    }

    /// Forgets up to `limit` of the earliest departed, except the `most` latest and those whose object
    /// may still be stored. Returns how many.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index does not keep them.
    async fn trim_departed(&self, _most: usize, _limit: usize) -> Result<usize, IndexError> {
        Err(IndexError::Unsupported("this index does not keep what was deleted"))
    }

    /// Returns up to `limit` entries in any scope and version of a repository, also those in quarantine:
    /// with this key, the newest first; or with this prefix, in any order. If several thousand entries
    /// have keys of more than 255 bytes that begin alike, only a thousand of them are looked at.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index has no such search.
    async fn list_near(
        &self,
        _repository: &str,
        _key: &str,
        _kind: MatchKind,
        _limit: usize,
    ) -> Result<Vec<Near>, IndexError> {
        Err(IndexError::Unsupported("this index finds keys only in a scope and version"))
    }

    /// Returns up to `limit` uploads in any scope and version of a repository, as [`Self::list_near`] does.
    async fn uploads_near(
        &self,
        _repository: &str,
        _key: &str,
        _kind: MatchKind,
        _limit: usize,
    ) -> Result<Vec<Upload>, IndexError> {
        Err(IndexError::Unsupported("this index finds keys only in a scope and version"))
    }

    /// Returns up to `limit` entries in the order of their last use, and of their numbers where that is
    /// the same, starting after `after`: all, or those whose saver has this trust ([`Trust::of`]).
    /// Entries in quarantine are among them. The cost does not depend on how many entries there are.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index has no such order.
    async fn least_recent(
        &self,
        _within: &Within,
        _trust: Option<Trust>,
        _after: Option<(u64, EntryId)>,
        _limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        Err(IndexError::Unsupported("this index has no order of last use"))
    }

    /// Returns what of a page was never used, or not after this time, with its details, as of one moment.
    async fn list_unused(&self, page: &LeastRecent, used_after_ms: u64) -> Result<UnusedPage, IndexError> {
        within::list_unused(self, page, used_after_ms).await
    }

    /// Returns up to `limit` uploads in a scope in the order of their numbers, starting after `after`.
    async fn uploads_in_scope(
        &self,
        _repository: &str,
        _scope: &str,
        _after: UploadId,
        _limit: usize,
    ) -> Result<Vec<Upload>, IndexError> {
        Err(IndexError::Unsupported("this index does not list the uploads of a scope"))
    }

    /// Puts entries into quarantine at this time, or releases them if it is `None`. Returns how many
    /// were changed: one that is in quarantine stays there, with the time of the first call. What is in
    /// quarantine is not restored, keeps its slot, and is deleted like any other entry.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index has no quarantine.
    async fn set_quarantined(&self, _ids: &[EntryId], _at_ms: Option<u64>) -> Result<usize, IndexError> {
        Err(IndexError::Unsupported("this index has no quarantine"))
    }

    /// Looks at up to `limit` entries in the order of their numbers, starting after `after`, and returns
    /// those that `by` selects with their details. Those in quarantine are among them.
    async fn find_saved(&self, by: &SavedBy, after: EntryId, limit: usize) -> Result<SavedPage, IndexError> {
        within::find_saved(self, by, after, limit).await
    }

    /// Records uses of entries. They may come in any order and more than once for an entry: the
    /// numbers add up, and of the times the latest counts. A stored time never decreases.
    ///
    /// Uses whose time is the stored one are not counted, so a batch that is repeated counts once. The
    /// number of an entry is wrong by the count of one batch where another server has recorded a use of
    /// the entry between (then it counts twice), or in the very same millisecond (then not).
    async fn touch_entries(&self, uses: &[EntryUses]) -> Result<(), IndexError>;

    /// Records one use of an entry in the same way, and returns whether the entry exists. One statement
    /// does both: of this call and a deletion as unused ([`Self::delete_entry_unused`]), which saw an
    /// earlier use, exactly one succeeds.
    async fn touch_entry(&self, id: EntryId, used_ms: u64) -> Result<bool, IndexError>;

    /// Lowers the last use of these entries to `now_ms` where it is later. Such a time was stored
    /// while a clock was wrong.
    async fn cap_last_used(&self, ids: &[EntryId], now_ms: u64) -> Result<(), IndexError>;

    /// Records activity of uploads: name and time of each. Times may come in any order and more
    /// than once for an upload: the latest counts. A stored time never decreases, unless it is more
    /// than [`MAX_CLOCK_SKEW_MS`] ahead of the new one.
    async fn touch_uploads(&self, uses: &[(UploadName, u64)]) -> Result<(), IndexError>;

    /// Records that the content of these entries survives a loss of power.
    async fn mark_durable(&self, ids: &[EntryId]) -> Result<(), IndexError>;

    /// Returns up to `limit` entries that are not known to be durable, in the order of their
    /// numbers, starting after `after`: those made in this boot (they are to be flushed), or those
    /// made in any other (they are lost).
    async fn list_volatile(
        &self,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError>;

    /// Returns up to `limit` entries in the order of their numbers, starting after `after`.
    async fn list_entries(&self, after: EntryId, limit: usize) -> Result<Vec<Entry>, IndexError>;

    /// Returns up to `limit` uploads in the order of their numbers, starting after `after`.
    async fn list_uploads(&self, after: UploadId, limit: usize) -> Result<Vec<Upload>, IndexError>;

    /// Returns the given objects that an entry or an upload refers to.
    async fn referenced_objects(&self, objects: &[ObjectName]) -> Result<HashSet<ObjectName>, IndexError>;

    /// Returns the given uploads that exist.
    async fn existing_uploads(&self, names: &[UploadName]) -> Result<HashSet<UploadName>, IndexError>;

    /// Stores names of repositories: for each the one with the latest [`RepositoryName::named_ms`].
    /// Names that are longer than [`MAX_REPOSITORY_NAME_BYTES`], or whose repository is, are
    /// ignored. Keeps the `most` latest names.
    async fn name_repositories(&self, names: &[RepositoryName], most: usize) -> Result<(), IndexError>;

    /// Returns the name of a repository.
    async fn repository_name(&self, repository: &str) -> Result<Option<String>, IndexError>;

    /// Returns up to a hundred repositories with this name in any case, the latest first. Several have it
    /// where one was given up and taken by another, or issuers have prefixes.
    async fn find_repositories(&self, name: &str) -> Result<Vec<String>, IndexError>;

    /// Notes texts of up to 255 bytes that stand for a refusal of which the client is not told, and
    /// forgets those of a day before. [`IndexError::Unsupported`] if the index has no place for them.
    async fn note_refused(&self, _marks: &[String], _now_ms: u64) -> Result<(), IndexError> {
        Err(NO_REFUSALS)
    }

    /// Returns whether one of these texts was noted, and is not forgotten; the same error.
    async fn was_refused(&self, _marks: &[String]) -> Result<bool, IndexError> {
        Err(NO_REFUSALS)
    }

    /// Counts `bytes` for an upload, before they are written, if they fit into each area that has a cap.
    /// Of concurrent calls none exceeds a cap, whatever process makes them. What is counted for an
    /// upload stays counted until it has become an entry (then the entry's size does), or is reported by
    /// [`Self::left_uploads`].
    ///
    /// A call that fails may have counted the bytes. They leave with the rest of the upload.
    ///
    /// # Errors
    /// [`IndexError::Unsupported`] if the index does not count. The same holds for the methods below.
    async fn reserve_room(
        &self,
        _upload: &UploadName,
        _bytes: u64,
        _caps: &Caps,
    ) -> Result<Room, IndexError> {
        Err(NOT_COUNTED)
    }

    /// Reports that nothing of these uploads is stored any more, except the objects of entries that they
    /// became. Ends the counting of what they had reserved. Names that are not leaving are ignored, so a
    /// call may be repeated; uploads that exist are not changed.
    async fn left_uploads(&self, _uploads: &[UploadName]) -> Result<(), IndexError> {
        Err(NOT_COUNTED)
    }

    /// Reports that these objects are not stored any more. Objects that are not leaving, such as those
    /// of entries, are ignored, so a call may be repeated.
    async fn left_objects(&self, _objects: &[ObjectName]) -> Result<(), IndexError> {
        Err(NOT_COUNTED)
    }

    /// Returns up to `limit` of what is leaving, in the order of [`LeavingId`], starting after `after`.
    async fn list_leaving(
        &self,
        _after: Option<LeavingId>,
        _limit: usize,
    ) -> Result<Vec<Leaving>, IndexError> {
        Err(NOT_COUNTED)
    }

    /// Returns the number of bytes that are counted in an area.
    async fn usage_of(&self, _area: &Area) -> Result<u64, IndexError> {
        Err(NOT_COUNTED)
    }

    /// Returns up to `limit` parts of an area and the bytes that are counted in them, most bytes first:
    /// the scopes of a repository, or the repositories of a tenant. A scope, and the server, have no
    /// parts here. Reads all of them.
    async fn list_usage(&self, _area: &Area, _limit: usize) -> Result<Vec<(Area, u64)>, IndexError> {
        Err(NOT_COUNTED)
    }

    /// Sets how many bytes a sweep's orphans have: counted for tenant and server until the next call.
    async fn set_orphans(&self, _bytes: u64) -> Result<(), IndexError> {
        Err(NOT_COUNTED)
    }

    /// Sets, for good, whether the tenant has a storage of its own: then [`Area::Server`] is without it.
    async fn set_counted_apart(&self, _apart: bool) -> Result<(), IndexError> {
        Err(NOT_COUNTED)
    }

    /// Counts all tenants again, from the rows. Returns how many sums were wrong: none, unless a server
    /// of a release that did not count has changed the database, or its rows were changed by hand.
    /// [`IndexError::Unsupported`] also for the index of a tenant other than `default`.
    async fn recount(&self) -> Result<u64, IndexError> {
        Err(NOT_COUNTED)
    }

    /// Returns the secret of this name, storing `fresh` if there is none yet. Concurrent first
    /// calls all return the same secret.
    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, IndexError>;
}
