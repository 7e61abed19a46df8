//! An index for one use, such as a replay: nothing of it is kept.
//!
//! The statements and tables are those of any other. There is one connection for reads and changes, no thread
//! and no log: a change costs its statements, and no switch of threads, no lock and no write of a file.

use std::sync::Arc;

use larder_common::TenantName;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::{SqliteIndex, database::Database, fault::index_error, schema};
use crate::{IndexError, KeyRule};

/// The connection of a database that has only one.
pub(super) type OnlyConnection = Arc<Mutex<Connection>>;

impl SqliteIndex {
    /// Makes an index that is empty and gone when it is dropped. It takes `cache_kib` of memory; what is more
    /// goes to a file in SQLite's folder for temporary files (`SQLITE_TMPDIR`, `TMPDIR`, `/var/tmp`). More memory
    /// makes changes slower: each commit goes through all changed pages in it.
    ///
    /// # Errors
    /// If there is no such folder, or no space in it.
    pub fn scratch(rule: KeyRule, cache_kib: u32) -> Result<Self, IndexError> {
        let conn = schema::open_scratch(rule, cache_kib)
            .map_err(|error| index_error("making a temporary database", error))?;
        let database = Database::scratch(rule, &Arc::new(Mutex::new(conn)));
        Ok(Self::of(Arc::new(database), TenantName::default()))
    }
}

/// Makes a change as a whole, or not at all.
pub(super) fn change<T>(
    conn: &Connection,
    mut change: impl FnMut(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let run = |statement| conn.prepare_cached(statement)?.execute([]);
    run("BEGIN IMMEDIATE")?;
    let outcome = change(conn).and_then(|outcome| run("COMMIT").map(|_| outcome));
    if outcome.is_err() {
        // Fails where SQLite has rolled back already.
        let _ = run("ROLLBACK");
    }
    outcome
}
