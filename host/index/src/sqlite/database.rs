//! A database as the indexes of its tenants use it.

use std::{path::Path, sync::Arc};

use rusqlite::Connection;

use super::{
    fault::index_error,
    file_watch::{FileWatch, FileWatchThread},
    long_searches::LongSearches,
    reader::Readers,
    scratch::OnlyConnection,
    writer::Writer,
};
use crate::{IndexError, KeyRule, unavailable};

/// What the indexes of all tenants share.
pub(super) struct Database {
    /// Stopped first, because closing the database deletes its log.
    watching: Option<FileWatchThread>,
    /// `None` where there is no file that has a name.
    watch: Option<Arc<FileWatch>>,
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
            watch: Some(watch),
            readers,
            rule,
            long_searches: LongSearches::new(),
        })
    }

    /// See [`SqliteIndex::scratch`](super::SqliteIndex::scratch).
    pub(super) fn scratch(rule: KeyRule, conn: &OnlyConnection) -> Self {
        Self {
            watching: None,
            watch: None,
            readers: Arc::new(Readers::Only(conn.clone())),
            writer: Writer::at_once(conn.clone()),
            rule,
            long_searches: LongSearches::new(),
        }
    }

    /// Whether searches of any length run on the calling thread.
    pub(super) fn is_scratch(&self) -> bool {
        matches!(*self.readers, Readers::Only(_))
    }

    pub(super) fn read<T>(
        &self,
        context: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        match self.watch.as_ref().and_then(|watch| watch.unreadable()) {
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
        if let Some(watch) = &self.watch {
            watch.close();
        }
        self.readers.close();
    }
}
