//! The index in an embedded SQLite database.
//!
//! The database is one file, plus the two that SQLite puts beside it, on a local disk. Several
//! processes on the same machine may use it at once. Reads run on the calling thread (`reader.rs`),
//! changes on one thread (`writer.rs`).

mod by_use;
mod calls;
mod catalogue;
mod changes;
mod database;
mod departed;
mod facts;
mod fault;
mod file_watch;
mod find;
mod history;
mod ledger;
mod long_searches;
mod queries;
mod reader;
mod recount;
mod refold;
mod refusals;
mod rows;
mod schema;
mod scratch;
mod snapshot_anchor;
mod tenant;
#[cfg(test)]
mod tests;
mod within;
mod writer;

use std::{collections::HashSet, path::Path, sync::Arc};

use async_trait::async_trait;
use larder_common::TenantName;
use larder_storage::{Digest, ObjectName, UploadName};

use self::{
    database::Database,
    fault::index_error,
    find::{Search, SearchOutcome},
    schema::OpenError,
};
use super::{
    Area, AttachOutcome, Attachment, Caps, Departed, Departure, Durability, Entry, EntryDetails, EntryId,
    EntryUses, Facts, Index, IndexError, KeyRule, LeastRecent, Leaving, LeavingId, MatchKind,
    NOT_FOR_DEFAULT, NOT_OF_DEFAULT, Near, Probe, REFUSED_FOR_MS, RepositoryName, Reservation, Room, Slot,
    Trust, UnusedPage, Upload, UploadId, Within, latest_names, summed, unavailable,
};

/// The index of a tenant in an SQLite database.
///
/// Dropping the last one of a database completes the queued changes and closes the database.
pub struct SqliteIndex {
    database: Arc<Database>,
    tenant: TenantName,
    max_inline_steps: u64,
}

impl SqliteIndex {
    /// Opens the database in this file, and creates it if there is none. Blocks while the schema is
    /// migrated.
    ///
    /// # Errors
    /// If the file cannot be used, is not such a database, or was made by a newer version of the
    /// program. The source of the error states which.
    pub fn open(path: &Path, rule: KeyRule) -> Result<Self, IndexError> {
        let conn = schema::open_for_writing(path, rule)
            .map_err(|error: OpenError| index_error("opening the database", error))?;
        let read = || schema::open_for_reading(path);
        let anchor = read().map_err(|error| index_error("opening the database for reading", error))?;
        let watching = read().map_err(|error| index_error("opening the database for reading", error))?;
        Self::start(path, rule, conn, [anchor, watching])
            .map_err(|error| unavailable("starting a thread", error))
    }
}

const FIND: &str = "finding an entry";
const LEFT: &str = "counting what has left";

#[async_trait]
impl Index for SqliteIndex {
    fn tenant(&self, name: &TenantName) -> Result<Arc<dyn Index>, IndexError> {
        if *name != self.tenant && !self.tenant.is_default() {
            return Err(NOT_OF_DEFAULT);
        }
        Ok(Arc::new(Self::of(Arc::clone(&self.database), name.clone())))
    }

    async fn list_tenants(
        &self,
        after: Option<&TenantName>,
        limit: usize,
    ) -> Result<Vec<TenantName>, IndexError> {
        if !self.tenant.is_default() {
            return Err(NOT_OF_DEFAULT);
        }
        self.database.read("listing tenants", |conn| tenant::list(conn, after, limit))
    }

    async fn forget_tenant(&self) -> Result<bool, IndexError> {
        if self.tenant.is_default() {
            return Err(NOT_FOR_DEFAULT);
        }
        self.write("removing a tenant", changes::forget).await
    }

