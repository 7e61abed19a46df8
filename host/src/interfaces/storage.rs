//! `larder:cache/storage`: objects and blocks. The bytes go from the request's body to the driver,
//! and from the driver to the socket, without entering the component.

use std::{ops::Range, pin::pin, time::Duration};

use larder_storage::{
    BlockId, MAX_BLOCKS, ObjectName, Source, StagedBlock, StorageError, Stored, UploadName,
};
use wasmtime::component::{Accessor, HasSelf, Resource, ResourceTableError};

use super::{
    bindings::larder::cache::{
        storage::{self as wit, Host, HostWithStore},
        types::ByteRange,
    },
    errors::StorageCallError,
    for_request::{ForRequest, record},
    state::{State, tenant},
    types::{Body, IncomingRequest, Object},
};
use crate::{
    capacity::{abandon_upload, admitted, discard_upload, remove_object, reserve_room},
    tenant::Tenant,
};

/// Longest lifetime of a direct URL.
const MAX_PRESIGN_MS: u64 = 24 * 60 * 60 * 1000;

impl Host for State {
    fn convert_error(&mut self, error: StorageCallError) -> wasmtime::Result<wit::Error> {
        error.into_world()
    }
}

impl HostWithStore<State> for HasSelf<State> {
    async fn stat(accessor: &Accessor<State, Self>, object: String) -> Result<u64, StorageCallError> {
        let object = object_name(object)?;
        tenant(accessor).storage.stat(&object).for_request(accessor, "storage.stat").await
    }

    async fn open(
        accessor: &Accessor<State, Self>,
        object: String,
        size_bytes: u64,
        range: Option<ByteRange>,
    ) -> Result<Resource<Object>, StorageCallError> {
        let object = object_name(object)?;
        let range = range.map(|range| validate_range(range, size_bytes)).transpose()?;
        let content = tenant(accessor)
            .storage
            .open(&object, size_bytes, range)
            .for_request(accessor, "storage.open")
            .await?;
        // A full table fails this call, not the instance.
        accessor
            .with(|mut access| access.get().table.push(Object(content)))
            .map_err(|_| wit::Error::Unavailable("too many objects are open".to_owned()).into())
    }

    async fn put(
        accessor: &Accessor<State, Self>,
        upload: String,
        request: Resource<IncomingRequest>,
    ) -> Result<wit::Stored, StorageCallError> {
        let tenant = tenant(accessor);
        let (upload, source) = upload_and_source(accessor, &tenant, upload, &request)?;
        let put = admitted(&tenant, &upload, source, |source| {
            tenant.storage.put(&upload, recording(&tenant, source))
        });
        let stored = abandon_if_full(&tenant, &upload, put);
        let stored = pin!(stored).for_request(accessor, "storage.put").await?;
        note_digest(&tenant, &stored);
        Ok(stored.into())
    }

    async fn reserve_room(
        accessor: &Accessor<State, Self>,
        upload: String,
        size_bytes: u64,
    ) -> Result<(), StorageCallError> {
        let Ok(upload) = UploadName::parse(upload) else { return Err(wit::Error::NotFound.into()) };
        let tenant = tenant(accessor);
        let reserved = abandon_if_full(&tenant, &upload, reserve_room(&tenant, &upload, size_bytes));
        pin!(reserved).for_request(accessor, "storage.reserve_room").await
    }

    async fn put_block(
        accessor: &Accessor<State, Self>,
        upload: String,
        block_id: String,
        request: Resource<IncomingRequest>,
    ) -> Result<u64, StorageCallError> {
        let id = parse_block_id(block_id)?;
        let tenant = tenant(accessor);
        let (upload, source) = upload_and_source(accessor, &tenant, upload, &request)?;
        let put = admitted(&tenant, &upload, source, |source| {
            tenant.storage.put_block(&upload, &id, recording(&tenant, source))
        });
        let staged = abandon_if_full(&tenant, &upload, put);
        pin!(staged).for_request(accessor, "storage.put_block").await
    }

    async fn commit(
        accessor: &Accessor<State, Self>,
        upload: String,
        block_ids: Vec<String>,
    ) -> Result<wit::Stored, StorageCallError> {
        let Ok(upload) = UploadName::parse(upload) else { return Err(wit::Error::NotFound.into()) };
        if block_ids.len() > MAX_BLOCKS {
            return Err(wit::Error::Invalid(format!("more than {MAX_BLOCKS} blocks")).into());
        }
        let ids = block_ids.into_iter().map(parse_block_id).collect::<Result<Vec<_>, _>>()?;
        let tenant = tenant(accessor);
        tenant.usage.record_activity(&upload, tenant.clock.now_ms());
        let committed = abandon_if_full(&tenant, &upload, tenant.storage.commit(&upload, &ids));
        let stored = pin!(committed).for_request(accessor, "storage.commit").await?;
        note_digest(&tenant, &stored);
        Ok(stored.into())
    }

