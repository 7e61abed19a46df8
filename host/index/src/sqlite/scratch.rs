//! An index for one use, such as a replay: nothing of it is kept.
//!
//! The statements and tables are those of any other. There is one connection for reads and changes, no thread
//! and no log: a change costs its statements, and no switch of threads, no lock and no write of a file.
//!
//! All of it is one transaction that is never committed and keeps no journal, because a commit goes through all
//! changed pages in memory, and a journal copies them. So a change that fails cannot be undone: nothing is
//! answered after it.

use std::sync::Arc;

use larder_common::TenantName;
use parking_lot::Mutex;
use rusqlite::{Connection, ffi};

use super::{SqliteIndex, database::Database, fault::index_error, schema};
use crate::{IndexError, KeyRule};

/// The connection of a database that has only one; `None` after a change that failed.
pub(super) type OnlyConnection = Arc<Mutex<Option<Connection>>>;

/// What calls get after a change that failed.
fn spoilt() -> rusqlite::Error {
    let text = "a change failed before".to_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ABORT), Some(text))
}

impl SqliteIndex {
    /// Makes an index that is empty and gone when it is dropped. It takes `cache_kib` of memory; what is more
    /// goes to a file in SQLite's folder for temporary files (`SQLITE_TMPDIR`, `TMPDIR`, `/var/tmp`). After a change
    /// that fails, it is gone, and every call fails.
    ///
    /// # Errors
    /// If there is no such folder, or no space in it.
    pub fn scratch(rule: KeyRule, cache_kib: u32) -> Result<Self, IndexError> {
        let conn = schema::open_scratch(rule, cache_kib)
            .map_err(|error| index_error("making a temporary database", error))?;
        let database = Database::scratch(rule, &Arc::new(Mutex::new(Some(conn))));
        Ok(Self::of(Arc::new(database), TenantName::default()))
    }
}

/// Makes a read.
pub(super) fn read<T>(
    conn: &OnlyConnection,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    conn.lock().as_ref().map_or_else(|| Err(spoilt()), query)
}

/// Makes a change. If it fails, what it has done so far stays, and so the database is given up.
pub(super) fn change<T>(
    conn: &OnlyConnection,
    change: impl FnMut(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let mut conn = conn.lock();
    let outcome = conn.as_ref().map_or_else(|| Err(spoilt()), change);
    if outcome.is_err() {
        *conn = None;
    }
    outcome
}
