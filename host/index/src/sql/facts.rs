//! The statements about facts, uses and names of repositories, which differ from server to server.

use super::{
    fault::Fault,
    pool::Driver,
    rows::{self, Columns},
    tenant::TenantConnection,
};
use crate::{EntryDetails, EntryId, EntryUses, Facts, RepositoryName, UploadId};

/// The statements of a driver. They do what the methods of [`Index`](crate::Index) do, on one connection, for one
/// tenant. Lists are sorted, and have each id or repository once.
pub(super) trait FactStatements: Driver {
    /// Returns the details in any order.
    async fn entry_details(
        db: &mut TenantConnection<'_, Self::Connection>,
        ids: &[EntryId],
    ) -> Result<Vec<EntryDetails>, Fault>;

    async fn upload_facts(
        db: &mut TenantConnection<'_, Self::Connection>,
        id: UploadId,
    ) -> Result<Option<Facts>, Fault>;

    async fn touch_entries(
        db: &mut TenantConnection<'_, Self::Connection>,
        uses: &[EntryUses],
    ) -> Result<(), Fault>;

    async fn name_repositories(
        db: &mut TenantConnection<'_, Self::Connection>,
        names: &[RepositoryName],
        most: usize,
    ) -> Result<(), Fault>;

    async fn repository_name(
        db: &mut TenantConnection<'_, Self::Connection>,
        repository: &str,
    ) -> Result<Option<String>, Fault>;

    async fn find_repositories(
        db: &mut TenantConnection<'_, Self::Connection>,
        name: &str,
    ) -> Result<Vec<String>, Fault>;
}

/// Returns the facts as a column value.
pub(super) fn column(facts: &Facts) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(facts)
}

/// Reads facts, or `None` from a null.
pub(super) fn facts(row: &impl Columns, column: usize) -> sqlx::Result<Option<Facts>> {
    let Some(json) = row.bytes(column)? else { return Ok(None) };
    serde_json::from_slice(&json).map(Some).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Reads details from the first columns: id, object, and those of `detail_columns!`.
pub(super) fn details(row: &impl Columns) -> sqlx::Result<EntryDetails> {
    details_at(row, 1, 2)
}

/// Reads details from the first column, the id, that of the object, and those from `first` on, which are those
/// of `detail_columns!`.
pub(super) fn details_at(row: &impl Columns, object: usize, first: usize) -> sqlx::Result<EntryDetails> {
    Ok(EntryDetails {
        id: EntryId(rows::number(row, 0)?),
        uses: rows::optional_number(row, first)?,
        facts: facts(row, first + 1)?,
        trust: rows::trust(row, first + 2)?,
        quarantined_ms: rows::optional_number(row, first + 3)?,
        digest: rows::digest(row, object, first + 4)?,
    })
}
