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
use larder_storage::{ObjectName, UploadName};
use tokio::time::Instant;

use super::{
    client::Client,
    digest, facts,
    fault::{Fault, RetrySafety},
    ledger,
    pool::Driver,
    request::{EntryBy, IdleTimes, ReservationRequest, SearchRequest, UploadBy},
    schema::OPEN_TIMEOUT,
    statements::Statements,
    tenant::TenantConnection,
    within,
};
use crate::{
    Area, AttachOutcome, Attachment, Caps, Departed, Departure, Durability, Entry, EntryDetails, EntryId,
    EntryUses, Facts, Index, IndexError, KeyRule, Leaving, LeavingId, MatchKind, NOT_FOR_DEFAULT,
    NOT_OF_DEFAULT, Near, Probe, REFUSED_FOR_MS, RepositoryName, Reservation, Room, Slot, Trust, Upload,
    UploadId, Within, fresh_upload_name, latest_names, ledger::Place, summed, unavailable,
};

/// Attempts of a reservation while other calls are faster.
const MAX_ATTEMPTS: usize = 50;

/// Makes a reservation. Only its last step changes anything.
async fn reserve<D: Statements>(
    db: &mut TenantConnection<'_, D::Connection>,
    request: &ReservationRequest,
) -> Result<Reservation, Fault> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(entry) = D::entry(db, EntryBy::Slot(&request.digest)).await? {
            return Ok(Reservation::Entry(entry));
        }
        let displaced = match D::upload(db, UploadBy::Slot(&request.digest)).await? {
            None => None,
            // Only this call knows the name, so an earlier attempt succeeded and its response was
            // lost.
            Some(upload) if upload.name == request.name => return Ok(Reservation::Reserved(upload)),
            Some(upload) if !upload.is_idle(request.now_ms, request.idle_before_ms) => {
                return Ok(Reservation::Upload(upload));
            }
            Some(idle) => Some(idle.id),
        };
        if let Some(upload) = D::try_reserve(db, request, displaced).await? {
            return Ok(Reservation::Reserved(upload));
        }
    }
    Err(Fault::Contended)
}

/// The index in a database server.
///
/// Dropping the last one of a database completes the calls in progress and closes the connections.
pub(crate) struct SqlIndex<D: Driver> {
    client: Arc<Client<D>>,
    rule: KeyRule,
    tenant: TenantName,
}

impl<D: Driver> SqlIndex<D> {
    /// The index of the tenant `default`.
    pub(super) fn new(client: Client<D>, rule: KeyRule) -> Self {
        Self { client: Arc::new(client), rule, tenant: TenantName::default() }
    }
}