    async fn find(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: &[EntryId],
    ) -> Result<Option<Entry>, IndexError> {
        let mut skip = skip.to_vec();
        skip.sort_unstable();
        let search = Search { rule: self.database.rule, repository, version, probes, skip: &skip };
        match self.read(FIND, |conn| find::find(conn, &search, self.max_inline_steps))? {
            SearchOutcome::Done(found) => Ok(found),
            SearchOutcome::OutOfSteps => self.find_in_background(repository, version, probes, skip).await,
        }
    }

    async fn get_entry(&self, id: EntryId) -> Result<Option<Entry>, IndexError> {
        self.read("reading an entry", |conn| find::by_id(conn, id))
    }

    async fn entry_details(&self, ids: &[EntryId]) -> Result<Vec<EntryDetails>, IndexError> {
        self.read("reading details of entries", |conn| facts::entry_details(conn, ids))
    }

    async fn upload_facts(&self, id: UploadId) -> Result<Option<Facts>, IndexError> {
        self.read("reading the facts of an upload", |conn| facts::of_upload(conn, id))
    }

    async fn get_entry_of_upload(&self, id: UploadId) -> Result<Option<Entry>, IndexError> {
        self.read("reading the entry of an upload", |conn| queries::entry_by_upload(conn, id))
    }

