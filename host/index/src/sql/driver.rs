//! Implements the index with the statements of a driver.
//!
//! [`SqlIndex`] is the same for all servers and decides which calls are retried. A [`Driver`] with
//! its [`Statements`] is specific to a server.

use std::collections::HashSet;

use async_trait::async_trait;
use larder_storage::{ObjectName, UploadName};

use super::{
    client::Client,
    digest,
    fault::{Fault, RetrySafety},
    pool::Driver,
    request::{EntryBy, IdleTimes, ReservationRequest, SearchRequest, UploadBy},
};
use crate::{
    AttachOutcome, Attachment, Durability, Entry, EntryId, Index, IndexError, KeyRule, Probe, Reservation,
    Slot, Upload, UploadId, fresh_upload_name,
};

/// The statements of a driver. They do what the methods of [`Index`] do, on one connection.
pub(super) trait Statements: Driver {
    /// Whether [`Self::finalize`] may be retried after the connection is lost.
    const FINALIZE: RetrySafety;

    async fn find(connection: &mut Self::Connection, search: &SearchRequest) -> Result<Option<Entry>, Fault>;

    async fn entry(connection: &mut Self::Connection, by: EntryBy<'_>) -> Result<Option<Entry>, Fault>;

    async fn upload(connection: &mut Self::Connection, by: UploadBy<'_>) -> Result<Option<Upload>, Fault>;

    /// Reserves a slot that is free except for the displaced upload, which must still be idle.
    /// Returns `None`, and changes nothing, if another call was faster.
    async fn try_reserve(
        connection: &mut Self::Connection,
        request: &ReservationRequest,
        displaced: Option<UploadId>,
    ) -> Result<Option<Upload>, Fault>;

    /// See [`Index::renew`].
    async fn renew(
        connection: &mut Self::Connection,
        id: UploadId,
        created_ms: u64,
        now_ms: u64,
    ) -> Result<bool, Fault>;

    async fn attach(
        connection: &mut Self::Connection,
        id: UploadId,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, Fault>;

    async fn finalize(
        connection: &mut Self::Connection,
        id: UploadId,
        attachment: &Attachment,
        boot: Option<&str>,
        now_ms: u64,
    ) -> Result<Option<Entry>, Fault>;

    /// Deletes an upload, but only if it is idle when `idle` is given. Returns whether it did.
    async fn delete_upload(
        connection: &mut Self::Connection,
        id: UploadId,
        idle: Option<IdleTimes>,
    ) -> Result<bool, Fault>;

    /// Deletes an entry, but only if it was not used after `last_used_ms` when that is given.
    /// Returns whether it did.
    async fn delete_entry(
        connection: &mut Self::Connection,
        id: EntryId,
        last_used_ms: Option<u64>,
    ) -> Result<bool, Fault>;

    async fn touch_entries(connection: &mut Self::Connection, uses: &[(EntryId, u64)]) -> Result<(), Fault>;

    async fn cap_last_used(
        connection: &mut Self::Connection,
        ids: &[EntryId],
        now_ms: u64,
    ) -> Result<(), Fault>;

    async fn touch_uploads(
        connection: &mut Self::Connection,
        uses: &[(UploadName, u64)],
    ) -> Result<(), Fault>;

    async fn mark_durable(connection: &mut Self::Connection, ids: &[EntryId]) -> Result<(), Fault>;

    async fn volatile(
        connection: &mut Self::Connection,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault>;

    async fn entries(
        connection: &mut Self::Connection,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault>;

    async fn uploads(
        connection: &mut Self::Connection,
        after: UploadId,
        limit: usize,
    ) -> Result<Vec<Upload>, Fault>;

    async fn referenced(
        connection: &mut Self::Connection,
        objects: &[ObjectName],
    ) -> Result<HashSet<ObjectName>, Fault>;

    async fn existing(
        connection: &mut Self::Connection,
        names: &[UploadName],
    ) -> Result<HashSet<UploadName>, Fault>;

    async fn secret(connection: &mut Self::Connection, name: &str, fresh: &[u8]) -> Result<Vec<u8>, Fault>;
}

/// Attempts of a reservation while other calls are faster.
const MAX_ATTEMPTS: usize = 50;

/// Makes a reservation. Only its last step changes anything.
async fn reserve<D: Statements>(
    connection: &mut D::Connection,
    request: &ReservationRequest,
) -> Result<Reservation, Fault> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(entry) = D::entry(connection, EntryBy::Slot(&request.digest)).await? {
            return Ok(Reservation::Entry(entry));
        }
        let displaced = match D::upload(connection, UploadBy::Slot(&request.digest)).await? {
            None => None,
            // Only this call knows the name, so an earlier attempt succeeded and its response was
            // lost.
            Some(upload) if upload.name == request.name => return Ok(Reservation::Reserved(upload)),
            Some(upload) if !upload.is_idle(request.now_ms, request.idle_before_ms) => {
                return Ok(Reservation::Upload(upload));
            }
            Some(idle) => Some(idle.id),
        };
        if let Some(upload) = D::try_reserve(connection, request, displaced).await? {
            return Ok(Reservation::Reserved(upload));
        }
    }
    Err(Fault::Contended)
}

/// The index in a database server.
///
/// Dropping it completes the calls in progress and closes the connections.
pub(crate) struct SqlIndex<D: Driver> {
    pub(super) client: Client<D>,
    pub(super) rule: KeyRule,
}

#[async_trait]
impl<D: Statements> Index for SqlIndex<D>
where
    D::Connection: 'static,
{
    async fn find(
        &self,
        repository: &str,
        version: &str,
        probes: &[Probe],
        skip: &[EntryId],
    ) -> Result<Option<Entry>, IndexError> {
        if probes.is_empty() {
            return Ok(None);
        }
        let search = SearchRequest {
            rule: self.rule,
            repository: repository.to_owned(),
            version: version.to_owned(),
            probes: probes
                .iter()
                .map(|probe| Probe {
                    scope: probe.scope.clone(),
                    key: self.rule.compared(&probe.key).into_owned(),
                    kind: probe.kind,
                })
                .collect(),
            skip: skip.to_vec(),
        };
        let find = async move |connection: &mut D::Connection| D::find(connection, &search).await;
        self.client.search("finding an entry", find).await
    }

    async fn get_entry(&self, id: EntryId) -> Result<Option<Entry>, IndexError> {
        let get = async move |connection: &mut D::Connection| D::entry(connection, EntryBy::Id(id)).await;
        self.client.call("reading an entry", RetrySafety::Always, get).await
    }

    async fn get_entry_of_upload(&self, id: UploadId) -> Result<Option<Entry>, IndexError> {
        let get = async move |connection: &mut D::Connection| D::entry(connection, EntryBy::Upload(id)).await;
        self.client.call("reading the entry of an upload", RetrySafety::Always, get).await
    }

    async fn reserve(
        &self,
        slot: &Slot,
        owner: &str,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<Reservation, IndexError> {
        let request = ReservationRequest {
            place: digest::place_of(slot),
            digest: digest::digest_of(slot, self.rule),
            folded: self.rule.folded(&slot.key),
            slot: slot.clone(),
            name: fresh_upload_name()?,
            owner: owner.to_owned(),
            now_ms,
            idle_before_ms,
        };
        let reserve = async move |connection: &mut D::Connection| reserve::<D>(connection, &request).await;
        // The name identifies the reservation of an earlier attempt.
        self.client.call("reserving a slot", RetrySafety::Always, reserve).await
    }

    async fn renew(&self, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, IndexError> {
        let renew =
            async move |connection: &mut D::Connection| D::renew(connection, id, created_ms, now_ms).await;
        // A retry could not distinguish its own success from another caller's.
        self.client.call("renewing an upload", RetrySafety::Never, renew).await
    }

    async fn get_upload(&self, name: &UploadName) -> Result<Option<Upload>, IndexError> {
        let name = name.clone();
        let get =
            async move |connection: &mut D::Connection| D::upload(connection, UploadBy::Name(&name)).await;
        self.client.call("reading an upload", RetrySafety::Always, get).await
    }

    async fn get_upload_by_id(&self, id: UploadId) -> Result<Option<Upload>, IndexError> {
        let get = async move |connection: &mut D::Connection| D::upload(connection, UploadBy::Id(id)).await;
        self.client.call("reading an upload", RetrySafety::Always, get).await
    }

    async fn find_upload(&self, slot: &Slot) -> Result<Option<Upload>, IndexError> {
        let digest = digest::digest_of(slot, self.rule);
        let find =
            async move |connection: &mut D::Connection| D::upload(connection, UploadBy::Slot(&digest)).await;
        self.client.call("finding an upload", RetrySafety::Always, find).await
    }

    async fn attach(
        &self,
        id: UploadId,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError> {
        let attachment = attachment.clone();
        let attach =
            async move |connection: &mut D::Connection| D::attach(connection, id, &attachment, now_ms).await;
        // A retry does not return the replaced object, so that is left to the sweep.
        self.client.call("attaching an object", RetrySafety::Always, attach).await
    }

    async fn finalize(
        &self,
        id: UploadId,
        attachment: &Attachment,
        durability: &Durability,
        now_ms: u64,
    ) -> Result<Option<Entry>, IndexError> {
        let attachment = attachment.clone();
        let boot = match durability {
            Durability::Durable => None,
            Durability::Until { boot } => Some(boot.clone()),
        };
        let finalize = async move |connection: &mut D::Connection| {
            D::finalize(connection, id, &attachment, boot.as_deref(), now_ms).await
        };
        // A retry would find no upload, and could not distinguish its own entry from another
        // caller's.
        self.client.call("finalizing an upload", D::FINALIZE, finalize).await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, IndexError> {
        let abandon =
            async move |connection: &mut D::Connection| D::delete_upload(connection, id, None).await;
        self.client.call("deleting an upload", RetrySafety::Never, abandon).await
    }

    async fn abandon_idle(&self, id: UploadId, idle_before_ms: u64) -> Result<bool, IndexError> {
        let abandon = async move |connection: &mut D::Connection| {
            let idle = IdleTimes { before_ms: idle_before_ms, after_ms: u64::MAX };
            D::delete_upload(connection, id, Some(idle)).await
        };
        self.client.call("deleting an idle upload", RetrySafety::Never, abandon).await
    }

    async fn delete_entry(&self, id: EntryId) -> Result<bool, IndexError> {
        let delete = async move |connection: &mut D::Connection| D::delete_entry(connection, id, None).await;
        self.client.call("deleting an entry", RetrySafety::Never, delete).await
    }

    async fn delete_entry_unused(&self, id: EntryId, last_used_ms: u64) -> Result<bool, IndexError> {
        let delete = async move |connection: &mut D::Connection| {
            D::delete_entry(connection, id, Some(last_used_ms)).await
        };
        self.client.call("deleting an unused entry", RetrySafety::Never, delete).await
    }

    async fn touch_entries(&self, uses: &[(EntryId, u64)]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        let touch = async move |connection: &mut D::Connection| D::touch_entries(connection, &uses).await;
        self.client.call("recording uses of entries", RetrySafety::Always, touch).await
    }

    async fn cap_last_used(&self, ids: &[EntryId], now_ms: u64) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        let back =
            async move |connection: &mut D::Connection| D::cap_last_used(connection, &ids, now_ms).await;
        self.client.call("recording uses of entries", RetrySafety::Always, back).await
    }

    async fn touch_uploads(&self, uses: &[(UploadName, u64)]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        let touch = async move |connection: &mut D::Connection| D::touch_uploads(connection, &uses).await;
        self.client.call("recording activity of uploads", RetrySafety::Always, touch).await
    }

    async fn mark_durable(&self, ids: &[EntryId]) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        let mark = async move |connection: &mut D::Connection| D::mark_durable(connection, &ids).await;
        self.client.call("marking entries durable", RetrySafety::Always, mark).await
    }

    async fn list_volatile(
        &self,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        let boot = boot.to_owned();
        let list = async move |connection: &mut D::Connection| {
            D::volatile(connection, &boot, this_boot, after, limit).await
        };
        self.client.call("listing volatile entries", RetrySafety::Always, list).await
    }

    async fn list_entries(&self, after: EntryId, limit: usize) -> Result<Vec<Entry>, IndexError> {
        let list = async move |connection: &mut D::Connection| D::entries(connection, after, limit).await;
        self.client.call("listing entries", RetrySafety::Always, list).await
    }

    async fn list_uploads(&self, after: UploadId, limit: usize) -> Result<Vec<Upload>, IndexError> {
        let list = async move |connection: &mut D::Connection| D::uploads(connection, after, limit).await;
        self.client.call("listing uploads", RetrySafety::Always, list).await
    }

    async fn referenced_objects(&self, objects: &[ObjectName]) -> Result<HashSet<ObjectName>, IndexError> {
        let objects = objects.to_vec();
        let look = async move |connection: &mut D::Connection| D::referenced(connection, &objects).await;
        self.client.call("finding references", RetrySafety::Always, look).await
    }

    async fn existing_uploads(&self, names: &[UploadName]) -> Result<HashSet<UploadName>, IndexError> {
        let names = names.to_vec();
        let look = async move |connection: &mut D::Connection| D::existing(connection, &names).await;
        self.client.call("finding uploads", RetrySafety::Always, look).await
    }

    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, IndexError> {
        let (name, fresh) = (name.to_owned(), fresh.to_vec());
        let read = async move |connection: &mut D::Connection| D::secret(connection, &name, &fresh).await;
        self.client.call("reading a secret", RetrySafety::Always, read).await
    }
}
