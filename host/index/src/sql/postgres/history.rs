//! The statements about history.

use sqlx::Connection as _;

use super::{
    Postgres,
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

const NEW_WRITER: &str = "INSERT INTO history_writers (tenant, writer, batch, added_ms) \
     VALUES ($1, $2, 0, $3) ON CONFLICT (tenant, writer) DO NOTHING";

const NEXT_BATCH: &str = "UPDATE history_writers SET batch = $3, added_ms = $4 \
     WHERE tenant = $1 AND writer = $2 AND batch < $3";

const ADD: &str = "INSERT INTO history VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
     ON CONFLICT (tenant, hour, kind, repository, name) DO UPDATE SET \
     hits = history.hits + excluded.hits, misses = history.misses + excluded.misses, \
     stale = history.stale + excluded.stale, served_bytes = history.served_bytes + excluded.served_bytes, \
     saved_bytes = history.saved_bytes + excluded.saved_bytes, \
     evicted_bytes = history.evicted_bytes + excluded.evicted_bytes, \
     ghosts_10gb = history.ghosts_10gb + excluded.ghosts_10gb, \
     ghosts_50gb = history.ghosts_50gb + excluded.ghosts_50gb, \
     ghosts_100gb = history.ghosts_100gb + excluded.ghosts_100gb";

/// Sums by what is named. `$4` is a repository or null, `$5` the limit.
macro_rules! sums {
    ($columns:literal, $group:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", sum(hits)::bigint, sum(misses)::bigint, sum(stale)::bigint, sum(served_bytes)::bigint, \
             sum(saved_bytes)::bigint, sum(evicted_bytes)::bigint, sum(ghosts_10gb)::bigint, \
             sum(ghosts_50gb)::bigint, sum(ghosts_100gb)::bigint FROM history \
             WHERE tenant = $1 AND hour >= $2 AND kind = $3 AND ($4::bytea IS NULL OR repository = $4) GROUP BY ",
            $group,
            " ORDER BY ",
            $order,
            " LIMIT $5"
        )
    };
}

const BY_HOUR: &str = sums!("hour, ''::bytea, ''::bytea", "hour", "hour DESC");

const BY_REPOSITORY: &str =
    sums!("0::bigint, repository, ''::bytea", "repository", "sum(hits) DESC, repository");

const BY_NAME: &str =
    sums!("0::bigint, repository, name", "repository, name", "sum(hits) DESC, repository, name");

/// `$2` is the number of rows that stay.
const LAST_BEYOND: &str = "SELECT hour FROM history WHERE tenant = $1 ORDER BY hour DESC LIMIT 1 OFFSET $2";

const TRIM: &str = "DELETE FROM history WHERE ctid IN ( \
     SELECT ctid FROM history WHERE tenant = $1 AND hour < $2 ORDER BY hour LIMIT $3)";

const TRIM_WRITERS: &str = "DELETE FROM history_writers WHERE tenant = $1 AND added_ms < $2";

impl HistoryStatements for Postgres {
    async fn add_history(db: &mut Db<'_>, batch: &HistoryBatch) -> Result<(), Fault> {
        let tenant = db.tenant();
        let mut transaction = db.connection.begin().await?;
        let writer = batch.writer.as_bytes();
        let (number, at) = (integer(batch.number), integer(batch.at_ms));
        let new = sqlx::query(NEW_WRITER).bind(tenant).bind(writer).bind(at);
        execute(&mut transaction, new).await?;
        let next = sqlx::query(NEXT_BATCH).bind(tenant).bind(writer).bind(number).bind(at);
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
