//! Saves readers the system calls for file locks.
//!
//! A reader of a write-ahead log locks the snapshot that it reads, which takes two system calls per
//! read. Locks that another connection of the same process already holds are shared without any. So
//! one connection always holds the latest snapshot. It releases the snapshot only while the writer
//! commits, because a log in use cannot be restarted.

use rusqlite::Connection;

use larder_common::causes::chain;

/// A connection that only holds the latest snapshot.
pub(super) struct Anchor {
    /// `None` after a failure: then each reader locks for itself.
    conn: Option<Connection>,
}

impl Anchor {
    pub(super) fn new(conn: Connection) -> Self {
        let mut anchor = Self { conn: Some(conn) };
        anchor.hold();
        anchor
    }

    /// Opens a read transaction on the current snapshot.
    pub(super) fn hold(&mut self) {
        self.run("BEGIN; SELECT 1 FROM entries LIMIT 1");
    }

    /// Ends the read transaction, so that the log can be restarted.
    pub(super) fn release(&mut self) {
        self.run("COMMIT");
    }

    fn run(&mut self, statements: &str) {
        if let Some(conn) = &self.conn
            && let Err(error) = conn.execute_batch(statements)
        {
            tracing::warn!(error = %chain(&error), "cannot hold a database snapshot: reads now take more system calls");
            self.conn = None;
        }
    }
}