    async fn reserve(
        &self,
        slot: &Slot,
        owner: &str,
        facts: &Facts,
        trust: Trust,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<Reservation, IndexError> {
        const CONTEXT: &str = "reserving a slot";
        let facts = serde_json::to_string(facts).map_err(|error| unavailable(CONTEXT, error))?;
        let (slot, name, owner) = (slot.clone(), super::fresh_upload_name()?, owner.to_owned());
        let (new, rule) =
            (changes::NewUpload { slot, name, owner, facts, trust, now_ms }, self.database.rule);
        self.write(CONTEXT, move |conn| changes::reserve(conn, rule, &new, idle_before_ms)).await
    }

    async fn renew(&self, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, IndexError> {
        self.write("renewing an upload", move |conn| changes::renew(conn, id, created_ms, now_ms)).await
    }

    async fn get_upload(&self, name: &UploadName) -> Result<Option<Upload>, IndexError> {
        self.read("reading an upload", |conn| queries::upload_by_name(conn, name))
    }

    async fn get_upload_by_id(&self, id: UploadId) -> Result<Option<Upload>, IndexError> {
        self.read("reading an upload", |conn| queries::upload_by_id(conn, id))
    }

    async fn find_upload(&self, slot: &Slot) -> Result<Option<Upload>, IndexError> {
        self.read("finding an upload", |conn| queries::upload_by_slot(conn, self.database.rule, slot))
    }

    async fn attach(
        &self,
        id: UploadId,
        attachment: &Attachment,
        digest: Option<&Digest>,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError> {
        let (content, digest) = (attachment.clone(), digest.cloned());
        self.write("attaching an object", move |conn| {
            changes::attach(conn, id, &content, digest.as_ref(), now_ms)
        })
        .await
    }

    async fn finalize(
        &self,
        id: UploadId,
        attachment: &Attachment,
        durability: &Durability,
        now_ms: u64,
    ) -> Result<Option<Entry>, IndexError> {
        let (attachment, durability, rule) = (attachment.clone(), durability.clone(), self.database.rule);
        self.write("finalizing an upload", move |conn| {
            changes::finalize(conn, rule, id, &attachment, &durability, now_ms)
        })
        .await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, IndexError> {
        self.write("deleting an upload", move |conn| changes::abandon(conn, id)).await
    }

    async fn abandon_idle(&self, id: UploadId, idle_before_ms: u64) -> Result<bool, IndexError> {
        self.write("deleting an idle upload", move |conn| changes::abandon_idle(conn, id, idle_before_ms))
            .await
    }

    async fn delete_entry(&self, id: EntryId, departure: &Departure) -> Result<bool, IndexError> {
        let departure = departure.clone();
        self.write("deleting an entry", move |conn| departed::delete_entry(conn, id, u64::MAX, &departure))
            .await
    }

    async fn delete_entry_unused(
        &self,
        id: EntryId,
        last_used_ms: u64,
        departure: &Departure,
    ) -> Result<bool, IndexError> {
        let departure = departure.clone();
        self.write("deleting an unused entry", move |conn| {
            departed::delete_entry(conn, id, last_used_ms, &departure)
        })
        .await
    }

    async fn find_departed(
        &self,
        repository: &str,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Departed>, IndexError> {
        let rule = self.database.rule;
        self.read("finding departed entries", |conn| departed::find(conn, rule, repository, key, kind, limit))
    }

    async fn trim_departed(&self, most: usize, limit: usize) -> Result<usize, IndexError> {
        self.write("forgetting departed entries", move |conn| departed::trim(conn, most, limit)).await
    }

    async fn list_near(
        &self,
        repository: &str,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Near>, IndexError> {
        let key = self.database.rule.compared(key);
        self.read("finding entries of a key", |conn| within::near(conn, [repository, &key], kind, limit))
    }

    async fn uploads_near(
        &self,
        repository: &str,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Upload>, IndexError> {
        let key = self.database.rule.compared(key);
        self.read("finding uploads of a key", |conn| {
            within::uploads_near(conn, [repository, &key], kind, limit)
        })
    }

    async fn least_recent(
        &self,
        within: &Within,
        trust: Option<Trust>,
        after: Option<(u64, EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        let page = LeastRecent { within: within.clone(), trust, after, limit };
        self.read("listing by last use", |conn| by_use::least_recent(conn, &page))
    }

    async fn list_unused(&self, page: &LeastRecent, used_after_ms: u64) -> Result<UnusedPage, IndexError> {
        self.read("listing details by last use", |conn| by_use::list_unused(conn, page, used_after_ms))
    }

    async fn uploads_in_scope(
        &self,
        repository: &str,
        scope: &str,
        after: UploadId,
        limit: usize,
    ) -> Result<Vec<Upload>, IndexError> {
        self.read("listing uploads of a scope", |conn| {
            within::uploads_in_scope(conn, repository, scope, after, limit)
        })
    }

    async fn set_quarantined(&self, ids: &[EntryId], at_ms: Option<u64>) -> Result<usize, IndexError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids = ids.to_vec();
        self.write("setting quarantine", move |conn| within::set_quarantined(conn, &ids, at_ms)).await
    }

    async fn touch_entries(&self, uses: &[EntryUses]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = summed(uses);
        self.write("recording uses of entries", move |conn| changes::touch_entries(conn, &uses)).await
    }

    async fn touch_entry(&self, id: EntryId, used_ms: u64) -> Result<bool, IndexError> {
        self.write("recording a use of an entry", move |conn| changes::touch_entry(conn, id, used_ms)).await
    }

    async fn cap_last_used(&self, ids: &[EntryId], now_ms: u64) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        self.write("recording uses of entries", move |conn| changes::cap_last_used(conn, &ids, now_ms)).await
    }

    async fn touch_uploads(&self, uses: &[(UploadName, u64)]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        self.write("recording activity of uploads", move |conn| changes::touch_uploads(conn, &uses)).await
    }

    async fn mark_durable(&self, ids: &[EntryId]) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        self.write("marking entries durable", move |conn| changes::mark_durable(conn, &ids)).await
    }

    async fn list_volatile(
        &self,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        self.read("listing volatile entries", |conn| {
            queries::volatile_entries(conn, boot, this_boot, after, limit)
        })
    }

    async fn list_entries(&self, after: EntryId, limit: usize) -> Result<Vec<Entry>, IndexError> {
        self.read("listing entries", |conn| queries::entries(conn, after, limit))
    }

    async fn list_uploads(&self, after: UploadId, limit: usize) -> Result<Vec<Upload>, IndexError> {
        self.read("listing uploads", |conn| queries::uploads(conn, after, limit))
    }

    async fn referenced_objects(&self, objects: &[ObjectName]) -> Result<HashSet<ObjectName>, IndexError> {
        self.read("finding references", |conn| queries::referenced_objects(conn, objects))
    }

    async fn existing_uploads(&self, names: &[UploadName]) -> Result<HashSet<UploadName>, IndexError> {
        self.read("finding uploads", |conn| queries::existing_uploads(conn, names))
    }

    async fn name_repositories(&self, names: &[RepositoryName], most: usize) -> Result<(), IndexError> {
        let names: Vec<RepositoryName> = latest_names(names).into_iter().cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        self.write("naming repositories", move |conn| facts::name_repositories(conn, &names, most)).await
    }

    async fn repository_name(&self, repository: &str) -> Result<Option<String>, IndexError> {
        self.read("reading the name of a repository", |conn| facts::repository_name(conn, repository))
    }

    async fn find_repositories(&self, name: &str) -> Result<Vec<String>, IndexError> {
        self.read("finding repositories", |conn| facts::find_repositories(conn, name))
    }

    async fn note_refused(&self, marks: &[String], now_ms: u64) -> Result<(), IndexError> {
        let (marks, before_ms) = (marks.to_vec(), now_ms.saturating_sub(REFUSED_FOR_MS));
        self.write("noting a refusal", move |conn| refusals::note(conn, &marks, now_ms, before_ms)).await
    }

    async fn was_refused(&self, marks: &[String]) -> Result<bool, IndexError> {
        self.read("looking for a refusal", |conn| refusals::is_noted(conn, marks))
    }

    async fn reserve_room(&self, upload: &UploadName, bytes: u64, caps: &Caps) -> Result<Room, IndexError> {
        let (upload, caps) = (upload.clone(), caps.clone());
        self.write("reserving room", move |conn| ledger::reserve_room(conn, &upload, bytes, &caps)).await
    }

    async fn left_uploads(&self, uploads: &[UploadName]) -> Result<(), IndexError> {
        if uploads.is_empty() {
            return Ok(());
        }
        let uploads = uploads.to_vec();
        self.write(LEFT, move |conn| ledger::left_uploads(conn, &uploads)).await
    }

    async fn left_objects(&self, objects: &[ObjectName]) -> Result<(), IndexError> {
        if objects.is_empty() {
            return Ok(());
        }
        let objects = objects.to_vec();
        self.write(LEFT, move |conn| ledger::left_objects(conn, &objects)).await
    }

    async fn list_leaving(&self, after: Option<LeavingId>, limit: usize) -> Result<Vec<Leaving>, IndexError> {
        self.read("listing what leaves", |conn| ledger::list_leaving(conn, after.as_ref(), limit))
    }

    async fn usage_of(&self, area: &Area) -> Result<u64, IndexError> {
        self.read("reading a sum of bytes", |conn| ledger::usage_of(conn, area))
    }

    async fn list_usage(&self, area: &Area, limit: usize) -> Result<Vec<(Area, u64)>, IndexError> {
        self.read("listing sums of bytes", |conn| ledger::list_usage(conn, area, limit))
    }

    async fn set_orphans(&self, bytes: u64) -> Result<(), IndexError> {
        self.write("counting orphans", move |conn| ledger::set_orphans(conn, bytes)).await
    }

    async fn set_counted_apart(&self, apart: bool) -> Result<(), IndexError> {
        self.count_apart(apart).await
    }

    async fn recount(&self) -> Result<u64, IndexError> {
        if !self.tenant.is_default() {
            return Err(NOT_OF_DEFAULT);
        }
        self.database.writer.write("counting all bytes", recount::recount).await
    }

    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, IndexError> {
        let (name, fresh) = (name.to_owned(), fresh.to_vec());
        self.write("reading a secret", move |conn| changes::secret(conn, &name, &fresh)).await
    }
}
