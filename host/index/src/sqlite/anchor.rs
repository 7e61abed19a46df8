//! Spares readers the kernel's locks.
//!
//! Called by the writer's thread. A reader of a write-ahead log holds a lock on the state that it reads, which takes two
//! system calls for each read; locks that another connection of the process holds already are shared without any. So one
//! connection keeps the state that was committed last in view, and lets go of it only while the writer commits: a
//! log that somebody reads cannot start over.

use rusqlite::Connection;

use larder_common::causes::chain;

/// A connection that reads nothing and holds on to the latest state.
pub(super) struct Anchor {
    /// `None` after a failure: then readers lock for themselves.
    conn: Option<Connection>,
}

impl Anchor {
    pub(super) fn new(conn: Connection) -> Self {
        let mut anchor = Self { conn: Some(conn) };
        anchor.hold();
        anchor
    }

    /// Takes the state of now into view.
    pub(super) fn hold(&mut self) {
        self.run("BEGIN; SELECT 1 FROM entries LIMIT 1");
    }

    /// Lets go, so that the log can start over.
    pub(super) fn release(&mut self) {
        self.run("COMMIT");
    }

    fn run(&mut self, statements: &str) {
        if let Some(conn) = &self.conn
            && let Err(error) = conn.execute_batch(statements)
        {
            tracing::warn!(error = %chain(&error), "reads of the database take more system calls from now on");
            self.conn = None;
        }
    }
}
