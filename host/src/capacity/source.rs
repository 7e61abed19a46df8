//! Bodies that take room while they are read.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, future, stream, stream::BoxStream};
use larder_storage::{Source, SourceError, StorageError, UploadName};

use super::{Capacity, leases::Lease};
use crate::tenant::Tenant;

/// Cuts a body off once its upload has ended, or room for another part of it was refused.
pub(super) fn unless_ended(body: Source, lease: &Arc<Lease>) -> Source {
    let lease = lease.clone();
    let chunks = body.chunks.map(move |chunk| if lease.is_over() { Err(SourceError::NoRoom) } else { chunk });
    // After the first error nothing more is read.
    let chunks = chunks.scan(false, |over, chunk| {
        let next = (!*over).then_some(chunk);
        *over = next.as_ref().is_some_and(Result::is_err);
        future::ready(next)
    });
    Source::new(body.length, chunks.boxed())
}

/// A body of unknown length, which takes room in steps.
struct Metered {
    tenant: Arc<Tenant>,
    capacity: Arc<Capacity>,
    upload: UploadName,
    lease: Arc<Lease>,
    chunks: BoxStream<'static, Result<Bytes, SourceError>>,
    /// Taken, and not read yet.
    budget: u64,
}

impl Metered {
    async fn next(&mut self) -> Option<Result<Bytes, SourceError>> {
        let chunk = match self.chunks.next().await? {
            Ok(chunk) => chunk,
            Err(error) => return Some(Err(error)),
        };
        let length = chunk.len() as u64;
        if self.lease.is_over() {
            self.drain().await;
            return Some(Err(SourceError::NoRoom));
        }
        if self.budget < length {
            let more = LEAST_BODY_STEP.max(length - self.budget);
            match self.capacity.take(&self.tenant, &self.upload, &self.lease, more).await {
                Ok(()) => self.budget += more,
                Err(StorageError::NoSpace | StorageError::NotFound) => {
                    self.drain().await;
                    return Some(Err(SourceError::NoRoom));
                }
                Err(error) => {
                    tracing::warn!(
                        error = larder_common::causes::chain(&error),
                        "cannot reserve room for a body"
                    );
                    return Some(Err(SourceError::CutShort));
                }
            }
        }
        self.budget -= length;
        Some(Ok(chunk))
    }

    /// Reads on, and keeps nothing: the process of `@actions/cache` 3 ends with an error if a chunk is
    /// refused that it has not sent completely.
    async fn drain(&mut self) {
        let mut left = MOST_DRAINED;
        while left > 0
            && let Some(Ok(chunk)) = self.chunks.next().await
        {
            left = left.saturating_sub(chunk.len() as u64);
        }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.lease.give_back(self.budget);
    }
}

/// Most that is read of a body for which there is no room: twice a chunk of that client.
const MOST_DRAINED: u64 = 64 << 20;
/// What a body of unknown length takes of its upload's lease at once.
const LEAST_BODY_STEP: u64 = 1 << 20;

pub(super) fn metered(
    tenant: &Arc<Tenant>,
    capacity: &Arc<Capacity>,
    upload: &UploadName,
    lease: &Arc<Lease>,
    body: Source,
) -> Source {
    let state = Metered {
        tenant: tenant.clone(),
        capacity: capacity.clone(),
        upload: upload.clone(),
        lease: lease.clone(),
        chunks: body.chunks,
        budget: 0,
    };
    let chunks = stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        let next = state.next().await?;
        let state = next.is_ok().then_some(state);
        Some((next, state))
    });
    Source::new(None, chunks.boxed())
}