    async fn blocks(
        accessor: &Accessor<State, Self>,
        upload: String,
    ) -> Result<Vec<wit::Block>, StorageCallError> {
        let Ok(upload) = UploadName::parse(upload) else { return Ok(Vec::new()) };
        let blocks = tenant(accessor).storage.blocks(&upload).for_request(accessor, "storage.blocks").await?;
        Ok(blocks.into_iter().map(Into::into).collect())
    }

    async fn presign(
        accessor: &Accessor<State, Self>,
        object: String,
        size_bytes: u64,
        lifetime_ms: u64,
    ) -> Result<Option<String>, StorageCallError> {
        let object = object_name(object)?;
        let lifetime = Duration::from_millis(lifetime_ms.min(MAX_PRESIGN_MS));
        let (tenant, record) = (tenant(accessor), record(accessor));
        let presigned = tenant.storage.presign(&object, size_bytes, lifetime);
        let url = presigned.for_request(accessor, "storage.presign").await?;
        if let Some(record) = record.filter(|_| url.is_some()) {
            record.sent_directly(size_bytes);
        }
        Ok(url)
    }

    async fn discard(accessor: &Accessor<State, Self>, upload: String) -> Result<(), StorageCallError> {
        let Ok(upload) = UploadName::parse(upload) else { return Ok(()) };
        let tenant = tenant(accessor);
        pin!(discard_upload(&tenant, &upload)).for_request(accessor, "storage.discard").await
    }

    async fn remove(accessor: &Accessor<State, Self>, object: String) -> Result<(), StorageCallError> {
        let object = object_name(object)?;
        let tenant = tenant(accessor);
        pin!(remove_object(&tenant, &object)).for_request(accessor, "storage.remove").await
    }
}

/// Abandons the upload if its content does not fit: it would take space until a sweep.
async fn abandon_if_full<T>(
    tenant: &Tenant,
    upload: &UploadName,
    call: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    let outcome = call.await;
    if matches!(outcome, Err(StorageError::NoSpace)) {
        let is_refused = tenant.capacity.as_ref().is_some_and(|capacity| capacity.was_refused(upload));
        abandon_upload(tenant, upload).await;
        if !is_refused {
            tenant.pressure.report();
        }
    }
    outcome
}

/// Has the digest of a body computed while it is stored, where digests are recorded.
fn recording(tenant: &Tenant, source: Source) -> Source {
    if tenant.digests.is_some() { source.recording_digest() } else { source }
}

/// Remembers what is known of an object, until it is attached.
fn note_digest(tenant: &Tenant, stored: &Stored) {
    if let Some(digests) = &tenant.digests {
        digests.note(stored);
    }
}

/// Parses an object name of the component. An invalid one is a fault.
pub(super) fn object_name(text: String) -> wasmtime::Result<ObjectName> {
    Ok(ObjectName::parse(text)?)
}

fn parse_block_id(text: String) -> Result<BlockId, wit::Error> {
    BlockId::parse(text).map_err(|_| wit::Error::Invalid("a block id has 1 to 256 bytes".to_owned()))
}

fn validate_range(range: ByteRange, size_bytes: u64) -> wasmtime::Result<Range<u64>> {
    let inside = range.start < range.end && range.end <= size_bytes;
    wasmtime::ensure!(inside, "the component opens a range outside of its object");
    Ok(range.start..range.end)
}

/// Takes the request's body as the source of content for an upload. Its length is limited to that
/// of an entry, and its bytes count as activity of the upload.
fn upload_and_source(
    accessor: &Accessor<State, HasSelf<State>>,
    tenant: &Tenant,
    upload: String,
    request: &Resource<IncomingRequest>,
) -> Result<(UploadName, Source), StorageCallError> {
    let body = accessor
        .with(|mut access| Ok::<_, ResourceTableError>(access.get().table.get_mut(request)?.take_body()))?;
    let (Ok(upload), Body::Unread(body)) = (UploadName::parse(upload), body) else {
        return Err(
            wit::Error::Invalid("no such upload, or the body has been taken already".to_owned()).into()
        );
    };
    let source = body.into_source().within(tenant.settings.max_entry_bytes);
    let source = tenant.usage.track_body(&upload, source, &tenant.clock);
    Ok((upload, source))
}

impl From<StagedBlock> for wit::Block {
    fn from(block: StagedBlock) -> Self {
        Self { id: block.id.to_string(), size_bytes: block.size_bytes }
    }
}

impl From<Stored> for wit::Stored {
    fn from(stored: Stored) -> Self {
        Self { object: stored.object.to_string(), size_bytes: stored.size_bytes }
    }
}
