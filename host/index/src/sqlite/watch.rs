//! Looks whether the database's files are still the ones that were opened.
//!
//! Called by the writer before it answers, and by a thread of its own every few seconds. SQLite holds its files open and
//! never looks at their names again: where somebody deletes, replaces or cuts them, everything seems to work, and what was
//! saved is gone at the next start. So nothing is acknowledged from then on, and the log says what to do. Only looks at names and lengths: to open and close a database's file would
//! drop the locks that this process has on it.

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

/// Between two looks at files that nothing is written to.
const PAUSE: Duration = Duration::from_secs(2);

/// Between two lines in the log about the same loss.
const REMINDER: Duration = Duration::from_secs(60);

/// What SQLite puts behind the name of a database: the log of what was written last, and the state that is shared.
const FILES: [&str; 3] = ["", "-wal", "-shm"];

/// What happened to a file of the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Loss {
    #[error(
        "{0} was deleted or moved while it was in use: what is saved now would be gone at the next start, so nothing is; \
         put this very file back, or stop Larder, restore a backup (else it begins with an empty cache), and start it again"
    )]
    Gone(PathBuf),
    #[error(
        "{0} was replaced by another file while it was in use: what is saved now would be gone at the next start, so \
         nothing is; stop Larder and start it again to use the new file"
    )]
    Replaced(PathBuf),
    #[error(
        "{path} was cut to {bytes} bytes while it was in use; stop Larder, restore a backup or delete the file (it begins \
         with an empty cache then), and start it again"
    )]
    Cut { path: PathBuf, bytes: u64 },
}

/// A file's identity on this machine.
type Identity = (u64, u64);

struct State {
    /// Of the files that were there at the first look.
    identities: [Option<Identity>; FILES.len()],
    bytes: u64,
    loss: Option<Loss>,
    /// When the log last said so.
    told: Option<Instant>,
}

/// The files of a database that is open.
pub(super) struct Watch {
    files: [PathBuf; FILES.len()],
    /// One that has read, so that it has the log open: a new connection to an empty file would delete that.
    conn: Mutex<Option<Connection>>,
    state: Mutex<State>,
}

impl Watch {
    /// Takes the files as they are now for the right ones. The connection, which is for reading, becomes its own.
    pub(super) fn new(path: &Path, conn: Connection) -> Self {
        let files = FILES.map(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        });
        let found = files.each_ref().map(|file| identity(file).ok());
        let identities = found.map(|found| found.map(|(identity, _)| identity));
        let bytes = found[0].map_or(0, |(_, bytes)| bytes);
        let state = State { identities, bytes, loss: None, told: None };
        // Where it cannot be read a file that gets shorter counts as cut.
        let conn = Mutex::new(Some(conn).filter(|conn| length(conn).is_ok()));
        Self { files, conn, state: Mutex::new(state) }
    }

    /// Gives up the connection, so that the writer's is the last to be closed.
    pub(super) fn close(&self) {
        *self.conn.lock() = None;
    }

    /// Looks at the files. Returns what has happened to them, if anything has.
    pub(super) fn look(&self) -> Option<Loss> {
        let mut state = self.state.lock();
        // A file that was cut is spoilt for good.
        let before = state.loss.take();
        state.loss = match before {
            Some(Loss::Cut { .. }) => before.clone(),
            _ => self.find_loss(&mut state),
        };
        tell(&mut state, before.as_ref());
        state.loss.clone()
    }

    /// What the last look found.
    pub(super) fn known(&self) -> Option<Loss> {
        self.state.lock().loss.clone()
    }

    /// What of it keeps the database from being read. A new connection would read the new file; what was deleted can be
    /// read by those that have it.
    pub(super) fn unreadable(&self) -> Option<Loss> {
        self.known().filter(|loss| !matches!(loss, Loss::Gone(_)))
    }

    fn find_loss(&self, state: &mut State) -> Option<Loss> {
        for (number, file) in self.files.iter().enumerate() {
            let Some(right) = state.identities[number] else { continue };
            match identity(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Some(Loss::Gone(file.clone()));
                }
                // The folder cannot be looked at: nobody knows.
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

    /// A database gets shorter by `VACUUM` only, and then it has as many pages as it says.
    fn is_cut(&self, bytes: u64) -> bool {
        let length = self.conn.lock().as_ref().and_then(|conn| length(conn).ok());
        length.is_none_or(|length| bytes < length)
    }
}

/// The length of a database in bytes, as it says.
fn length(conn: &Connection) -> rusqlite::Result<u64> {
    let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(u64::try_from(pages.saturating_mul(page)).unwrap_or_default())
}

fn identity(file: &Path) -> io::Result<(Identity, u64)> {
    let found = file.metadata()?;
    Ok(((found.dev(), found.ino()), found.len()))
}

/// Says in the log what is new, and now and then what is not.
fn tell(state: &mut State, before: Option<&Loss>) {
    match &state.loss {
        None if before.is_some() => {
            state.told = None;
            tracing::warn!("the file of the database is back: saves are taken again");
        }
        None => {}
        Some(loss) => {
            let is_old = before == Some(loss) && state.told.is_some_and(|told| told.elapsed() < REMINDER);
            if !is_old {
                state.told = Some(Instant::now());
                tracing::error!(error = %loss, "the database is lost");
            }
        }
    }
}

/// The thread that looks by the clock. Ends when it is dropped.
pub(super) struct Watching {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watching {
    pub(super) fn start(watch: Arc<Watch>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let look = move || {
            while stopped.recv_timeout(PAUSE) == Err(mpsc::RecvTimeoutError::Timeout) {
                watch.look();
            }
        };
        let thread = thread::Builder::new().name("index-watch".to_owned()).spawn(look)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It failed only if it panicked; then nothing is looked at any more, and that was in the log.
            let _ = thread.join();
        }
    }
}
