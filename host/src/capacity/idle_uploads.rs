//! Uploads that are idle, such as those that a crash has interrupted: they go before any entry does.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use larder_common::causes::chain;
use larder_index::{IndexError, Slot, Upload, UploadId};

use super::removal::{discard_upload, remove_object};
use crate::{retention::RoomBound, tenant::Tenant};

/// Uploads that are read at once.
const PAGE: usize = 250;
/// Shortest time between two looks at the same area. The uploads of a scope are found by an index of
/// the database; for a wider area all of the tenant are read.
const BETWEEN: Duration = Duration::from_secs(5);
/// Above so many areas, those that were looked at long ago are forgotten.
const MANY: usize = 1_000;

/// When areas were looked at.
#[derive(Debug, Default)]
pub(super) struct IdleUploads {
    looked: RefCell<HashMap<RoomBound, Instant>>,
}

impl IdleUploads {
    /// Abandons uploads in the area that is full that are idle for so long that they would yield to
    /// another save of their key. Returns whether there were any. Saves that follow upon each other do
    /// not look again.
    ///
    /// # Errors
    /// When the index fails.
    pub(super) async fn drop_in(&self, tenant: &Arc<Tenant>, bound: &RoomBound) -> Result<bool, IndexError> {
        if !self.is_due(bound, Instant::now()) {
            return Ok(false);
        }
        let (mut after, mut any) = (UploadId(0), false);
        let idle_before_ms = tenant.clock.now_ms().saturating_sub(tenant.settings.idle_upload_ms);
        loop {
            let page = page(tenant, bound, after).await?;
            let Some(last) = page.last() else { return Ok(any) };
            after = last.id;
            for upload in page.iter().filter(|upload| is_within(&upload.slot, bound)) {
                let is_idle = upload.last_activity_ms < idle_before_ms
                    && tenant.usage.last_activity_ms(&upload.name).is_none();
                if is_idle && tenant.index.abandon_idle(upload.id, upload.last_activity_ms + 1).await? {
                    tracing::info!(
                        upload = upload.id.0,
                        key = upload.slot.key,
                        "idle upload deleted to make room"
                    );
                    any |= abandoned(tenant, upload).await;
                }
            }
        }
    }

    /// Returns whether an area is to be looked at now, and records that it was.
    fn is_due(&self, bound: &RoomBound, now: Instant) -> bool {
        if matches!(bound, RoomBound::Scope { .. }) {
            return true;
        }
        let mut looked = self.looked.borrow_mut();
        let is_recent = |at: &Instant| now.duration_since(*at) < BETWEEN;
        if looked.get(bound).is_some_and(is_recent) {
            return false;
        }
        if looked.len() >= MANY {
            looked.retain(|_, at| is_recent(at));
        }
        looked.insert(bound.clone(), now);
        true
    }
}

/// Returns a page of uploads among which are those of the area.
async fn page(tenant: &Tenant, bound: &RoomBound, after: UploadId) -> Result<Vec<Upload>, IndexError> {
    let RoomBound::Scope { repository, scope } = bound else {
        return tenant.index.list_uploads(after, PAGE).await;
    };
    match tenant.index.uploads_in_scope(repository, scope, after, PAGE).await {
        // The sweep finds them.
        Err(IndexError::Unsupported(_)) => Ok(Vec::new()),
        page => page,
    }
}

/// Removes what an abandoned upload has stored. Returns whether that succeeded.
async fn abandoned(tenant: &Tenant, upload: &Upload) -> bool {
    let removed = async {
        if let Some(attachment) = &upload.attachment {
            remove_object(tenant, &attachment.object).await?;
        }
        discard_upload(tenant, &upload.name).await
    };
    match removed.await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "cannot delete what an idle upload has stored; the cleaner tries again"
            );
            false
        }
    }
}

fn is_within(slot: &Slot, bound: &RoomBound) -> bool {
    match bound {
        RoomBound::Scope { repository, scope } => slot.repository == *repository && slot.scope == *scope,
        RoomBound::Repository(repository) => slot.repository == *repository,
        RoomBound::Tenant | RoomBound::Server => true,
    }
}

#[cfg(test)]
mod tests;
