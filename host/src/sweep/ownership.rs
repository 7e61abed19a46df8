//! Whether the storage belongs to this index, so that unreferenced objects may be removed as
//! orphans.
//!
//! An empty database beside a full storage refers to nothing: a volume is not mounted, or a path is
//! misspelt. So the storage carries the identity of its index. While it carries another one,
//! orphans are kept, until the operator runs `larder serve --adopt-storage`.

#[cfg(test)]
mod tests;

use larder_index::{EntryId, Index};
use larder_storage::{ObjectName, Storage};

use super::{Ages, SweepError};

/// The name of the index's identity among its secrets.
const IDENTITY: &str = "storage-identity";

/// Most objects that an index without entries may have left behind, because they could not be
/// removed with their entries.
const MAX_LEFTOVERS: usize = 16;

/// Which index the storage belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// To this index.
    Own,
    /// To another index, or to an unknown one.
    Foreign,
}

/// The log line for a foreign storage, with the remedy.
const FOREIGN_STORAGE: &str = "the storage holds objects that this database does not refer to: is it the right database, and is its volume mounted? \
     Nothing is removed from the storage for now. If this is intended, start once with `larder serve --adopt-storage`";

impl Ownership {
    /// Determines which index the storage belongs to, and logs an error if it is not this one.
    /// Ignores young objects: their rows may not be written yet.
    ///
    /// # Errors
    /// When storage or index fail.
    pub(crate) async fn determine(
        storage: &dyn Storage,
        index: &dyn Index,
        ages: Ages,
    ) -> Result<Self, SweepError> {
        let own = identity_of(index).await?;
        let ownership = match storage.identity().await? {
            Some(carried) if carried == adopted_by(&own) => Self::Own,
            Some(carried) if carried != own => Self::Foreign,
            carried => {
                let inferred = infer(storage, index, ages, carried.is_some()).await?;
                // The result is stored: the next entry of this index must not turn all other
                // objects into orphans.
                match (inferred, carried) {
                    (Self::Own, Some(_)) => Self::Own,
                    (Self::Own, None) if storage.set_identity(&own, false).await? == own => Self::Own,
                    (Self::Own, None) => Self::Foreign,
                    (Self::Foreign, _) => {
                        storage.set_identity(&format!("not-{own}"), true).await?;
                        Self::Foreign
                    }
                }
            }
        };
        if ownership == Self::Foreign {
            tracing::error!("{FOREIGN_STORAGE}");
        }
        Ok(ownership)
    }

    /// Returns whether the storage carries the identity of another index.
    ///
    /// # Errors
    /// When storage or index fail.
    pub(super) async fn is_anothers(storage: &dyn Storage, index: &dyn Index) -> Result<bool, SweepError> {
        let own = identity_of(index).await?;
        let carried = storage.identity().await?;
        Ok(carried.is_some_and(|carried| carried != own && carried != adopted_by(&own)))
    }

    /// Assigns the storage to this index, at the operator's command.
    ///
    /// # Errors
    /// When storage or index fail.
    pub(crate) async fn adopt(storage: &dyn Storage, index: &dyn Index) -> Result<(), SweepError> {
        storage.set_identity(&adopted_by(&identity_of(index).await?), true).await?;
        tracing::warn!("the storage was adopted: objects that no entry refers to will be removed");
        Ok(())
    }
}

async fn identity_of(index: &dyn Index) -> Result<String, SweepError> {
    let fresh = uuid::Uuid::new_v4().simple().to_string();
    let kept = index.secret(IDENTITY, fresh.as_bytes()).await?;
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// Returns the identity of a storage that the operator assigned to the index, whatever its objects.
fn adopted_by(own: &str) -> String {
    format!("{own}-adopted")
}

/// Infers from the objects which index they belong to. `is_marked`: the storage carries this
/// index's identity.
async fn infer(
    storage: &dyn Storage,
    index: &dyn Index,
    ages: Ages,
    is_marked: bool,
) -> Result<Ownership, SweepError> {
    let is_empty = index.list_entries(EntryId(0), 1).await?.is_empty();
    if is_marked && !is_empty {
        return Ok(Ownership::Own);
    }
    let old = page_of_old_objects(storage, ages).await?;
    let known = index.referenced_objects(&old).await?.len();
    let is_own = match is_marked {
        // All entries may have been deleted, and their objects with them.
        true => old.len() - known <= MAX_LEFTOVERS,
        // The storage of a release without identities: at least half of its objects are known; of a
        // new one all.
        false => known * 2 >= old.len(),
    };
    Ok(if is_own { Ownership::Own } else { Ownership::Foreign })
}

/// Returns the first page with objects that are not young; empty if there are none. One of unknown age
/// counts, else a storage that was filled by a wrong clock would seem to be new.
async fn page_of_old_objects(storage: &dyn Storage, ages: Ages) -> Result<Vec<ObjectName>, SweepError> {
    let mut from = None;
    loop {
        let page = storage.list_objects(from.as_deref()).await?;
        let found: Vec<ObjectName> = ages.not_young(page.items).into_iter().map(|(name, _)| name).collect();
        from = page.next;
        if !found.is_empty() || from.is_none() {
            return Ok(found);
        }
    }
}
