//! The statements about history.

use sqlx::Connection as _;

use super::{
    MySql,
    statements::{Db, execute, fetch_all, fetch_optional},
};
use crate::{
    catalogue::{HOUR_MS, HistoryBatch, HistoryBy, HistoryQuery, HistoryRow, HistorySum},
    sql::{
        fault::Fault,
        history::{self, HistoryStatements},
        rows::{self, integer, limit},
    },
};

const NEW_WRITER: &str = "INSERT IGNORE INTO history_writers (tenant, writer, batch, added_ms) \
     VALUES (?, ?, 0, ?)";

const NEXT_BATCH: &str = "UPDATE history_writers SET batch = ?, added_ms = ? \
     WHERE tenant = ? AND writer = ? AND batch < ?";

const ADD: &str = "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON DUPLICATE KEY UPDATE \
     hits = hits + VALUES(hits), misses = misses + VALUES(misses), \
     stale = stale + VALUES(stale), served_bytes = served_bytes + VALUES(served_bytes), \
     saved_bytes = saved_bytes + VALUES(saved_bytes), \
     evicted_bytes = evicted_bytes + VALUES(evicted_bytes), \
     ghosts_10gb = ghosts_10gb + VALUES(ghosts_10gb), \
     ghosts_50gb = ghosts_50gb + VALUES(ghosts_50gb), \
     ghosts_100gb = ghosts_100gb + VALUES(ghosts_100gb)";

/// Sums by what is named. The repository, which may be null, is given twice.
macro_rules! sums {
    ($columns:literal, $group:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", CAST(SUM(hits) AS SIGNED), CAST(SUM(misses) AS SIGNED), CAST(SUM(stale) AS SIGNED), CAST(SUM(served_bytes) AS SIGNED), \
             CAST(SUM(saved_bytes) AS SIGNED), CAST(SUM(evicted_bytes) AS SIGNED), CAST(SUM(ghosts_10gb) AS SIGNED), \
             CAST(SUM(ghosts_50gb) AS SIGNED), CAST(SUM(ghosts_100gb) AS SIGNED) FROM history \
             WHERE tenant = ? AND hour >= ? AND kind = ? AND (? IS NULL OR repository = ?) GROUP BY ",
            $group,
            " ORDER BY ",
            $order,
            " LIMIT ?"
        )
    };
}

const BY_HOUR: &str = sums!("hour, '', ''", "hour", "hour DESC");

const BY_REPOSITORY: &str = sums!("0, repository, ''", "repository", "sum(hits) DESC, repository");

const BY_NAME: &str = sums!("0, repository, name", "repository, name", "sum(hits) DESC, repository, name");

/// The last parameter is the number of rows that stay.
const LAST_BEYOND: &str = "SELECT hour FROM history WHERE tenant = ? ORDER BY hour DESC LIMIT 1 OFFSET ?";

const TRIM: &str = "DELETE FROM history WHERE tenant = ? AND hour < ? ORDER BY hour LIMIT ?";

const TRIM_WRITERS: &str = "DELETE FROM history_writers WHERE tenant = ? AND added_ms < ?";

impl HistoryStatements for MySql {
    async fn add_history(db: &mut Db<'_>, batch: &HistoryBatch) -> Result<(), Fault> {
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let writer = batch.writer.as_bytes();
        let (number, at) = (integer(batch.number), integer(batch.at_ms));
        let new = sqlx::query(NEW_WRITER).bind(tenant).bind(writer).bind(at);
        execute(&mut transaction, new).await?;
        let next = sqlx::query(NEXT_BATCH).bind(number).bind(at).bind(tenant).bind(writer).bind(number);
        if execute(&mut transaction, next).await? == 0 {
            transaction.rollback().await?;
            return Ok(());
        }
        for HistoryRow { hour, repository, kind, name, counts } in &batch.rows {
            let mut add = sqlx::query(ADD)
                .bind(tenant)
                .bind(integer(*hour))
                .bind(kind.number())
                .bind(repository.as_bytes())
                .bind(name.as_bytes());
            for count in counts.columns() {
                add = add.bind(integer(count));
            }
            execute(&mut transaction, add).await?;
        }
        transaction.commit().await.map_err(Fault::Commit)
    }

    async fn sum_history(db: &mut Db<'_>, query: &HistoryQuery) -> Result<Vec<HistorySum>, Fault> {
        let text = match query.by {
            HistoryBy::Hour => BY_HOUR,
            HistoryBy::Repository => BY_REPOSITORY,
            HistoryBy::Name => BY_NAME,
        };
        let statement = db
            .query(text)
            .bind(integer(query.from_hour))
            .bind(query.kind.number())
            .bind(query.repository.as_ref().map(String::as_bytes))
            .bind(query.repository.as_ref().map(String::as_bytes))
            .bind(limit(query.limit));
        fetch_all(db.connection, statement, history::sum).await
    }

    async fn trim_history(
        db: &mut Db<'_>,
        before_hour: u64,
        most: usize,
        rows: usize,
    ) -> Result<usize, Fault> {
        let before_ms = integer(before_hour.saturating_mul(HOUR_MS));
        execute(db.connection, db.query(TRIM_WRITERS).bind(before_ms)).await?;
        let beyond = db.query(LAST_BEYOND).bind(limit(most));
        let beyond = fetch_optional(db.connection, beyond, |row| rows::number(row, 0)).await?;
        let before = integer(before_hour.max(beyond.unwrap_or_default()));
        let trimmed = execute(db.connection, db.query(TRIM).bind(before).bind(limit(rows))).await?;
        Ok(usize::try_from(trimmed).unwrap_or(usize::MAX))
    }
}
