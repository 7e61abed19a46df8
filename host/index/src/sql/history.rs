//! History, which differs from server to server in the texts of its statements.

use super::{
    execute::{Execute, Value},
    fault::Fault,
    rows::{self, Columns, integer, limit},
    tenant::TenantConnection,
};
use crate::catalogue::{
    HOUR_MS, HistoryBatch, HistoryBy, HistoryCounts, HistoryQuery, HistoryRow, HistorySum,
};

/// The statements of a driver. Each has the parameters that are named, in this order.
pub(super) trait HistoryTexts: Execute {
    /// Makes the row of a writer, if there is none: tenant, writer, time.
    const NEW_WRITER: &'static str;
    /// Moves a writer on, if the batch is new: batch, time, tenant, writer, batch.
    const NEXT_BATCH: &'static str;
    /// Adds to a row: tenant, hour, kind, repository, name, and the counts.
    const ADD: &'static str;
    /// Sums: tenant, first hour, kind, repository or null, the same, limit.
    const BY_HOUR: &'static str;
    /// As [`Self::BY_HOUR`].
    const BY_REPOSITORY: &'static str;
    /// As [`Self::BY_HOUR`].
    const BY_NAME: &'static str;
    /// The hour of the first row that is too many: tenant, number of rows that stay.
    const LAST_BEYOND: &'static str;
    /// Deletes rows: tenant, first hour that stays, limit.
    const TRIM: &'static str;
    /// Deletes rows of writers: tenant, first time that stays.
    const TRIM_WRITERS: &'static str;
}

/// Returns a batch with its rows in the order of their places, so that concurrent batches lock them in the same order.
pub(super) fn sorted(batch: &HistoryBatch) -> HistoryBatch {
    let mut batch = batch.clone();
    batch.rows.sort_by(|one, other| {
        let place = |row: &HistoryRow| (row.hour, row.kind);
        (place(one), &one.repository, &one.name).cmp(&(place(other), &other.repository, &other.name))
    });
    batch
}

/// See [`add_history`](crate::Catalogue::add_history).
pub(super) async fn add<D: HistoryTexts>(
    db: &mut TenantConnection<'_, D::Connection>,
    batch: &HistoryBatch,
) -> Result<(), Fault> {
    let (tenant, writer) = (Value::from(db.tenant()), Value::from(&*batch.writer));
    let (number, at) = (Value::from(integer(batch.number)), Value::from(integer(batch.at_ms)));
    let mut transaction = D::begin(db.connection).await?;
    D::execute(&mut transaction, D::NEW_WRITER, &[tenant, writer, at]).await?;
    let is_new =
        D::execute(&mut transaction, D::NEXT_BATCH, &[number, at, tenant, writer, number]).await? > 0;
    if !is_new {
        transaction.rollback().await?;
        return Ok(());
    }
    for HistoryRow { hour, repository, kind, name, counts } in &batch.rows {
        let place = [
            tenant,
            Value::from(integer(*hour)),
            Value::from(kind.number()),
            Value::from(&**repository),
            Value::from(&**name),
        ];
        let counts = counts.columns().into_iter().map(|count| Value::from(integer(count)));
        let values: Vec<Value<'_>> = place.into_iter().chain(counts).collect();
        D::execute(&mut transaction, D::ADD, &values).await?;
    }
    transaction.commit().await.map_err(Fault::Commit)
}

/// See [`sum_history`](crate::Catalogue::sum_history).
pub(super) async fn sums<D: HistoryTexts>(
    db: &mut TenantConnection<'_, D::Connection>,
    query: &HistoryQuery,
) -> Result<Vec<HistorySum>, Fault> {
    let text = match query.by {
        HistoryBy::Hour => D::BY_HOUR,
        HistoryBy::Repository => D::BY_REPOSITORY,
        HistoryBy::Name => D::BY_NAME,
    };
    let repository = Value::from(query.repository.as_ref().map(String::as_bytes));
    let values = [
        Value::from(db.tenant()),
        Value::from(integer(query.from_hour)),
        Value::from(query.kind.number()),
        repository,
        repository,
        Value::from(limit(query.limit)),
    ];
    D::fetch(db.connection, text, &values, sum).await
}

/// See [`trim_history`](crate::Catalogue::trim_history).
pub(super) async fn trim<D: HistoryTexts>(
    db: &mut TenantConnection<'_, D::Connection>,
    before_hour: u64,
    most: usize,
    rows: usize,
) -> Result<usize, Fault> {
    let tenant = Value::from(db.tenant());
    let before_ms = integer(before_hour.saturating_mul(HOUR_MS));
    D::execute(db.connection, D::TRIM_WRITERS, &[tenant, before_ms.into()]).await?;
    let beyond = [tenant, limit(most).into()];
    let beyond = D::fetch(db.connection, D::LAST_BEYOND, &beyond, |row| rows::number(row, 0)).await?;
    let before = integer(before_hour.max(beyond.first().copied().unwrap_or_default()));
    let trimmed = D::execute(db.connection, D::TRIM, &[tenant, before.into(), limit(rows).into()]).await?;
    Ok(usize::try_from(trimmed).unwrap_or(usize::MAX))
}

/// Reads a sum: hour, repository, name, and the columns of the counts.
fn sum(row: &impl Columns) -> sqlx::Result<HistorySum> {
    Ok(HistorySum {
        hour: rows::number(row, 0)?,
        repository: rows::text(row, 1)?,
        name: rows::text(row, 2)?,
        counts: HistoryCounts::of_columns(|column| rows::number(row, 3 + column))?,
    })
}
