//! The index by the statements of a driver.
//!
//! [`SqlIndex`] says what is sent where and what is tried again; a [`Driver`](super::pool::Driver) with its [`Statements`]
//! is the server's half.

use std::collections::HashSet;

use async_trait::async_trait;

use super::{
    asked::{Claim, EntryBy, Idle, Search, UploadBy},
    client::Client,
    digest,
    fault::{Fault, Repeat},
    pool::Driver,
};
use crate::{
    AttachOutcome, Attachment, Durability, Entry, EntryId, Index, IndexError, KeyRule, Probe, Reservation,
    Slot, Upload, UploadId, fresh_upload_name,
};
use larder_storage::{ObjectName, UploadName};

/// What a driver reads and changes. As [`Index`], on one connection.
pub(super) trait Statements: Driver {
    /// What of [`Self::finalize`] may be done again after a loss of the connection.
    const FINALIZE: Repeat;

    async fn find(connection: &mut Self::Connection, search: &Search) -> Result<Option<Entry>, Fault>;

    async fn entry(connection: &mut Self::Connection, by: EntryBy<'_>) -> Result<Option<Entry>, Fault>;

    async fn upload(connection: &mut Self::Connection, by: UploadBy<'_>) -> Result<Option<Upload>, Fault>;

    /// Takes a slot that is free, or free without the displaced upload, which must still be idle. Returns `None`, and
    /// changes nothing, where somebody else was faster.
    async fn take(
        connection: &mut Self::Connection,
        claim: &Claim,
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

    /// Deletes an upload, if it is idle where that is asked. Returns whether it did.
    async fn delete_upload(
        connection: &mut Self::Connection,
        id: UploadId,
        idle: Option<Idle>,
    ) -> Result<bool, Fault>;

    /// Deletes an entry that was last used at a time or before. Returns whether it did.
    async fn delete_entry(
        connection: &mut Self::Connection,
        id: EntryId,
        last_used_ms: Option<u64>,
    ) -> Result<bool, Fault>;

    async fn touch_entries(connection: &mut Self::Connection, uses: &[(EntryId, u64)]) -> Result<(), Fault>;

    async fn bring_entries_back(
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

/// How often a reservation looks again after somebody else was faster.
const LOOKS: usize = 50;

/// Makes a reservation. Of its steps one at most changes something: the last one.
async fn reserve<D: Statements>(connection: &mut D::Connection, claim: &Claim) -> Result<Reservation, Fault> {
    for _ in 0..LOOKS {
        if let Some(entry) = D::entry(connection, EntryBy::Slot(&claim.digest)).await? {
            return Ok(Reservation::Entry(entry));
        }
        let displaced = match D::upload(connection, UploadBy::Slot(&claim.digest)).await? {
            None => None,
            // Nobody else knows the name: an earlier attempt, whose answer was lost.
            Some(upload) if upload.name == claim.name => return Ok(Reservation::Reserved(upload)),
            Some(upload) if !upload.is_idle(claim.now_ms, claim.idle_before_ms) => {
                return Ok(Reservation::Upload(upload));
            }
            Some(idle) => Some(idle.id),
        };
        if let Some(upload) = D::take(connection, claim, displaced).await? {
            return Ok(Reservation::Reserved(upload));
        }
    }
    Err(Fault::Contended)
}

/// The index in a database server.
///
/// When it is dropped, the calls under way are finished and the connections are closed.
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
        let search = Search {
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
        self.client.search("looking for an entry", find).await
    }

    async fn get_entry(&self, id: EntryId) -> Result<Option<Entry>, IndexError> {
        let get = async move |connection: &mut D::Connection| D::entry(connection, EntryBy::Id(id)).await;
        self.client.call("reading an entry", Repeat::Always, get).await
    }

    async fn get_entry_of_upload(&self, id: UploadId) -> Result<Option<Entry>, IndexError> {
        let get = async move |connection: &mut D::Connection| D::entry(connection, EntryBy::Upload(id)).await;
        self.client.call("reading the entry of an upload", Repeat::Always, get).await
    }

    async fn reserve(
        &self,
        slot: &Slot,
        owner: &str,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<Reservation, IndexError> {
        let claim = Claim {
            place: digest::place_of(slot),
            digest: digest::digest_of(slot, self.rule),
            folded: self.rule.folded(&slot.key),
            slot: slot.clone(),
            name: fresh_upload_name()?,
            owner: owner.to_owned(),
            now_ms,
            idle_before_ms,
        };
        let reserve = async move |connection: &mut D::Connection| reserve::<D>(connection, &claim).await;
        // The name tells a repeat from somebody else's reservation.
        self.client.call("reserving a slot", Repeat::Always, reserve).await
    }

    async fn renew(&self, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, IndexError> {
        let renew =
            async move |connection: &mut D::Connection| D::renew(connection, id, created_ms, now_ms).await;
        // A repeat could not tell its own success from another caller's.
        self.client.call("handing an upload out again", Repeat::Never, renew).await
    }

    async fn get_upload(&self, name: &UploadName) -> Result<Option<Upload>, IndexError> {
        let name = name.clone();
        let get =
            async move |connection: &mut D::Connection| D::upload(connection, UploadBy::Name(&name)).await;
        self.client.call("reading an upload", Repeat::Always, get).await
    }

    async fn get_upload_by_id(&self, id: UploadId) -> Result<Option<Upload>, IndexError> {
        let get = async move |connection: &mut D::Connection| D::upload(connection, UploadBy::Id(id)).await;
        self.client.call("reading an upload", Repeat::Always, get).await
    }

    async fn find_upload(&self, slot: &Slot) -> Result<Option<Upload>, IndexError> {
        let digest = digest::digest_of(slot, self.rule);
        let find =
            async move |connection: &mut D::Connection| D::upload(connection, UploadBy::Slot(&digest)).await;
        self.client.call("looking for an upload", Repeat::Always, find).await
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
        // A repeat does not name what was replaced: then that is left to the sweep.
        self.client.call("attaching an object", Repeat::Always, attach).await
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
        // A repeat would find no upload, and could not tell its own entry from another caller's.
        self.client.call("making an entry", D::FINALIZE, finalize).await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, IndexError> {
        let abandon =
            async move |connection: &mut D::Connection| D::delete_upload(connection, id, None).await;
        self.client.call("deleting an upload", Repeat::Never, abandon).await
    }

    async fn abandon_idle(&self, id: UploadId, idle_before_ms: u64) -> Result<bool, IndexError> {
        let abandon = async move |connection: &mut D::Connection| {
            let idle = Idle { before_ms: idle_before_ms, after_ms: u64::MAX };
            D::delete_upload(connection, id, Some(idle)).await
        };
        self.client.call("deleting an idle upload", Repeat::Never, abandon).await
    }

    async fn delete_entry(&self, id: EntryId) -> Result<bool, IndexError> {
        let delete = async move |connection: &mut D::Connection| D::delete_entry(connection, id, None).await;
        self.client.call("deleting an entry", Repeat::Never, delete).await
    }

    async fn delete_entry_unused(&self, id: EntryId, last_used_ms: u64) -> Result<bool, IndexError> {
        let delete = async move |connection: &mut D::Connection| {
            D::delete_entry(connection, id, Some(last_used_ms)).await
        };
        self.client.call("deleting an unused entry", Repeat::Never, delete).await
    }

    async fn touch_entries(&self, uses: &[(EntryId, u64)]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        let touch = async move |connection: &mut D::Connection| D::touch_entries(connection, &uses).await;
        self.client.call("noting uses of entries", Repeat::Always, touch).await
    }

    async fn bring_entries_back(&self, ids: &[EntryId], now_ms: u64) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        let back =
            async move |connection: &mut D::Connection| D::bring_entries_back(connection, &ids, now_ms).await;
        self.client.call("noting uses of entries", Repeat::Always, back).await
    }

    async fn touch_uploads(&self, uses: &[(UploadName, u64)]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        let touch = async move |connection: &mut D::Connection| D::touch_uploads(connection, &uses).await;
        self.client.call("noting activity of uploads", Repeat::Always, touch).await
    }

    async fn mark_durable(&self, ids: &[EntryId]) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        let mark = async move |connection: &mut D::Connection| D::mark_durable(connection, &ids).await;
        self.client.call("noting that entries are durable", Repeat::Always, mark).await
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
        self.client.call("listing volatile entries", Repeat::Always, list).await
    }

    async fn list_entries(&self, after: EntryId, limit: usize) -> Result<Vec<Entry>, IndexError> {
        let list = async move |connection: &mut D::Connection| D::entries(connection, after, limit).await;
        self.client.call("listing entries", Repeat::Always, list).await
    }

    async fn list_uploads(&self, after: UploadId, limit: usize) -> Result<Vec<Upload>, IndexError> {
        let list = async move |connection: &mut D::Connection| D::uploads(connection, after, limit).await;
        self.client.call("listing uploads", Repeat::Always, list).await
    }

    async fn referenced_objects(&self, objects: &[ObjectName]) -> Result<HashSet<ObjectName>, IndexError> {
        let objects = objects.to_vec();
        let look = async move |connection: &mut D::Connection| D::referenced(connection, &objects).await;
        self.client.call("looking for references", Repeat::Always, look).await
    }

    async fn existing_uploads(&self, names: &[UploadName]) -> Result<HashSet<UploadName>, IndexError> {
        let names = names.to_vec();
        let look = async move |connection: &mut D::Connection| D::existing(connection, &names).await;
        self.client.call("looking for uploads", Repeat::Always, look).await
    }

    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, IndexError> {
        let (name, fresh) = (name.to_owned(), fresh.to_vec());
        let read = async move |connection: &mut D::Connection| D::secret(connection, &name, &fresh).await;
        self.client.call("reading a secret", Repeat::Always, read).await
    }
}
