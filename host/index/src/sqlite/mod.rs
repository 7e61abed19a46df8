//! The index in an embedded SQLite database.
//!
//! Called through the [`Index`] trait. The database is one file (and the two that SQLite puts beside it) on a local disk;
//! several processes on the same machine may use it at once. Reads happen in place (`reader.rs`), changes on one thread
//! (`writer.rs`).

mod anchor;
mod changes;
mod fault;
mod find;
mod queries;
mod reader;
mod refold;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod turns;
mod watch;
mod writer;

use std::{collections::HashSet, path::Path, sync::Arc};

use async_trait::async_trait;
use rusqlite::Connection;

use self::{
    fault::failed,
    find::{Outcome, Search},
    reader::Readers,
    schema::OpenError,
    turns::Turns,
    watch::{Watch, Watching},
    writer::Writer,
};
use super::{
    AttachOutcome, Attachment, Durability, Entry, EntryId, Index, IndexError, KeyRule, Probe, Reservation,
    Slot, Upload, UploadId, unavailable,
};
use larder_storage::{ObjectName, UploadName};

/// A search that takes more steps than this, about a millisecond, moves off the thread that serves requests.
const STEPS_IN_PLACE: u64 = 2_000;

/// The index in an SQLite database.
///
/// When it is dropped, the changes under way are finished and the database is closed.
pub struct SqliteIndex {
    /// Stops first: an index that is closed takes its log away.
    watching: Option<Watching>,
    watch: Arc<Watch>,
    readers: Arc<Readers>,
    writer: Writer,
    rule: KeyRule,
    turns: Turns,
    steps_in_place: u64,
}

impl SqliteIndex {
    /// Opens the database in this file, creating it where there is none. Blocks while a schema is brought up to date.
    ///
    /// # Errors
    /// When the file cannot be used, is not such a database, or was made by a newer version of the program. The source of
    /// the error says which.
    pub fn open(path: &Path, rule: KeyRule) -> Result<Self, IndexError> {
        let conn = schema::open_for_writing(path, rule)
            .map_err(|error: OpenError| failed("opening the database", error))?;
        let read = || schema::open_for_reading(path);
        let anchor = read().map_err(|error| failed("opening the database for reading", error))?;
        let watching = read().map_err(|error| failed("opening the database for reading", error))?;
        Self::start(path, rule, conn, [anchor, watching])
            .map_err(|error| unavailable("starting a thread", error))
    }

    fn start(
        path: &Path,
        rule: KeyRule,
        conn: Connection,
        [anchor, watching]: [Connection; 2],
    ) -> std::io::Result<Self> {
        let readers = Arc::new(Readers::new(path.to_owned()));
        let watch = Arc::new(Watch::new(path, watching));
        Ok(Self {
            watching: Some(Watching::start(Arc::clone(&watch))?),
            writer: Writer::start(conn, anchor, Arc::clone(&watch))?,
            watch,
            readers,
            rule,
            turns: Turns::new(),
            steps_in_place: STEPS_IN_PLACE,
        })
    }

    fn read<T>(
        &self,
        context: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        match self.watch.unreadable() {
            None => self.readers.read(query).map_err(|error| failed(context, error)),
            Some(loss) => Err(unavailable(context, loss)),
        }
    }

    /// Repeats a search that takes long, where it keeps nobody waiting.
    async fn find_aside(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: Vec<EntryId>,
    ) -> Result<Option<Entry>, IndexError> {
        let (readers, rule) = (Arc::clone(&self.readers), self.rule);
        let (repository, version) = (repository.to_owned(), version.to_owned());
        let probes = probes.to_vec();
        let search = move || {
            readers.read(|conn| {
                let search =
                    Search { rule, repository: &repository, version: &version, probes: &probes, skip: &skip };
                find::find(conn, &search, u64::MAX)
            })
        };
        let outcome = self
            .turns
            .run(search)
            .await
            .map_err(|source| IndexError::Unavailable { context: FIND, source })?;
        match outcome.map_err(|error| failed(FIND, error))? {
            Outcome::Done(found) => Ok(found),
            // Not with as many steps as there are numbers.
            Outcome::OutOfSteps => Ok(None),
        }
    }
}

impl Drop for SqliteIndex {
    /// The readers go first: the connection that is closed last tidies up, and only the writer's can.
    fn drop(&mut self) {
        self.watching = None;
        self.watch.close();
        self.readers.close();
    }
}

const FIND: &str = "looking for an entry";

