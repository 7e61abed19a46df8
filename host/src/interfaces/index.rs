//! `larder:cache/index`: the index.

mod convert;

use std::pin::pin;

use larder_index::{
    Attachment, Departed, Departure, EntryId, Facts, IndexError, MatchKind, Near, Probe, Reservation, Slot,
    Upload, UploadId,
};
use larder_storage::UploadName;
use wasmtime::component::{Accessor, HasSelf};

use super::{
    bindings::larder::cache::{
        index::{self as wit, Host, HostWithStore},
        types,
    },
    errors::IndexCallError,
    for_request::{ForRequest, claims, record, scope, traced},
    state::{State, tenant},
    storage::object_name,
};
use crate::{capacity, telemetry::InRequest, tenant::Tenant};

/// Most probes, and most skipped ids, of one `find`.
pub(super) const MAX_PROBES: usize = 1000;
/// Most marks of a refusal.
pub(super) const MAX_MARKS: usize = 16;
/// Longest owner, and longest part of a slot, in bytes.
const MAX_TEXT_BYTES: usize = 4096;
/// Most results of `list-near` and `list-departed`, of each kind.
const MAX_LISTED: u32 = 10_000;

impl Host for State {
    fn convert_error(&mut self, error: IndexCallError) -> wasmtime::Result<wit::Error> {
        error.into_world()
    }
}

impl HostWithStore<State> for HasSelf<State> {
    async fn find(
        accessor: &Accessor<State, Self>,
        repository: String,
        version: String,
        probes: Vec<wit::Probe>,
        skip: Vec<u64>,
    ) -> Result<Option<wit::Entry>, IndexCallError> {
        let probes = validate_probes(probes, skip.len())?;
        let skip: Vec<EntryId> = skip.into_iter().map(EntryId).collect();
        let tenant = tenant(accessor);
        let traced = traced(accessor, &tenant);
        let found = tenant.index.find(&repository, &version, &probes, &skip);
        let found = found.for_request(accessor, "index.find").await?;
        if let Some(record) = traced {
            record.note(|noted| noted.looked_up(&repository, &version, &probes, found.as_ref()));
        }
        Ok(found.as_ref().map(Into::into))
    }

    async fn get_entry(
        accessor: &Accessor<State, Self>,
        id: u64,
    ) -> Result<Option<wit::Entry>, IndexCallError> {
        let found =
            tenant(accessor).index.get_entry(EntryId(id)).for_request(accessor, "index.get_entry").await?;
        Ok(found.as_ref().map(Into::into))
    }

    async fn get_entry_of_upload(
        accessor: &Accessor<State, Self>,
        upload_id: u64,
    ) -> Result<Option<wit::Entry>, IndexCallError> {
        let found = tenant(accessor)
            .index
            .get_entry_of_upload(UploadId(upload_id))
            .for_request(accessor, "index.get_entry_of_upload")
            .await?;
        Ok(found.as_ref().map(Into::into))
    }

    async fn list_near(
        accessor: &Accessor<State, Self>,
        repository: String,
        key: String,
        kind: wit::MatchKind,
        limit: u32,
    ) -> Result<wit::Nearby, IndexCallError> {
        let tenant = tenant(accessor);
        let limit = limit.min(MAX_LISTED) as usize;
        let near = list_near(&tenant, &repository, &key, kind.into(), limit);
        let (entries, uploads) = pin!(near).for_request(accessor, "index.list_near").await?;
        Ok(wit::Nearby {
            entries: entries.iter().map(Into::into).collect(),
            uploads: uploads.iter().map(Into::into).collect(),
        })
    }

    async fn list_departed(
        accessor: &Accessor<State, Self>,
        repository: String,
        key: String,
        kind: wit::MatchKind,
        limit: u32,
    ) -> Result<Vec<wit::Departed>, IndexCallError> {
        let tenant = tenant(accessor);
        let record = record(accessor);
        let departed = list_departed(&tenant, &repository, &key, kind.into(), limit.min(MAX_LISTED) as usize);
        let departed = pin!(departed).for_request(accessor, "index.list_departed").await?;
        if let Some(record) = record {
            record.set_ghosts(&departed);
        }
        Ok(departed.into_iter().map(Into::into).collect())
    }

