//! Checks that the database's files are still the ones that were opened.
//!
//! The writer checks after each commit, before it replies, and a thread checks every two seconds.
//! SQLite holds its files open and never looks at their names again. If somebody deletes, replaces
//! or cuts them, everything seems to work, but all that is saved afterwards is lost at the next
//! start. So from then on no change is acknowledged, and the log names the remedy. The check reads
//! only names and lengths: opening and closing a database's file would drop the locks that this
//! process has on it.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rusqlite::Connection;

/// Interval of the checks while nothing is written.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Interval of the log lines about the same loss.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Suffixes of the database's files: the database itself, its write-ahead log and its shared
/// memory.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// What happened to a file of the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Loss {
    #[error(
        "{0} was deleted or moved while in use; saves are refused, because they would be lost at the next start; put this \
         very file back, or stop Larder, restore a backup (without one the cache starts empty), and start it again"
    )]
    Gone(PathBuf),
    #[error(
        "{0} was replaced by another file while in use; saves are refused, because they would be lost at the next \
         start; restart Larder to use the new file"
    )]
    Replaced(PathBuf),
    #[error(
        "{path} was cut to {bytes} bytes while in use; stop Larder, restore a backup or delete the file (the cache then \
         starts empty), and start it again"
    )]
    Cut { path: PathBuf, bytes: u64 },
}

/// Device and inode of a file.
type FileIdentity = (u64, u64);

struct WatchState {
    /// `None` for a file that did not exist when the database was opened.
    identities: [Option<FileIdentity>; SUFFIXES.len()],
    bytes: u64,
    loss: Option<Loss>,
    /// When the loss was last logged.
    logged_at: Option<Instant>,
}

/// The files of an open database.
pub(super) struct FileWatch {
    files: [PathBuf; SUFFIXES.len()],
    /// For reading the length that the database states. It has read before, so it has the log open:
    /// a new connection to an empty file would delete the log.
    conn: Mutex<Option<Connection>>,
    state: Mutex<WatchState>,
}

impl FileWatch {
    /// Records the files as they are now. `conn` must be a read connection.
    pub(super) fn new(path: &Path, conn: Connection) -> Self {
        let files = SUFFIXES.map(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        });
        let found = files.each_ref().map(|file| identity(file).ok());
        let identities = found.map(|found| found.map(|(identity, _)| identity));
        let bytes = found[0].map_or(0, |(_, bytes)| bytes);
        let state = WatchState { identities, bytes, loss: None, logged_at: None };
        // If it cannot read, any file that gets shorter counts as cut.
        let conn = Mutex::new(Some(conn).filter(|conn| length(conn).is_ok()));
        Self { files, conn, state: Mutex::new(state) }
    }

    /// Closes the connection, so that the writer's is the last to be closed.
    pub(super) fn close(&self) {
        *self.conn.lock() = None;
    }

    /// Checks the files. Returns the loss, if there is one.
    pub(super) fn check(&self) -> Option<Loss> {
        let mut state = self.state.lock();
        // A file that was cut stays unusable.
        let before = state.loss.take();
        state.loss = match before {
            Some(Loss::Cut { .. }) => before.clone(),
            _ => self.find_loss(&mut state),
        };
        log_change(&mut state, before.as_ref());
        state.loss.clone()
    }

    /// The result of the last check.
    pub(super) fn loss(&self) -> Option<Loss> {
        self.state.lock().loss.clone()
    }

    /// The loss, if it prevents reading. After a replacement, a new connection would read the new
    /// file. A deleted file can still be read through the open connections.
    pub(super) fn unreadable(&self) -> Option<Loss> {
        self.loss().filter(|loss| !matches!(loss, Loss::Gone(_)))
    }

    fn find_loss(&self, state: &mut WatchState) -> Option<Loss> {
        for (number, file) in self.files.iter().enumerate() {
            let Some(right) = state.identities[number] else { continue };
            match identity(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Some(Loss::Gone(file.clone()));
                }
                // The folder cannot be read, so the state is unknown.
                Err(_) => return None,
                Ok((there, _)) if there != right => return Some(Loss::Replaced(file.clone())),
                Ok((_, bytes)) if number == 0 => {
                    if bytes < state.bytes && self.is_cut(bytes) {
                        return Some(Loss::Cut { path: file.clone(), bytes });
                    }
                    state.bytes = bytes;
                }
                Ok(_) => {}
            }
        }
        None
    }

    /// A database gets shorter only by `VACUUM`, and then the file is as long as its header states.
    fn is_cut(&self, bytes: u64) -> bool {
        let length = self.conn.lock().as_ref().and_then(|conn| length(conn).ok());
        length.is_none_or(|length| bytes < length)
    }
}

/// The length of a database in bytes, as its header states it.
fn length(conn: &Connection) -> rusqlite::Result<u64> {
    let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(u64::try_from(pages.saturating_mul(page)).unwrap_or_default())
}

fn identity(file: &Path) -> io::Result<(FileIdentity, u64)> {
    let found = file.metadata()?;
    Ok(((found.dev(), found.ino()), found.len()))
}

/// Logs a new loss and a recovery at once, and a known loss every [`LOG_INTERVAL`].
fn log_change(state: &mut WatchState, before: Option<&Loss>) {
    match &state.loss {
        None if before.is_some() => {
            state.logged_at = None;
            tracing::warn!("the database file is back: accepting saves again");
        }
        None => {}
        Some(loss) => {
            let is_old = before == Some(loss)
                && state.logged_at.is_some_and(|logged_at| logged_at.elapsed() < LOG_INTERVAL);
            if !is_old {
                state.logged_at = Some(Instant::now());
                tracing::error!(error = %loss, "the database file is lost: refusing saves");
            }
        }
    }
}

/// The thread that checks every [`CHECK_INTERVAL`]. Dropping this stops it.
pub(super) struct FileWatchThread {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl FileWatchThread {
    pub(super) fn start(watch: Arc<FileWatch>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let check = move || {
            while stopped.recv_timeout(CHECK_INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                watch.check();
            }
        };
        let thread = thread::Builder::new().name("index-watch".to_owned()).spawn(check)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for FileWatchThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // An error means that the thread panicked, which was logged.
            let _ = thread.join();
        }
    }
}
