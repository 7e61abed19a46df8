//! `larder:cache/storage`: objects and blocks. The bytes go from the request's body to the driver, and from the driver to the
//! socket, past the component.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::{
    bindings::larder::cache::{
        storage::{self as wit, Host, HostWithStore},
        types::ByteRange,
    },
    for_request::ForRequest,
    state::State,
    types::{Body, Incoming, Object},
};
use crate::{
    services::Services,
    storage::{BlockId, MAX_BLOCKS, ObjectName, Source, StagedBlock, StorageError, Stored, UploadName},
};

/// Longest time for which a URL of the storage itself is good: what a component can ask for is limited.
const MAX_PRESIGN_MS: u64 = 24 * 60 * 60 * 1000;

type Answer<T> = wasmtime::Result<Result<T, wit::Error>>;

impl Host for State {}

fn services(accessor: &Accessor<State, HasSelf<State>>) -> Arc<Services> {
    accessor.with(|mut access| access.get().services.clone())
}

impl HostWithStore<State> for HasSelf<State> {
    async fn stat(accessor: &Accessor<State, Self>, object: String) -> Answer<u64> {
        let object = object_name(object)?;
        Ok(services(accessor).storage.stat(&object).for_request(accessor).await)
    }

    async fn open(
        accessor: &Accessor<State, Self>,
        object: String,
        size_bytes: u64,
        range: Option<ByteRange>,
    ) -> Answer<Resource<Object>> {
        let object = object_name(object)?;
        let range = range.map(|r| r.start..r.end);
        let inside = range.as_ref().is_none_or(|r| r.start < r.end && r.end <= size_bytes);
        wasmtime::ensure!(inside, "the component opens a range outside of its object");
        match services(accessor).storage.open(&object, size_bytes, range).for_request(accessor).await {
            // A table without room costs this call, not the component.
            Ok(content) => Ok(accessor
                .with(|mut access| access.get().table.push(Object(content)))
                .map_err(|_| wit::Error::Unavailable("too many objects are open".to_owned()))),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn put(
        accessor: &Accessor<State, Self>,
        upload: String,
        request: Resource<Incoming>,
    ) -> Answer<wit::Stored> {
        let (Ok(upload), Some(source)) = (UploadName::parse(upload), take_source(accessor, &request)?) else {
            return Ok(Err(cannot_store()));
        };
        let services = services(accessor);
        let source = source.within(services.settings.max_entry_bytes).noting_activity(&services, &upload);
        let stored = giving_up(&services, &upload, services.storage.put(&upload, source));
        Ok(stored.for_request(accessor).await.map(Into::into))
    }

    async fn put_block(
        accessor: &Accessor<State, Self>,
        upload: String,
        block_id: String,
        request: Resource<Incoming>,
    ) -> Answer<u64> {
        let Ok(id) = BlockId::parse(block_id) else {
            return Ok(Err(wit::Error::Invalid("a block id has 1 to 256 bytes".into())));
        };
        let (Ok(upload), Some(source)) = (UploadName::parse(upload), take_source(accessor, &request)?) else {
            return Ok(Err(cannot_store()));
        };
        let services = services(accessor);
        let source = source.within(services.settings.max_entry_bytes).noting_activity(&services, &upload);
        let staged = giving_up(&services, &upload, services.storage.put_block(&upload, &id, source));
        Ok(staged.for_request(accessor).await)
    }

    async fn commit(
        accessor: &Accessor<State, Self>,
        upload: String,
        block_ids: Vec<String>,
    ) -> Answer<wit::Stored> {
        let Ok(upload) = UploadName::parse(upload) else { return Ok(Err(wit::Error::NotFound)) };
        if block_ids.len() > MAX_BLOCKS {
            return Ok(Err(wit::Error::Invalid(format!("more than {MAX_BLOCKS} blocks"))));
        }
        let ids: Result<Vec<BlockId>, _> = block_ids.into_iter().map(BlockId::parse).collect();
        let Ok(ids) = ids else {
            return Ok(Err(wit::Error::Invalid("a block id has 1 to 256 bytes".into())));
        };
        let services = services(accessor);
        services.recency.upload_active(&upload, services.clock.now_ms());
        let committed = giving_up(&services, &upload, services.storage.commit(&upload, &ids));
        Ok(committed.for_request(accessor).await.map(Into::into))
    }

    async fn blocks(accessor: &Accessor<State, Self>, upload: String) -> Answer<Vec<wit::Block>> {
        let Ok(upload) = UploadName::parse(upload) else { return Ok(Ok(Vec::new())) };
        let blocks = services(accessor).storage.blocks(&upload).for_request(accessor).await;
        Ok(blocks.map(|blocks| blocks.into_iter().map(Into::into).collect()))
    }

    async fn presign(
        accessor: &Accessor<State, Self>,
        object: String,
        size_bytes: u64,
        lifetime_ms: u64,
    ) -> Answer<Option<String>> {
        let object = object_name(object)?;
        let lifetime = Duration::from_millis(lifetime_ms.min(MAX_PRESIGN_MS));
        Ok(services(accessor).storage.presign(&object, size_bytes, lifetime).for_request(accessor).await)
    }

    async fn discard(accessor: &Accessor<State, Self>, upload: String) -> Answer<()> {
        let Ok(upload) = UploadName::parse(upload) else { return Ok(Ok(())) };
        Ok(services(accessor).storage.discard(&upload).for_request(accessor).await)
    }

    async fn remove(accessor: &Accessor<State, Self>, object: String) -> Answer<()> {
        let object = object_name(object)?;
        Ok(services(accessor).storage.remove(&object).for_request(accessor).await)
    }
}

/// Gives an upload up of which a part does not fit: what there is of it would be in the way of others until a sweep.
async fn giving_up<T>(
    services: &Services,
    upload: &UploadName,
    call: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    let outcome = call.await;
    if matches!(outcome, Err(StorageError::NoSpace)) {
        services.pressure.give_up(&*services.storage, &*services.index, upload).await;
    }
    outcome
}

/// Checks a name that a component says is an object's. A name that cannot be one is a fault of the component.
pub(super) fn object_name(text: String) -> wasmtime::Result<ObjectName> {
    Ok(ObjectName::parse(text)?)
}

fn cannot_store() -> wit::Error {
    wit::Error::Invalid("no such upload, or the body was used before".into())
}

/// Takes the request's body as something to store; `None` where it was taken before.
fn take_source(
    accessor: &Accessor<State, HasSelf<State>>,
    request: &Resource<Incoming>,
) -> wasmtime::Result<Option<Source>> {
    let body = accessor
        .with(|mut access| Ok::<_, wasmtime::Error>(access.get().table.get_mut(request)?.take_body()))?;
    Ok(match body {
        Body::Unread(body) => Some(body.into_source()),
        Body::Taken => None,
    })
}

impl Source {
    /// Lets the sweep know, as the bytes come, that the upload is alive; and whoever wants its slot, from now on.
    fn noting_activity(self, services: &Arc<Services>, upload: &UploadName) -> Self {
        let (services, upload) = (services.clone(), upload.clone());
        services.recency.upload_active(&upload, services.clock.now_ms());
        let chunks =
            self.chunks.inspect(move |_| services.recency.upload_active(&upload, services.clock.now_ms()));
        Self { length: self.length, chunks: chunks.boxed() }
    }
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

/// The answer to a component that gives an upload's name which cannot be one.
impl From<crate::storage::InvalidName> for StorageError {
    fn from(error: crate::storage::InvalidName) -> Self {
        Self::Invalid(error.to_string())
    }
}
