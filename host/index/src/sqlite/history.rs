//! The statements about history.

use rusqlite::{OptionalExtension as _, Row, ToSql, params};

use super::{
    rows::{self, integer},
    tenant::TenantConnection,
};
use crate::catalogue::{
    HOUR_MS, HistoryBatch, HistoryBy, HistoryCounts, HistoryQuery, HistoryRow, HistorySum,
};

const NEW_WRITER: &str = "INSERT INTO history_writers (tenant, writer, batch, added_ms) \
     VALUES (?1, ?2, 0, ?3) ON CONFLICT (tenant, writer) DO NOTHING";

const NEXT_BATCH: &str = "UPDATE history_writers SET batch = ?3, added_ms = ?4 \
     WHERE tenant = ?1 AND writer = ?2 AND batch < ?3";

const ADD: &str = "INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
     ON CONFLICT (tenant, hour, kind, repository, name) DO UPDATE SET \
     hits = hits + excluded.hits, misses = misses + excluded.misses, stale = stale + excluded.stale, \
     served_bytes = served_bytes + excluded.served_bytes, saved_bytes = saved_bytes + excluded.saved_bytes, \
     evicted_bytes = evicted_bytes + excluded.evicted_bytes, ghosts_10gb = ghosts_10gb + excluded.ghosts_10gb, \
     ghosts_50gb = ghosts_50gb + excluded.ghosts_50gb, ghosts_100gb = ghosts_100gb + excluded.ghosts_100gb";

/// Sums by what is named. `?4` is a repository or null, `?5` the limit.
macro_rules! sums {
    ($columns:literal, $group:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", sum(hits) AS hits, sum(misses), sum(stale), sum(served_bytes), sum(saved_bytes), sum(evicted_bytes), \
             sum(ghosts_10gb), sum(ghosts_50gb), sum(ghosts_100gb) FROM history \
             WHERE tenant = ?1 AND hour >= ?2 AND kind = ?3 AND (?4 IS NULL OR repository = ?4) GROUP BY ",
            $group,
            " ORDER BY ",
            $order,
            " LIMIT ?5"
        )
    };
}

pub(super) const BY_HOUR: &str = sums!("hour, x'', x''", "hour", "hour DESC");

pub(super) const BY_REPOSITORY: &str =
    sums!("0, repository, x''", "repository", "sum(hits) DESC, repository");

pub(super) const BY_NAME: &str =
    sums!("0, repository, name", "repository, name", "sum(hits) DESC, repository, name");

/// `?2` is the number of rows that stay.
pub(super) const LAST_BEYOND: &str =
    "SELECT hour FROM history WHERE tenant = ?1 ORDER BY hour DESC LIMIT 1 OFFSET ?2";

pub(super) const TRIM: &str = "DELETE FROM history WHERE (tenant, hour, kind, repository, name) IN ( \
     SELECT tenant, hour, kind, repository, name FROM history WHERE tenant = ?1 AND hour < ?2 \
     ORDER BY hour LIMIT ?3)";

const TRIM_WRITERS: &str = "DELETE FROM history_writers WHERE tenant = ?1 AND added_ms < ?2";

/// See [`crate::Catalogue::add_history`].
pub(super) fn add(conn: TenantConnection<'_>, batch: &HistoryBatch) -> rusqlite::Result<()> {
    let HistoryBatch { writer, number, at_ms, rows } = batch;
    conn.prepare(NEW_WRITER)?.execute(params![conn.tenant(), writer, integer(*at_ms)])?;
    let next = params![conn.tenant(), writer, integer(*number), integer(*at_ms)];
    if conn.prepare(NEXT_BATCH)?.execute(next)? == 0 {
        return Ok(());
    }
    let mut add = conn.prepare(ADD)?;
    for HistoryRow { hour, repository, kind, name, counts } in rows {
        let tenant = conn.tenant();
        let place = (integer(*hour), kind.number(), repository.as_bytes(), name.as_bytes());
        let mut values: Vec<&dyn ToSql> = vec![&tenant, &place.0, &place.1, &place.2, &place.3];
        let counts = counts.columns().map(integer);
        values.extend(counts.iter().map(|count| count as &dyn ToSql));
        add.execute(&*values)?;
    }
    Ok(())
}

/// See [`crate::Catalogue::sum_history`].
pub(super) fn sum(conn: TenantConnection<'_>, query: &HistoryQuery) -> rusqlite::Result<Vec<HistorySum>> {
    let text = match query.by {
        HistoryBy::Hour => BY_HOUR,
        HistoryBy::Repository => BY_REPOSITORY,
        HistoryBy::Name => BY_NAME,
    };
    let repository = query.repository.as_ref().map(String::as_bytes);
    let (from, kind, limit) = (integer(query.from_hour), query.kind.number(), rows::limit(query.limit));
    conn.prepare(text)?.query_map(params![conn.tenant(), from, kind, repository, limit], read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<HistorySum> {
    Ok(HistorySum {
        hour: rows::number(row, 0)?,
        repository: rows::text(row, 1)?,
        name: rows::text(row, 2)?,
        counts: HistoryCounts::of_columns(|column| rows::number(row, 3 + column))?,
    })
}

/// See [`crate::Catalogue::trim_history`].
pub(super) fn trim(
    conn: TenantConnection<'_>,
    before_hour: u64,
    most: usize,
    limit: usize,
) -> rusqlite::Result<usize> {
    let before_ms = integer(before_hour.saturating_mul(HOUR_MS));
    conn.prepare(TRIM_WRITERS)?.execute(params![conn.tenant(), before_ms])?;
    let mut beyond = conn.prepare(LAST_BEYOND)?;
    let beyond = beyond.query_one(params![conn.tenant(), rows::limit(most)], |row| row.get::<_, i64>(0));
    let before = integer(before_hour).max(beyond.optional()?.unwrap_or(i64::MIN));
    conn.prepare(TRIM)?.execute(params![conn.tenant(), before, rows::limit(limit)])
}
