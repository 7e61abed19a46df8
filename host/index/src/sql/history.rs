//! The statements about history, which differ from server to server.

use super::{
    fault::Fault,
    pool::Driver,
    rows::{self, Columns},
    tenant::TenantConnection,
};
use crate::catalogue::{HistoryBatch, HistoryCounts, HistoryQuery, HistorySum};

/// The statements of a driver. They do what the methods of [`Catalogue`](crate::Catalogue) do, on one connection, for
/// one tenant.
pub(super) trait HistoryStatements: Driver {
    /// The rows are sorted, so that concurrent batches lock them in the same order.
    async fn add_history(
        db: &mut TenantConnection<'_, Self::Connection>,
        batch: &HistoryBatch,
    ) -> Result<(), Fault>;

    async fn sum_history(
        db: &mut TenantConnection<'_, Self::Connection>,
        query: &HistoryQuery,
    ) -> Result<Vec<HistorySum>, Fault>;

    async fn trim_history(
        db: &mut TenantConnection<'_, Self::Connection>,
        before_hour: u64,
        most: usize,
        limit: usize,
    ) -> Result<usize, Fault>;
}

/// Returns a batch with its rows in the order of their places.
pub(super) fn sorted(batch: &HistoryBatch) -> HistoryBatch {
    let mut batch = batch.clone();
    batch.rows.sort_by(|one, other| {
        let place = |row: &crate::catalogue::HistoryRow| (row.hour, row.kind);
        (place(one), &one.repository, &one.name).cmp(&(place(other), &other.repository, &other.name))
    });
    batch
}

/// Reads a sum: hour, repository, name, and the columns of the counts.
pub(super) fn sum(row: &impl Columns) -> sqlx::Result<HistorySum> {
    Ok(HistorySum {
        hour: rows::number(row, 0)?,
        repository: rows::text(row, 1)?,
        name: rows::text(row, 2)?,
        counts: HistoryCounts::of_columns(|column| rows::number(row, 3 + column))?,
    })
}
