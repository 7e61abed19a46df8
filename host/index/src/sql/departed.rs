//! The statements about the deletion of entries and those that were deleted, which differ from server to
//! server.

use super::{fault::Fault, pool::Driver, tenant::TenantConnection};
use crate::{Departed, Departure, EntryId, MatchKind};

/// The statements of a driver. They do what the methods of [`Index`](crate::Index) do, on one connection, for one
/// tenant. Keys are folded.
pub(super) trait DepartedStatements: Driver {
    /// Deletes an entry that was not used after `last_used_ms`, and records its departure. Returns
    /// whether it did.
    async fn delete_entry(
        db: &mut TenantConnection<'_, Self::Connection>,
        id: EntryId,
        last_used_ms: u64,
        departure: &Departure,
    ) -> Result<bool, Fault>;

    async fn find_departed(
        db: &mut TenantConnection<'_, Self::Connection>,
        repository: &str,
        key: &str,
        kind: MatchKind,
        limit: usize,
    ) -> Result<Vec<Departed>, Fault>;

    async fn trim_departed(
        db: &mut TenantConnection<'_, Self::Connection>,
        most: usize,
        limit: usize,
    ) -> Result<usize, Fault>;
}

/// The columns that [`rows::departed`](super::rows::departed) reads, as the list of a `SELECT`.
macro_rules! departed_columns {
    ($key:literal) => {
        concat!(
            "entry, repository, scope, version, ",
            $key,
            ", object, size_bytes, created_ms, used_ms, uses, trust, departed_ms, cause"
        )
    };
}

pub(super) use departed_columns;
