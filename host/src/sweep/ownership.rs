//! Whether the objects in the storage are this index's, so that those to which it does not refer may go.
//!
//! An empty database beside a full storage refers to nothing: a volume that is not mounted, a typo in a path. So the storage
//! carries the identity of its index, and where it carries another one, nothing is removed for being an orphan before the operator
//! says so (`larder serve --adopt-storage`).

#[cfg(test)]
mod tests;

use super::SweepError;
use crate::{
    index::{EntryId, Index},
    storage::{Listed, ObjectName, Storage},
};

/// The name under which the index keeps its identity.
const IDENTITY: &str = "storage-identity";

/// An index without entries may have left so many objects behind, that could not be removed with their entries.
const FEW: usize = 16;

/// Whose the objects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This index's.
    Own,
    /// Another index's, or nobody knows whose.
    Foreign,
}

/// Says what an operator can do.
const CURE: &str = "the storage holds objects that this database knows nothing of: is it the right database, and is its volume mounted? \
     Nothing is removed from the storage for now. If it is meant to be so, start once with `larder serve --adopt-storage`";

impl Ownership {
    /// Finds out whose the objects are, and says it in the log where they are not this index's. Objects younger than
    /// `old_before_ms` prove nothing: their rows may be under way.
    ///
    /// # Errors
    /// When storage or index fail.
    pub async fn find_out(
        storage: &dyn Storage,
        index: &dyn Index,
        old_before_ms: u64,
    ) -> Result<Self, SweepError> {
        let own = identity_of(index).await?;
        let ownership = match storage.identity().await? {
            Some(carried) if carried == adopted_by(&own) => Self::Own,
            Some(carried) if carried != own => Self::Foreign,
            carried => {
                let judged = judge(storage, index, old_before_ms, carried.is_some()).await?;
                // What is found out once stays: the next entry of this index must not make all the others its orphans.
                match (judged, carried) {
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
            tracing::error!("{CURE}");
        }
        Ok(ownership)
    }

    /// Makes the objects this index's, on the operator's word.
    ///
    /// # Errors
    /// When storage or index fail.
    pub async fn adopt(storage: &dyn Storage, index: &dyn Index) -> Result<(), SweepError> {
        storage.set_identity(&adopted_by(&identity_of(index).await?), true).await?;
        tracing::warn!("the storage was adopted: objects that no entry names will be removed");
        Ok(())
    }
}

async fn identity_of(index: &dyn Index) -> Result<String, SweepError> {
    let fresh = uuid::Uuid::new_v4().simple().to_string();
    let kept = index.secret(IDENTITY, fresh.as_bytes()).await?;
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// What a storage carries that is the index's because the operator says so, whatever the objects look like.
fn adopted_by(own: &str) -> String {
    format!("{own}-adopted")
}

/// Tells by the objects whose they are. `is_marked`: the storage carries this index's identity.
async fn judge(
    storage: &dyn Storage,
    index: &dyn Index,
    old_before_ms: u64,
    is_marked: bool,
) -> Result<Ownership, SweepError> {
    let is_empty = index.list_entries(EntryId(0), 1).await?.is_empty();
    if is_marked && !is_empty {
        return Ok(Ownership::Own);
    }
    let old = some_old_objects(storage, old_before_ms).await?;
    let known = index.referenced_objects(&old).await?.len();
    let is_own = match is_marked {
        // All its entries may be gone, and their objects went with them.
        true => old.len() - known <= FEW,
        // The storage of a release that marked none: most of it is known, and all of it where it is new.
        false => known * 2 >= old.len(),
    };
    Ok(if is_own { Ownership::Own } else { Ownership::Foreign })
}

/// Returns a page of objects that are old enough to be orphans; none where there are none.
async fn some_old_objects(storage: &dyn Storage, old_before_ms: u64) -> Result<Vec<ObjectName>, SweepError> {
    let mut from = None;
    loop {
        let page = storage.list_objects(from.as_deref()).await?;
        let old = |item: Listed<ObjectName>| (item.modified_ms < old_before_ms).then_some(item.name);
        let found: Vec<ObjectName> = page.items.into_iter().filter_map(old).collect();
        from = page.next;
        if !found.is_empty() || from.is_none() {
            return Ok(found);
        }
    }
}
