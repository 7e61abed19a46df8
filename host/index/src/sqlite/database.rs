//! A database as the indexes of its tenants use it.

use std::{path::Path, sync::Arc};

use rusqlite::Connection;

use super::{
    fault::index_error,
    file_watch::{FileWatch, FileWatchThread},
    long_searches::LongSearches,
    reader::Readers,
    writer::Writer,
};
use crate::{IndexError, KeyRule, unavailable};

/// What the indexes of all tenants share.
pub(super) struct Database {
    /// Stopped first, because closing the database deletes its log.
    watching: Option<FileWatchThread>,
    watch: Arc<FileWatch>,
    pub(super) readers: Arc<Readers>,
    pub(super) writer: Writer,
    pub(super) rule: KeyRule,
    pub(super) long_searches: LongSearches,
}

impl Database {
    pub(super) fn start(
        path: &Path,
        rule: KeyRule,
        conn: Connection,
        [anchor, watching]: [Connection; 2],
    ) -> std::io::Result<Self> {
        let readers = Arc::new(Readers::new(path.to_owned()));
        let watch = Arc::new(FileWatch::new(path, watching));
        Ok(Self {
            watching: Some(FileWatchThread::start(Arc::clone(&watch))?),
            writer: Writer::start(conn, anchor, Arc::clone(&watch))?,
            watch,
            readers,
            rule,
            long_searches: LongSearches::new(),
        })
    }

    pub(super) fn read<T>(
        &self,
        context: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        match self.watch.unreadable() {
            None => self.readers.read(query).map_err(|error| index_error(context, error)),
            Some(loss) => Err(unavailable(context, loss)),
        }
    }
}

impl Drop for Database {
    /// Closes the read connections first. The connection that is closed last folds the log into the
    /// database, and only the writer's can.
    fn drop(&mut self) {
        self.watching = None;
        self.watch.close();
        self.readers.close();
    }
}
