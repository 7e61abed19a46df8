//! Implements the index with the statements of a driver.
//!
//! [`SqlIndex`] is the same for all servers and decides which calls are retried. A [`Driver`] with
//! its [`Statements`] is specific to a server.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use larder_common::TenantName;
use larder_storage::{Digest, ObjectName, UploadName};
use tokio::time::Instant;

use super::{
    digest, facts,
    fault::RetrySafety::{Always, BeforeCommit, Never},
    index::{SqlIndex, reserve},
    ledger, refusals,
    request::{EntryBy, IdleTimes, ReservationRequest, SearchRequest, UploadBy},
    schema::OPEN_TIMEOUT,
    statements::Statements,
    tenant::TenantConnection,
    within,
};
use crate::{
    Area, AttachOutcome, Attachment, Caps, Departed, Departure, Durability, Entry, EntryDetails, EntryId,
    EntryUses, Facts, Index, IndexError, LeastRecent, Leaving, LeavingId, MatchKind, NOT_FOR_DEFAULT,
    NOT_OF_DEFAULT, Near, Probe, REFUSED_FOR_MS, RepositoryName, Reservation, Room, Slot, Trust, UnusedPage,
    Upload, UploadId, Within, fresh_upload_name, latest_names, ledger::Place, summed, unavailable,
};