    async fn reserve(
        accessor: &Accessor<State, Self>,
        slot: wit::Slot,
        owner: String,
        facts: wit::Facts,
        trust: types::Trust,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<wit::Reservation, IndexCallError> {
        let slot = validate_slot(slot)?;
        let owner = validate_owner(owner)?;
        let facts = validate_facts(&facts)?;
        let tenant = tenant(accessor);
        if tenant.capacity.as_ref().is_some_and(|capacity| capacity.is_hopeless(&slot, trust.into())) {
            return Err(wit::Error::NoSpace.into());
        }
        if let Some(claims) = claims(accessor) {
            tenant.names.record(&claims.repository, claims.facts.get("repository"), claims.issued_ms);
        }
        if let Some(record) = traced(accessor, &tenant) {
            record.note(|noted| noted.reserved(&slot, trust.into()));
        }
        let reserved = tenant.index.reserve(&slot, &owner, &facts, trust.into(), now_ms, idle_before_ms);
        let reserved = report_full_disk(&tenant, reserved);
        let reserved = pin!(unless_full(&tenant, reserved));
        let reserved = reserved.for_request(accessor, "index.reserve").await?;
        let found = reserved.ok_or(wit::Error::NoSpace)?;
        Ok(with_local_activity(&tenant, found).into())
    }

    async fn renew(
        accessor: &Accessor<State, Self>,
        upload_id: u64,
        created_ms: u64,
        now_ms: u64,
    ) -> Result<bool, IndexCallError> {
        let tenant = tenant(accessor);
        let renewed = report_full_disk(&tenant, tenant.index.renew(UploadId(upload_id), created_ms, now_ms));
        pin!(renewed).for_request(accessor, "index.renew").await
    }

    async fn get_upload(
        accessor: &Accessor<State, Self>,
        name: String,
    ) -> Result<Option<wit::Upload>, IndexCallError> {
        let Ok(name) = UploadName::parse(name) else { return Ok(None) };
        let tenant = tenant(accessor);
        let found = tenant.index.get_upload(&name).for_request(accessor, "index.get_upload").await?;
        if let (Some(capacity), Some(upload)) = (&tenant.capacity, &found) {
            capacity.note(upload);
        }
        Ok(found.as_ref().map(Into::into))
    }

    async fn get_upload_by_id(
        accessor: &Accessor<State, Self>,
        id: u64,
    ) -> Result<Option<wit::Upload>, IndexCallError> {
        let found = tenant(accessor)
            .index
            .get_upload_by_id(UploadId(id))
            .for_request(accessor, "index.get_upload_by_id")
            .await?;
        Ok(found.as_ref().map(Into::into))
    }

    async fn find_upload(
        accessor: &Accessor<State, Self>,
        slot: wit::Slot,
    ) -> Result<Option<wit::Upload>, IndexCallError> {
        let slot = validate_slot(slot)?;
        let found =
            tenant(accessor).index.find_upload(&slot).for_request(accessor, "index.find_upload").await?;
        Ok(found.as_ref().map(Into::into))
    }

    async fn attach(
        accessor: &Accessor<State, Self>,
        upload_id: u64,
        attachment: wit::Attachment,
        now_ms: u64,
    ) -> Result<wit::AttachOutcome, IndexCallError> {
        let attachment = validate_attachment(attachment)?;
        let tenant = tenant(accessor);
        let digest = tenant.digests.as_ref().and_then(|digests| digests.of(&attachment.object));
        let attached = tenant.index.attach(UploadId(upload_id), &attachment, digest.as_ref(), now_ms);
        Ok(pin!(report_full_disk(&tenant, attached)).for_request(accessor, "index.attach").await?.into())
    }

    async fn finalize(
        accessor: &Accessor<State, Self>,
        upload_id: u64,
        attachment: wit::Attachment,
        now_ms: u64,
    ) -> Result<Option<wit::Entry>, IndexCallError> {
        let attachment = validate_attachment(attachment)?;
        let tenant = tenant(accessor);
        let traced = traced(accessor, &tenant);
        let (durability, claims) = (tenant.durability.of_new_entry(), claims(accessor));
        let made = tenant.index.finalize(UploadId(upload_id), &attachment, &durability, now_ms);
        let made = pin!(report_full_disk(&tenant, made)).for_request(accessor, "index.finalize").await?;
        if let Some(entry) = &made {
            tenant.durability.entry_was_made();
            if let Some(record) = traced {
                record.note(|noted| noted.made(entry));
            }
            tenant.history.saved(entry, claims.as_ref().and_then(|claims| claims.facts.get("workflow")));
        }
        Ok(made.as_ref().map(Into::into))
    }

    async fn abandon(accessor: &Accessor<State, Self>, upload_id: u64) -> Result<bool, IndexCallError> {
        tenant(accessor).index.abandon(UploadId(upload_id)).for_request(accessor, "index.abandon").await
    }

    async fn touch(
        accessor: &Accessor<State, Self>,
        entry_id: u64,
        last_used_ms: u64,
        now_ms: u64,
    ) -> wasmtime::Result<bool> {
        let tenant = tenant(accessor);
        let used = pin!(tenant.usage.record_use(&*tenant.index, EntryId(entry_id), last_used_ms, now_ms));
        Ok(InRequest::new(used, scope(accessor), "index.touch").await)
    }

    async fn delete_entry(
        accessor: &Accessor<State, Self>,
        id: u64,
        cause: types::DepartureCause,
        now_ms: u64,
    ) -> Result<bool, IndexCallError> {
        let departure = Departure { cause: cause.into(), at_ms: now_ms };
        let tenant = tenant(accessor);
        let deleted = tenant.index.delete_entry(EntryId(id), &departure);
        deleted.for_request(accessor, "index.delete_entry").await
    }

    async fn note_refused(
        accessor: &Accessor<State, Self>,
        marks: Vec<String>,
        now_ms: u64,
    ) -> Result<(), IndexCallError> {
        validate_marks(&marks)?;
        let tenant = tenant(accessor);
        pin!(tenant.refusals.note(&tenant, marks, now_ms)).for_request(accessor, "index.note_refused").await
    }

    async fn was_refused(
        accessor: &Accessor<State, Self>,
        marks: Vec<String>,
    ) -> Result<bool, IndexCallError> {
        validate_marks(&marks)?;
        let tenant = tenant(accessor);
        pin!(tenant.refusals.is_noted(&tenant, &marks)).for_request(accessor, "index.was_refused").await
    }
}

/// Returns what is near a key: entries and uploads.
async fn list_near(
    tenant: &Tenant,
    repository: &str,
    key: &str,
    kind: MatchKind,
    limit: usize,
) -> Result<(Vec<Near>, Vec<Upload>), IndexError> {
    let entries = tenant.index.list_near(repository, key, kind, limit).await?;
    let uploads = tenant.index.uploads_near(repository, key, kind, limit).await?;
    Ok((entries, uploads))
}

/// Returns what was deleted with a key. An index that does not keep it has none.
async fn list_departed(
    tenant: &Tenant,
    repository: &str,
    key: &str,
    kind: MatchKind,
    limit: usize,
) -> Result<Vec<Departed>, IndexError> {
    match tenant.index.find_departed(repository, key, kind, limit).await {
        Err(IndexError::Unsupported(_)) => Ok(Vec::new()),
        departed => departed,
    }
}

fn validate_marks(marks: &[String]) -> wasmtime::Result<()> {
    let is_valid = marks.len() <= MAX_MARKS && marks.iter().all(|mark| (1..=255).contains(&mark.len()));
    wasmtime::ensure!(is_valid, "too many marks, or one that is empty or too long");
    Ok(())
}

/// Updates the activity of an upload under way with that at this server, which may not be written
/// yet.
fn with_local_activity(tenant: &Tenant, found: Reservation) -> Reservation {
    match found {
        Reservation::Upload(mut upload) => {
            let local_ms = tenant.usage.last_activity_ms(&upload.name).unwrap_or_default();
            upload.last_activity_ms = upload.last_activity_ms.max(local_ms);
            Reservation::Upload(upload)
        }
        Reservation::Reserved(_) | Reservation::Entry(_) => found,
    }
}

/// Reports a full disk to the janitor, which then sweeps.
async fn report_full_disk<T>(
    tenant: &Tenant,
    call: impl Future<Output = Result<T, IndexError>>,
) -> Result<T, IndexError> {
    let outcome = call.await;
    if matches!(outcome, Err(IndexError::NoSpace { .. })) {
        tenant.pressure.report();
    }
    outcome
}

/// Makes a reservation. Returns `None` if the storage is full, so that the client learns it before it
/// sends anything.
async fn unless_full(
    tenant: &Tenant,
    reserving: impl Future<Output = Result<Reservation, IndexError>>,
) -> Result<Option<Reservation>, IndexError> {
    let reserved = reserving.await?;
    if let Reservation::Reserved(upload) = &reserved
        && is_full(tenant).await
    {
        capacity::abandon_upload(tenant, &upload.name).await;
        tenant.pressure.report();
        return Ok(None);
    }
    Ok(Some(reserved))
}

async fn is_full(tenant: &Tenant) -> bool {
    // A storage that does not answer counts as not full.
    !tenant.storage.has_room().await.unwrap_or(true)
}

fn validate_probes(probes: Vec<wit::Probe>, skipped: usize) -> wasmtime::Result<Vec<Probe>> {
    wasmtime::ensure!(probes.len() <= MAX_PROBES && skipped <= MAX_PROBES, "too many probes or skipped ids");
    Ok(probes.into_iter().map(Into::into).collect())
}

fn validate_owner(owner: String) -> wasmtime::Result<String> {
    wasmtime::ensure!(owner.len() <= MAX_TEXT_BYTES, "the owner is too long");
    Ok(owner)
}

fn validate_facts(facts: &[(String, String)]) -> wasmtime::Result<Facts> {
    Ok(Facts::try_from(facts)?)
}

fn validate_slot(slot: wit::Slot) -> wasmtime::Result<Slot> {
    let parts = [&slot.repository, &slot.scope, &slot.version, &slot.key];
    wasmtime::ensure!(
        parts.iter().all(|part| part.len() <= MAX_TEXT_BYTES),
        "a part of the slot is too long"
    );
    let wit::Slot { repository, scope, version, key } = slot;
    Ok(Slot { repository, scope, version, key })
}

fn validate_attachment(attachment: wit::Attachment) -> wasmtime::Result<Attachment> {
    Ok(Attachment { object: object_name(attachment.object)?, size_bytes: attachment.size_bytes })
}
