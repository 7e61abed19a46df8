//! The read connections.
//!
//! A read takes microseconds and runs on the calling thread. It sees what is committed, and never
//! waits for a writer.

use std::path::PathBuf;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{
    schema,
    scratch::{self, OnlyConnection},
};

/// How reads get a connection.
pub(super) enum Readers {
    /// Connections that are not in use, the most recently used last. There are at most as many as
    /// threads that ever read at the same time.
    Pool { path: PathBuf, idle: Mutex<Vec<Connection>> },
    /// The one that changes are made on, too.
    Only(OnlyConnection),
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self::Pool { path, idle: Mutex::new(Vec::new()) }
    }

    /// Runs a query on an idle connection, or on a new one.
    pub(super) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let (path, idle) = match self {
            Self::Pool { path, idle } => (path, idle),
            Self::Only(conn) => return scratch::read(conn, query),
        };
        let taken = idle.lock().pop();
        let conn = match taken {
            Some(conn) => conn,
            None => schema::open_for_reading(path)?,
        };
        let result = query(&conn)?;
        // After an error the connection is dropped, because it may be the cause.
        idle.lock().push(conn);
        Ok(result)
    }

    /// Closes the idle connections.
    pub(super) fn close(&self) {
        if let Self::Pool { idle, .. } = self {
            idle.lock().clear();
        }
    }
}

/// A read transaction: until it is dropped, all reads of the connection see one snapshot. Within a transaction
/// they do anyway, and then this is nothing.
pub(super) struct ReadTransaction<'a>(Option<&'a Connection>);

impl<'a> ReadTransaction<'a> {
    pub(super) fn begin(conn: &'a Connection) -> rusqlite::Result<Self> {
        if !conn.is_autocommit() {
            return Ok(Self(None));
        }
        conn.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self(Some(conn)))
    }
}

impl Drop for ReadTransaction<'_> {
    fn drop(&mut self) {
        // A read has nothing to commit. If this fails, the next `BEGIN` fails too and drops the
        // connection.
        let Some(conn) = self.0 else { return };
        let _ = conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    }
}