#[async_trait]
impl Index for SqliteIndex {
    async fn find(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: &[EntryId],
    ) -> Result<Option<Entry>, IndexError> {
        let mut skip = skip.to_vec();
        skip.sort_unstable();
        let search = Search { rule: self.rule, repository, version, probes, skip: &skip };
        match self.read(FIND, |conn| find::find(conn, &search, self.steps_in_place))? {
            Outcome::Done(found) => Ok(found),
            Outcome::OutOfSteps => self.find_aside(repository, version, probes, skip).await,
        }
    }

    async fn get_entry(&self, id: EntryId) -> Result<Option<Entry>, IndexError> {
        self.read("reading an entry", |conn| find::by_id(conn, id))
    }

    async fn get_entry_of_upload(&self, id: UploadId) -> Result<Option<Entry>, IndexError> {
        self.read("reading the entry of an upload", |conn| queries::entry_by_upload(conn, id))
    }

    async fn reserve(
        &self,
        slot: &Slot,
        owner: &str,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<Reservation, IndexError> {
        let (slot, owner, fresh) = (slot.clone(), owner.to_owned(), super::fresh_upload_name()?);
        let rule = self.rule;
        self.writer
            .write("reserving a slot", move |conn| {
                changes::reserve(conn, rule, &slot, &owner, &fresh, now_ms, idle_before_ms)
            })
            .await
    }

    async fn renew(&self, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, IndexError> {
        self.writer
            .write("handing an upload out again", move |conn| changes::renew(conn, id, created_ms, now_ms))
            .await
    }

    async fn get_upload(&self, name: &UploadName) -> Result<Option<Upload>, IndexError> {
        self.read("reading an upload", |conn| queries::upload_by_name(conn, name))
    }

    async fn get_upload_by_id(&self, id: UploadId) -> Result<Option<Upload>, IndexError> {
        self.read("reading an upload", |conn| queries::upload_by_id(conn, id))
    }

    async fn find_upload(&self, slot: &Slot) -> Result<Option<Upload>, IndexError> {
        self.read("looking for an upload", |conn| queries::upload_by_slot(conn, self.rule, slot))
    }

    async fn attach(
        &self,
        id: UploadId,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError> {
        let attachment = attachment.clone();
        self.writer
            .write("attaching an object", move |conn| changes::attach(conn, id, &attachment, now_ms))
            .await
    }

    async fn finalize(
        &self,
        id: UploadId,
        attachment: &Attachment,
        durability: &Durability,
        now_ms: u64,
    ) -> Result<Option<Entry>, IndexError> {
        let (attachment, durability, rule) = (attachment.clone(), durability.clone(), self.rule);
        self.writer
            .write("making an entry", move |conn| {
                changes::finalize(conn, rule, id, &attachment, &durability, now_ms)
            })
            .await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, IndexError> {
        self.writer.write("deleting an upload", move |conn| changes::abandon(conn, id)).await
    }

    async fn abandon_idle(&self, id: UploadId, idle_before_ms: u64) -> Result<bool, IndexError> {
        self.writer
            .write("deleting an idle upload", move |conn| changes::abandon_idle(conn, id, idle_before_ms))
            .await
    }

    async fn delete_entry(&self, id: EntryId) -> Result<bool, IndexError> {
        self.writer.write("deleting an entry", move |conn| changes::delete_entry(conn, id)).await
    }

    async fn delete_entry_unused(&self, id: EntryId, last_used_ms: u64) -> Result<bool, IndexError> {
        self.writer
            .write("deleting an unused entry", move |conn| {
                changes::delete_entry_unused(conn, id, last_used_ms)
            })
            .await
    }

    async fn touch_entries(&self, uses: &[(EntryId, u64)]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        self.writer.write("noting uses of entries", move |conn| changes::touch_entries(conn, &uses)).await
    }

    async fn bring_entries_back(&self, ids: &[EntryId], now_ms: u64) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        self.writer
            .write("noting uses of entries", move |conn| changes::bring_entries_back(conn, &ids, now_ms))
            .await
    }

    async fn touch_uploads(&self, uses: &[(UploadName, u64)]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        self.writer.write("noting activity of uploads", move |conn| changes::touch_uploads(conn, &uses)).await
    }

    async fn mark_durable(&self, ids: &[EntryId]) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        self.writer
            .write("noting that entries are durable", move |conn| changes::mark_durable(conn, &ids))
            .await
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
        self.read("looking for references", |conn| queries::referenced_objects(conn, objects))
    }

    async fn existing_uploads(&self, names: &[UploadName]) -> Result<HashSet<UploadName>, IndexError> {
        self.read("looking for uploads", |conn| queries::existing_uploads(conn, names))
    }

    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, IndexError> {
        let (name, fresh) = (name.to_owned(), fresh.to_vec());
        self.writer.write("reading a secret", move |conn| changes::secret(conn, &name, &fresh)).await
    }
}
