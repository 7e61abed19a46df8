//! The statements about history.

use super::Postgres;
use crate::sql::history::HistoryTexts;

/// Sums by what is named.
macro_rules! sums {
    ($columns:literal, $group:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", sum(hits)::bigint, sum(misses)::bigint, sum(stale)::bigint, sum(served_bytes)::bigint, \
             sum(saved_bytes)::bigint, sum(evicted_bytes)::bigint, sum(ghosts_10gb)::bigint, \
             sum(ghosts_50gb)::bigint, sum(ghosts_100gb)::bigint FROM history \
             WHERE tenant = $1 AND hour >= $2 AND kind = $3 AND ($4::bytea IS NULL OR repository = $5) GROUP BY ",
            $group,
            " ORDER BY ",
            $order,
            " LIMIT $6"
        )
    };
}

impl HistoryTexts for Postgres {
    const NEW_WRITER: &'static str = "INSERT INTO history_writers (tenant, writer, batch, added_ms) \
         VALUES ($1, $2, 0, $3) ON CONFLICT (tenant, writer) DO NOTHING";

    const NEXT_BATCH: &'static str = "UPDATE history_writers SET batch = $1, added_ms = $2 \
         WHERE tenant = $3 AND writer = $4 AND batch < $5";

    const ADD: &'static str = "INSERT INTO history VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (tenant, hour, kind, repository, name) DO UPDATE SET \
         hits = history.hits + excluded.hits, misses = history.misses + excluded.misses, \
         stale = history.stale + excluded.stale, served_bytes = history.served_bytes + excluded.served_bytes, \
         saved_bytes = history.saved_bytes + excluded.saved_bytes, \
         evicted_bytes = history.evicted_bytes + excluded.evicted_bytes, \
         ghosts_10gb = history.ghosts_10gb + excluded.ghosts_10gb, \
         ghosts_50gb = history.ghosts_50gb + excluded.ghosts_50gb, \
         ghosts_100gb = history.ghosts_100gb + excluded.ghosts_100gb";

    const BY_HOUR: &'static str = sums!("hour, ''::bytea, ''::bytea", "hour", "hour DESC");

    const BY_REPOSITORY: &'static str =
        sums!("0::bigint, repository, ''::bytea", "repository", "sum(hits) DESC, repository");

    const BY_NAME: &'static str =
        sums!("0::bigint, repository, name", "repository, name", "sum(hits) DESC, repository, name");

    const LAST_BEYOND: &'static str =
        "SELECT hour FROM history WHERE tenant = $1 ORDER BY hour DESC LIMIT 1 OFFSET $2";

    const TRIM: &'static str = "DELETE FROM history WHERE ctid IN ( \
         SELECT ctid FROM history WHERE tenant = $1 AND hour < $2 ORDER BY hour LIMIT $3)";

    const TRIM_WRITERS: &'static str = "DELETE FROM history_writers WHERE tenant = $1 AND added_ms < $2";
}