impl<D: Statements> SqlIndex<D>
where
    D::Connection: 'static,
{
    /// Makes a call as the tenant.
    async fn call<T, F>(&self, context: &'static str, safety: RetrySafety, op: F) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: AsyncFn(&mut TenantConnection<'_, D::Connection>) -> Result<T, Fault> + Send + 'static,
    {
        let tenant = self.tenant.clone();
        let op = async move |connection: &mut D::Connection| {
            op(&mut TenantConnection::new(connection, &tenant)).await
        };
        self.client.call(context, safety, op).await
    }
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
        let after = after.cloned();
        let list = async move |connection: &mut D::Connection| {
            let mut names: Vec<TenantName> = Vec::new();
            while names.len() < limit {
                let last = names.last().or(after.as_ref()).map_or("", TenantName::as_str);
                let Some(next) = D::next_tenant(connection, last).await? else { break };
                names.push(next);
            }
            Ok(names)
        };
        self.client.call("listing tenants", RetrySafety::Always, list).await
    }

    async fn forget_tenant(&self) -> Result<bool, IndexError> {
        if self.tenant.is_default() {
            return Err(NOT_FOR_DEFAULT);
        }
        let forget = async move |db: &mut TenantConnection<'_, D::Connection>| D::forget(db).await;
        self.call("removing a tenant", RetrySafety::Always, forget).await
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
        let search = SearchRequest {
            tenant: self.tenant.clone(),
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
        let find = async move |connection: &mut D::Connection| {
            let tenant = search.tenant.clone();
            D::find(&mut TenantConnection::new(connection, &tenant), &search).await
        };
        self.client.search("finding an entry", find).await
    }

    async fn get_entry(&self, id: EntryId) -> Result<Option<Entry>, IndexError> {
        let get =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::entry(db, EntryBy::Id(id)).await;
        self.call("reading an entry", RetrySafety::Always, get).await
    }

    async fn get_entry_of_upload(&self, id: UploadId) -> Result<Option<Entry>, IndexError> {
        let get =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::entry(db, EntryBy::Upload(id)).await;
        self.call("reading the entry of an upload", RetrySafety::Always, get).await
    }

    async fn entry_details(&self, ids: &[EntryId]) -> Result<Vec<EntryDetails>, IndexError> {
        let ids: Vec<EntryId> = ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let get = async move |db: &mut TenantConnection<'_, D::Connection>| D::entry_details(db, &ids).await;
        let mut found = self.call("reading details of entries", RetrySafety::Always, get).await?;
        found.sort_unstable_by_key(|details| details.id);
        Ok(found)
    }

    async fn upload_facts(&self, id: UploadId) -> Result<Option<Facts>, IndexError> {
        let get = async move |db: &mut TenantConnection<'_, D::Connection>| D::upload_facts(db, id).await;
        self.call("reading the facts of an upload", RetrySafety::Always, get).await
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
        let reserve =
            async move |db: &mut TenantConnection<'_, D::Connection>| reserve::<D>(db, &request).await;
        // The name identifies the reservation of an earlier attempt.
        self.call(CONTEXT, RetrySafety::Always, reserve).await
    }

    async fn renew(&self, id: UploadId, created_ms: u64, now_ms: u64) -> Result<bool, IndexError> {
        let renew = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::renew(db, id, created_ms, now_ms).await
        };
        // A retry could not distinguish its own success from another caller's.
        self.call("renewing an upload", RetrySafety::Never, renew).await
    }

    async fn get_upload(&self, name: &UploadName) -> Result<Option<Upload>, IndexError> {
        let name = name.clone();
        let get = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::upload(db, UploadBy::Name(&name)).await
        };
        self.call("reading an upload", RetrySafety::Always, get).await
    }

    async fn get_upload_by_id(&self, id: UploadId) -> Result<Option<Upload>, IndexError> {
        let get =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::upload(db, UploadBy::Id(id)).await;
        self.call("reading an upload", RetrySafety::Always, get).await
    }

    async fn find_upload(&self, slot: &Slot) -> Result<Option<Upload>, IndexError> {
        let digest = digest::digest_of(&self.tenant, slot, self.rule);
        let find = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::upload(db, UploadBy::Slot(&digest)).await
        };
        self.call("finding an upload", RetrySafety::Always, find).await
    }

    async fn attach(
        &self,
        id: UploadId,
        attachment: &Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError> {
        let attachment = attachment.clone();
        let attach = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::attach(db, id, &attachment, now_ms).await
        };
        // A retry does not return the replaced object, so that is left to the sweep.
        self.call("attaching an object", RetrySafety::Always, attach).await
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
        let finalize = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::finalize(db, id, &attachment, boot.as_deref(), now_ms).await
        };
        // A retry would find no upload, and could not distinguish its own entry from another
        // caller's.
        self.call("finalizing an upload", D::FINALIZE, finalize).await
    }

    async fn abandon(&self, id: UploadId) -> Result<bool, IndexError> {
        let abandon =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::delete_upload(db, id, None).await;
        self.call("deleting an upload", RetrySafety::Never, abandon).await
    }

    async fn abandon_idle(&self, id: UploadId, idle_before_ms: u64) -> Result<bool, IndexError> {
        let abandon = async move |db: &mut TenantConnection<'_, D::Connection>| {
            let idle = IdleTimes { before_ms: idle_before_ms, after_ms: u64::MAX };
            D::delete_upload(db, id, Some(idle)).await
        };
        self.call("deleting an idle upload", RetrySafety::Never, abandon).await
    }

    async fn delete_entry(&self, id: EntryId, departure: &Departure) -> Result<bool, IndexError> {
        let departure = departure.clone();
        let delete = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::delete_entry(db, id, u64::MAX, &departure).await
        };
        self.call("deleting an entry", RetrySafety::Never, delete).await
    }

    async fn delete_entry_unused(
        &self,
        id: EntryId,
        last_used_ms: u64,
        departure: &Departure,
    ) -> Result<bool, IndexError> {
        let departure = departure.clone();
        let delete = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::delete_entry(db, id, last_used_ms, &departure).await
        };
        self.call("deleting an unused entry", RetrySafety::Never, delete).await
    }

    async fn find_departed(
        &self,
        repository: &str,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Departed>, IndexError> {
        let (repository, key) = (repository.to_owned(), self.rule.compared(key).into_owned());
        let find = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::find_departed(db, &repository, &key, kind, limit).await
        };
        self.call("finding departed entries", RetrySafety::Always, find).await
    }

    async fn trim_departed(&self, most: usize, limit: usize) -> Result<usize, IndexError> {
        let trim =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::trim_departed(db, most, limit).await;
        self.call("forgetting departed entries", RetrySafety::Always, trim).await
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
        self.call("finding entries of a key", RetrySafety::Always, list).await
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
        self.call("finding uploads of a key", RetrySafety::Always, list).await
    }

    async fn least_recent(
        &self,
        within: &Within,
        trust: Option<Trust>,
        after: Option<(u64, EntryId)>,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        let within = within.clone();
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| {
            within::least_recent::<D>(db, &within, trust, after, limit).await
        };
        self.call("listing entries by last use", RetrySafety::Always, list).await
    }

    async fn uploads_in_scope(
        &self,
        repository: &str,
        scope: &str,
        after: UploadId,
        limit: usize,
    ) -> Result<Vec<Upload>, IndexError> {
        let (repository, scope) = (repository.to_owned(), scope.to_owned());
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| {
            within::uploads_in_scope::<D>(db, [&repository, &scope], after, limit).await
        };
        self.call("listing uploads of a scope", RetrySafety::Always, list).await
    }

    async fn set_quarantined(&self, ids: &[EntryId], at_ms: Option<u64>) -> Result<usize, IndexError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids = ids.to_vec();
        let set = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::set_quarantined(db, &ids, at_ms).await
        };
        // A retry would not count what the lost call changed.
        self.call("setting quarantine", RetrySafety::Never, set).await
    }

    async fn touch_entries(&self, uses: &[EntryUses]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = summed(uses);
        let touch =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::touch_entries(db, &uses).await;
        self.call("recording uses of entries", RetrySafety::Always, touch).await
    }

    async fn touch_entry(&self, id: EntryId, used_ms: u64) -> Result<bool, IndexError> {
        let touch =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::touch_entry(db, id, used_ms).await;
        self.call("recording a use of an entry", RetrySafety::Always, touch).await
    }

    async fn cap_last_used(&self, ids: &[EntryId], now_ms: u64) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        let back = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::cap_last_used(db, &ids, now_ms).await
        };
        self.call("recording uses of entries", RetrySafety::Always, back).await
    }

    async fn touch_uploads(&self, uses: &[(UploadName, u64)]) -> Result<(), IndexError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.to_vec();
        let touch =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::touch_uploads(db, &uses).await;
        self.call("recording activity of uploads", RetrySafety::Always, touch).await
    }

    async fn mark_durable(&self, ids: &[EntryId]) -> Result<(), IndexError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        let mark = async move |db: &mut TenantConnection<'_, D::Connection>| D::mark_durable(db, &ids).await;
        self.call("marking entries durable", RetrySafety::Always, mark).await
    }

    async fn list_volatile(
        &self,
        boot: &str,
        this_boot: bool,
        after: EntryId,
        limit: usize,
    ) -> Result<Vec<Entry>, IndexError> {
        let boot = boot.to_owned();
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::volatile(db, &boot, this_boot, after, limit).await
        };
        self.call("listing volatile entries", RetrySafety::Always, list).await
    }

    async fn list_entries(&self, after: EntryId, limit: usize) -> Result<Vec<Entry>, IndexError> {
        let list =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::entries(db, after, limit).await;
        self.call("listing entries", RetrySafety::Always, list).await
    }

    async fn list_uploads(&self, after: UploadId, limit: usize) -> Result<Vec<Upload>, IndexError> {
        let list =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::uploads(db, after, limit).await;
        self.call("listing uploads", RetrySafety::Always, list).await
    }

    async fn referenced_objects(&self, objects: &[ObjectName]) -> Result<HashSet<ObjectName>, IndexError> {
        let objects = objects.to_vec();
        let look =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::referenced(db, &objects).await;
        self.call("finding references", RetrySafety::Always, look).await
    }

    async fn existing_uploads(&self, names: &[UploadName]) -> Result<HashSet<UploadName>, IndexError> {
        let names = names.to_vec();
        let look = async move |db: &mut TenantConnection<'_, D::Connection>| D::existing(db, &names).await;
        self.call("finding uploads", RetrySafety::Always, look).await
    }

    async fn name_repositories(&self, names: &[RepositoryName], most: usize) -> Result<(), IndexError> {
        let names: Vec<RepositoryName> = latest_names(names).into_iter().cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        let name = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::name_repositories(db, &names, most).await
        };
        self.call("naming repositories", RetrySafety::Always, name).await
    }

    async fn note_refused(&self, marks: &[String], now_ms: u64) -> Result<(), IndexError> {
        let (marks, before_ms) = (marks.to_vec(), now_ms.saturating_sub(REFUSED_FOR_MS));
        let note = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::note_refused(db, &marks, now_ms, before_ms).await
        };
        self.call("noting a refusal", RetrySafety::Always, note).await
    }

    async fn was_refused(&self, marks: &[String]) -> Result<bool, IndexError> {
        let marks = marks.to_vec();
        let look = async move |db: &mut TenantConnection<'_, D::Connection>| {
            for mark in &marks {
                if D::is_refused(db, mark).await? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        self.call("looking for a refusal", RetrySafety::Always, look).await
    }

    async fn repository_name(&self, repository: &str) -> Result<Option<String>, IndexError> {
        let repository = repository.to_owned();
        let get = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::repository_name(db, &repository).await
        };
        self.call("reading the name of a repository", RetrySafety::Always, get).await
    }

    async fn find_repositories(&self, name: &str) -> Result<Vec<String>, IndexError> {
        let name = name.to_owned();
        let find =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::find_repositories(db, &name).await;
        self.call("finding repositories", RetrySafety::Always, find).await
    }

    async fn reserve_room(&self, upload: &UploadName, bytes: u64, caps: &Caps) -> Result<Room, IndexError> {
        let (name, caps) = (upload.clone(), caps.clone());
        let reserve = async move |db: &mut TenantConnection<'_, D::Connection>| {
            D::reserve_room(db, &name, bytes, &caps).await
        };
        // A retry after the commit could count the bytes twice.
        self.call("reserving room", RetrySafety::BeforeCommit, reserve).await
    }

    async fn left_uploads(&self, uploads: &[UploadName]) -> Result<(), IndexError> {
        if uploads.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = uploads.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let left =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::left_uploads(db, &names).await;
        self.call("counting what has left", RetrySafety::Always, left).await
    }

    async fn left_objects(&self, objects: &[ObjectName]) -> Result<(), IndexError> {
        if objects.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = objects.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let left =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::left_objects(db, &names).await;
        self.call("counting what has left", RetrySafety::Always, left).await
    }

    async fn list_leaving(&self, after: Option<LeavingId>, limit: usize) -> Result<Vec<Leaving>, IndexError> {
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| {
            ledger::list_leaving::<D>(db, after.as_ref(), limit).await
        };
        self.call("listing what leaves", RetrySafety::Always, list).await
    }

    async fn usage_of(&self, area: &Area) -> Result<u64, IndexError> {
        let (level, place) = Place::of(area);
        let read =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::usage(db, level, &place).await;
        self.call("reading a sum of bytes", RetrySafety::Always, read).await
    }

    async fn list_usage(&self, area: &Area, limit: usize) -> Result<Vec<(Area, u64)>, IndexError> {
        let area = area.clone();
        let list = async move |db: &mut TenantConnection<'_, D::Connection>| {
            ledger::list_usage::<D>(db, &area, limit).await
        };
        self.call("listing sums of bytes", RetrySafety::Always, list).await
    }

    async fn set_orphans(&self, bytes: u64) -> Result<(), IndexError> {
        let set = async move |db: &mut TenantConnection<'_, D::Connection>| D::set_orphans(db, bytes).await;
        self.call("counting orphans", RetrySafety::Always, set).await
    }

    async fn set_counted_apart(&self, apart: bool) -> Result<(), IndexError> {
        let set =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::set_counted_apart(db, apart).await;
        self.call("counting a tenant", RetrySafety::Always, set).await
    }

    async fn recount(&self) -> Result<u64, IndexError> {
        if !self.tenant.is_default() {
            return Err(NOT_OF_DEFAULT);
        }
        let count = async |connection: &mut D::Connection| D::recount(connection).await;
        let deadline = Instant::now() + OPEN_TIMEOUT;
        self.client.call_until("counting all bytes", RetrySafety::Always, deadline, count).await
    }

    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, IndexError> {
        let (name, fresh) = (name.to_owned(), fresh.to_vec());
        let read =
            async move |db: &mut TenantConnection<'_, D::Connection>| D::secret(db, &name, &fresh).await;
        self.call("reading a secret", RetrySafety::Always, read).await
    }
}
