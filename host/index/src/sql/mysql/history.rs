//! The statements about history.

use super::MySql;
use crate::sql::history::HistoryTexts;

/// Sums by what is named.
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

impl HistoryTexts for MySql {
    const NEW_WRITER: &'static str = "INSERT IGNORE INTO history_writers (tenant, writer, batch, added_ms) \
         VALUES (?, ?, 0, ?)";

    const NEXT_BATCH: &'static str = "UPDATE history_writers SET batch = ?, added_ms = ? \
         WHERE tenant = ? AND writer = ? AND batch < ?";

    const ADD: &'static str = "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON DUPLICATE KEY UPDATE \
         hits = hits + VALUES(hits), misses = misses + VALUES(misses), \
         stale = stale + VALUES(stale), served_bytes = served_bytes + VALUES(served_bytes), \
         saved_bytes = saved_bytes + VALUES(saved_bytes), \
         evicted_bytes = evicted_bytes + VALUES(evicted_bytes), \
         ghosts_10gb = ghosts_10gb + VALUES(ghosts_10gb), \
         ghosts_50gb = ghosts_50gb + VALUES(ghosts_50gb), \
         ghosts_100gb = ghosts_100gb + VALUES(ghosts_100gb)";

    const BY_HOUR: &'static str = sums!("hour, '', ''", "hour", "hour DESC");

    const BY_REPOSITORY: &'static str =
        sums!("0, repository, ''", "repository", "sum(hits) DESC, repository");

    const BY_NAME: &'static str =
        sums!("0, repository, name", "repository, name", "sum(hits) DESC, repository, name");

    const LAST_BEYOND: &'static str =
        "SELECT hour FROM history WHERE tenant = ? ORDER BY hour DESC LIMIT 1 OFFSET ?";

    const TRIM: &'static str = "DELETE FROM history WHERE tenant = ? AND hour < ? ORDER BY hour LIMIT ?";

    const TRIM_WRITERS: &'static str = "DELETE FROM history_writers WHERE tenant = ? AND added_ms < ?";
}