/// Makes a call of a statement as the tenant.
macro_rules! call {
    ($index:expr, $context:expr, $safety:expr, |$db:ident| $call:expr) => {
        $index
            .call($context, $safety, async move |$db: &mut TenantConnection<'_, D::Connection>| $call.await)
            .await
    };
}

#[async_trait]
impl<D: Statements> Index for SqlIndex<D>
where
    D::Connection: 'static,
{
    fn tenant(&self, name: &TenantName) -> Result<Arc<dyn Index>, IndexError> {
        if *name != self.tenant && !self.tenant.is_default() {
            return Err(NOT_OF_DEFAULT);
        }
        let (client, rule, tenant) = (Arc::clone(&self.client), self.rule, name.clone());
        Ok(Arc::new(Self { client, rule, tenant }))
    }

    async fn list_tenants(
        &self,
        after: Option<&TenantName>,
        limit: usize,
    ) -> Result<Vec<TenantName>, IndexError> {
        if !self.tenant.is_default() {
            return Err(NOT_OF_DEFAULT);
        }
        self.names_of_tenants(after.cloned(), limit).await
    }

    async fn forget_tenant(&self) -> Result<bool, IndexError> {
        if self.tenant.is_default() {
            return Err(NOT_FOR_DEFAULT);
        }
        call!(self, "removing a tenant", Always, |db| D::forget(db))
    }

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
        let search = SearchRequest::new(&self.tenant, self.rule, [repository, version], probes, skip);
        let find = async move |connection: &mut D::Connection| {
            let tenant = search.tenant.clone();
            D::find(&mut TenantConnection::new(connection, &tenant), &search).await
        };
        self.client.search("finding an entry", find).await
    }

    async fn get_entry(&self, id: EntryId) -> Result<Option<Entry>, IndexError> {
        call!(self, "reading an entry", Always, |db| D::entry(db, EntryBy::Id(id)))
    }

    async fn get_entry_of_upload(&self, id: UploadId) -> Result<Option<Entry>, IndexError> {
        call!(self, "reading the entry of an upload", Always, |db| D::entry(db, EntryBy::Upload(id)))
    }

    async fn entry_details(&self, ids: &[EntryId]) -> Result<Vec<EntryDetails>, IndexError> {
        let ids: Vec<EntryId> = ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found = call!(self, "reading details of entries", Always, |db| D::entry_details(db, &ids))?;
        found.sort_unstable_by_key(|details| details.id);
        Ok(found)
    }

    async fn upload_facts(&self, id: UploadId) -> Result<Option<Facts>, IndexError> {
        call!(self, "reading the facts of an upload", Always, |db| D::upload_facts(db, id))
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
        let request = ReservationRequest {
            tenant: self.tenant.clone(),
            place: digest::place_of(&self.tenant, slot),
            digest: digest::digest_of(&self.tenant, slot, self.rule),
            folded: self.rule.folded(&slot.key),
            slot: slot.clone(),
            name: fresh_upload_name()?,
            owner: owner.to_owned(),
            facts: facts::column(facts).map_err(|error| unavailable(CONTEXT, error))?,
            trust,
            now_ms,
            idle_before_ms,
        };
        // The name identifies the reservation of an earlier attempt.
        call!(self, CONTEXT, Always, |db| reserve::<D>(db, &request))
    }

    async fn renew(&self, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, IndexError> {
        // A retry could not distinguish its own success from another caller's.
        call!(self, "renewing an upload", Never, |db| D::renew(db, id, created_ms, now_ms))
    }

    async fn get_upload(&self, name: &UploadName) -> Result<Option<Upload>, IndexError> {
        let name = name.clone();
        call!(self, "reading an upload", Always, |db| D::upload(db, UploadBy::Name(&name)))
    }

    async fn get_upload_by_id(&self, id: UploadId) -> Result<Option<Upload>, IndexError> {
        call!(self, "reading an upload", Always, |db| D::upload(db, UploadBy::Id(id)))
    }

    async fn find_upload(&self, slot: &Slot) -> Result<Option<Upload>, IndexError> {
        let digest = digest::digest_of(&self.tenant, slot, self.rule);
        call!(self, "finding an upload", Always, |db| D::upload(db, UploadBy::Slot(&digest)))
    }

    async fn attach(
        &self,
        id: UploadId,
        attachment: &Attachment,
        digest: Option<&Digest>,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError> {
        self.attach_content(id, attachment.clone(), digest.cloned(), now_ms).await
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
        // A retry would find no upload, and could not distinguish its own entry from another
        // caller's.
        call!(self, "finalizing an upload", D::FINALIZE, |db| D::finalize(
            db,
            id,
            &attachment,
            boot.as_deref(),
            now_ms
        ))
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, IndexError> {
        call!(self, "deleting an upload", Never, |db| D::delete_upload(db, id, None))
    }

    async fn abandon_idle(&self, id: UploadId, idle_before_ms: u64) -> Result<bool, IndexError> {
        let idle = IdleTimes { before_ms: idle_before_ms, after_ms: u64::MAX };
        call!(self, "deleting an idle upload", Never, |db| D::delete_upload(db, id, Some(idle)))
    }

    async fn delete_entry(&self, id: EntryId, departure: &Departure) -> Result<bool, IndexError> {
        let departure = departure.clone();
        call!(self, "deleting an entry", Never, |db| D::delete_entry(db, id, u64::MAX, &departure))
    }

    async fn delete_entry_unused(
        &self,
        id: EntryId,
        last_used_ms: u64,
        departure: &Departure,
    ) -> Result<bool, IndexError> {
        let departure = departure.clone();
        call!(self, "deleting an unused entry", Never, |db| D::delete_entry(db, id, last_used_ms, &departure))
    }

    async fn find_departed(
        &self,
        repository: &str,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Departed>, IndexError> {
        let (repository, key) = (repository.to_owned(), self.rule.compared(key).into_owned());
        call!(self, "finding departed entries", Always, |db| D::find_departed(
            db,
            &repository,
            &key,
            kind,
            limit
        ))
    }

    async fn trim_departed(&self, most: usize, limit: usize) -> Result<usize, IndexError> {
        call!(self, "forgetting departed entries", Always, |db| D::trim_departed(db, most, limit))
    }

    async fn list_near(
        &self,
        repository: &str,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Near>, IndexError> {
        let place = within::KeyPlace::new(repository, key, kind, self.rule);
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| {
            let near = D::near(db, &place, place.rows(limit)).await?;
            Ok(place.matching(near, limit, |near| &near.entry.slot))
        };
        self.call("finding entries of a key", Always, list).await
    }

    async fn uploads_near(
        &self,
        repository: &str,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Upload>, IndexError> {
        let place = within::KeyPlace::new(repository, key, kind, self.rule);
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| {
            let near = D::uploads_near(db, &place, place.rows(limit)).await?;
            Ok(place.matching(near, limit, |upload| &upload.slot))
        };
        self.call("finding uploads of a key", Always, list).await
    }

    async fn least_recent(
        &self,
        within: &Within,
        trust: Option<Trust>,
        after: Option<(u64, EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        let page = LeastRecent { within: within.clone(), trust, after, limit };
        call!(self, "listing entries by last use", Always, |db| within::least_recent::<D, _>(db, &page))
    }

    async fn list_unused(&self, page: &LeastRecent, used_after_ms: u64) -> Result<UnusedPage, IndexError> {
        let page = page.clone();
        call!(self, "listing details by last use", Always, |db| within::unused::<D>(db, &page, used_after_ms))
    }

    async fn uploads_in_scope(
        &self,
        repository: &str,
        scope: &str,
        after: UploadId,
        limit: usize,
    ) -> Result<Vec<Upload>, IndexError> {
        let place = [repository, scope].map(str::to_owned);
        call!(self, "listing uploads of a scope", Always, |db| within::uploads_in::<D>(
            db, &place, after, limit
        ))
    }

    async fn set_quarantined(&self, ids: &[EntryId], at_ms: Option<u64>) -> Result<usize, IndexError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids = ids.to_vec();
        // A retry would not count what the lost call changed.
        call!(self, "setting quarantine", Never, |db| D::set_quarantined(db, &ids, at_ms))
    }

    async fn touch_entries(&self, uses: &[EntryUses]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = summed(uses);
        call!(self, "recording uses of entries", Always, |db| D::touch_entries(db, &uses))
    }

    async fn touch_entry(&self, id: EntryId, used_ms: u64) -> Result<bool, IndexError> {
        call!(self, "recording a use of an entry", Always, |db| D::touch_entry(db, id, used_ms))
    }

    async fn cap_last_used(&self, ids: &[EntryId], now_ms: u64) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        call!(self, "recording uses of entries", Always, |db| D::cap_last_used(db, &ids, now_ms))
    }

    async fn touch_uploads(&self, uses: &[(UploadName, u64)]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        call!(self, "recording activity of uploads", Always, |db| D::touch_uploads(db, &uses))
    }

    async fn mark_durable(&self, ids: &[EntryId]) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        call!(self, "marking entries durable", Always, |db| D::mark_durable(db, &ids))
    }

    async fn list_volatile(
        &self,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        let boot = boot.to_owned();
        call!(self, "listing volatile entries", Always, |db| D::volatile(db, &boot, this_boot, after, limit))
    }

    async fn list_entries(&self, after: EntryId, limit: usize) -> Result<Vec<Entry>, IndexError> {
        call!(self, "listing entries", Always, |db| D::entries(db, after, limit))
    }

    async fn list_uploads(&self, after: UploadId, limit: usize) -> Result<Vec<Upload>, IndexError> {
        call!(self, "listing uploads", Always, |db| D::uploads(db, after, limit))
    }

    async fn referenced_objects(&self, objects: &[ObjectName]) -> Result<HashSet<ObjectName>, IndexError> {
        let objects = objects.to_vec();
        call!(self, "finding references", Always, |db| D::referenced(db, &objects))
    }

    async fn existing_uploads(&self, names: &[UploadName]) -> Result<HashSet<UploadName>, IndexError> {
        let names = names.to_vec();
        call!(self, "finding uploads", Always, |db| D::existing(db, &names))
    }

    async fn name_repositories(&self, names: &[RepositoryName], most: usize) -> Result<(), IndexError> {
        let names: Vec<RepositoryName> = latest_names(names).into_iter().cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        call!(self, "naming repositories", Always, |db| D::name_repositories(db, &names, most))
    }

    async fn note_refused(&self, marks: &[String], now_ms: u64) -> Result<(), IndexError> {
        let (marks, before_ms) = (marks.to_vec(), now_ms.saturating_sub(REFUSED_FOR_MS));
        call!(self, "noting a refusal", Always, |db| D::note_refused(db, &marks, now_ms, before_ms))
    }

    async fn was_refused(&self, marks: &[String]) -> Result<bool, IndexError> {
        let marks = marks.to_vec();
        call!(self, "looking for a refusal", Always, |db| refusals::is_any_refused::<D>(db, &marks))
    }

    async fn repository_name(&self, repository: &str) -> Result<Option<String>, IndexError> {
        let repository = repository.to_owned();
        call!(self, "reading the name of a repository", Always, |db| D::repository_name(db, &repository))
    }

    async fn find_repositories(&self, name: &str) -> Result<Vec<String>, IndexError> {
        let name = name.to_owned();
        call!(self, "finding repositories", Always, |db| D::find_repositories(db, &name))
    }

    async fn reserve_room(&self, upload: &UploadName, bytes: u64, caps: &Caps) -> Result<Room, IndexError> {
        let (name, caps) = (upload.clone(), caps.clone());
        // A retry after the commit could count the bytes twice.
        call!(self, "reserving room", BeforeCommit, |db| D::reserve_room(db, &name, bytes, &caps))
    }

    async fn left_uploads(&self, uploads: &[UploadName]) -> Result<(), IndexError> {
        let names = ledger::sorted(uploads);
        call!(self, "counting what has left", Always, |db| D::left_uploads(db, &names))
    }

    async fn left_objects(&self, objects: &[ObjectName]) -> Result<(), IndexError> {
        let names = ledger::sorted(objects);
        call!(self, "counting what has left", Always, |db| D::left_objects(db, &names))
    }

    async fn list_leaving(&self, after: Option<LeavingId>, limit: usize) -> Result<Vec<Leaving>, IndexError> {
        call!(self, "listing what leaves", Always, |db| ledger::list_leaving::<D>(db, after.as_ref(), limit))
    }

    async fn usage_of(&self, area: &Area) -> Result<u64, IndexError> {
        let (level, place) = Place::of(area);
        call!(self, "reading a sum of bytes", Always, |db| D::usage(db, level, &place))
    }

    async fn list_usage(&self, area: &Area, limit: usize) -> Result<Vec<(Area, u64)>, IndexError> {
        let area = area.clone();
        call!(self, "listing sums of bytes", Always, |db| ledger::list_usage::<D>(db, &area, limit))
    }

    async fn set_orphans(&self, bytes: u64) -> Result<(), IndexError> {
        call!(self, "counting orphans", Always, |db| D::set_orphans(db, bytes))
    }

    async fn set_counted_apart(&self, apart: bool) -> Result<(), IndexError> {
        call!(self, "counting a tenant", Always, |db| D::set_counted_apart(db, apart))
    }

    async fn recount(&self) -> Result<u64, IndexError> {
        if !self.tenant.is_default() {
            return Err(NOT_OF_DEFAULT);
        }
        let count = async |connection: &mut D::Connection| D::recount(connection).await;
        self.client.call_until("counting all bytes", Always, Instant::now() + OPEN_TIMEOUT, count).await
    }

    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, IndexError> {
        let (name, fresh) = (name.to_owned(), fresh.to_vec());
        call!(self, "reading a secret", Always, |db| D::secret(db, &name, &fresh))
    }
}
