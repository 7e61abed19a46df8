//! How a database is opened, and how its tables come to be as this version of the program needs them.
//!
//! Called by the driver. Knows the files in `migrations/`, and nothing of what is in the tables. A migration that was
//! released is never edited: the database remembers its checksum.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use refinery::{Migration, Runner, error::Kind};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::refold;
use crate::KeyRule;

/// In order. The name before `__` is the version.
pub(super) const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__initial", include_str!("migrations/V1__initial.sql")),
    ("V2__entry_of_upload", include_str!("migrations/V2__entry_of_upload.sql")),
    ("V3__owner_of_entry", include_str!("migrations/V3__owner_of_entry.sql")),
    ("V4__compared_keys", include_str!("migrations/V4__compared_keys.sql")),
];

/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The log is cut to this length when it has grown longer.
const LOG_LIMIT_BYTES: i64 = 64 << 20;

/// Pages that a connection keeps, in KiB. Negative is how SQLite is told that it is not a number of pages.
const CACHE_KIB: i64 = -8_192;

/// There are fewer statements than this.
const STATEMENTS: usize = 64;

/// How often to try, and how long to wait in between, while another process makes or migrates the same database: then a
/// step fails here, and is found done, or possible, at the next try.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(
        "the database was made by a newer version of larder: its schema has version {found}, this program knows {known}"
    )]
    Newer { found: i64, known: i64 },
    #[error("the file system of the database cannot do write-ahead logging (journal mode is {0})")]
    NoLog(String),
    #[error("{path}: could not be created")]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{0}: this is no SQLite database, or it is damaged; restore a backup, or move the file away and start with an \
         empty cache"
    )]
    Damaged(PathBuf, #[source] rusqlite::Error),
    #[error("could not bring the schema up to date")]
    Migrate(#[source] refinery::Error),
    #[error("{path}: cannot be used")]
    At {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl OpenError {
    /// Whether another process at work may be the cause.
    fn may_pass(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy),
            Self::Migrate(error) => matches!(error.kind(), Kind::Connection(..)),
            Self::Newer { .. }
            | Self::NoLog(_)
            | Self::Create { .. }
            | Self::Damaged(..)
            | Self::At { .. } => false,
        }
    }
}

/// Opens the database for writing, creating it, migrating it, and bringing it to this rule of comparing keys as needed.
pub(super) fn open_for_writing(path: &Path, rule: KeyRule) -> Result<Connection, OpenError> {
    create(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(|error| at(path, error.into()))?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let mut attempts = ATTEMPTS;
    loop {
        attempts -= 1;
        match prepare(&mut conn, rule) {
            Err(error) if attempts > 0 && error.may_pass() => thread::sleep(PAUSE),
            prepared => return prepared.map(|()| conn).map_err(|error| at(path, error)),
        }
    }
}

/// Says which file it is about.
fn at(path: &Path, error: OpenError) -> OpenError {
    let path = path.to_owned();
    match error {
        OpenError::Sqlite(source) => match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged(path, source),
            _ => OpenError::At { path, source },
        },
        error => error,
    }
}

fn prepare(conn: &mut Connection, rule: KeyRule) -> Result<(), OpenError> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoLog(mode));
    }
    // A loss of power may undo the last commits, never half of one.
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "journal_size_limit", LOG_LIMIT_BYTES)?;
    configure(conn)?;
    migrate(conn, MIGRATIONS)?;
    if let Some(rewritten) = refold::refold(conn, rule)? {
        rewritten.tell(rule);
    }
    Ok(())
}

/// Opens the database for reading. It must be open for writing.
pub(super) fn open_for_reading(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    configure(&conn)?;
    Ok(conn)
}

fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Otherwise SQLite, as it is built in, plans a statement anew for each value bound, at several times its cost.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "cache_size", CACHE_KIB)
}

/// Secrets are in it, so others must not read it; SQLite gives its other files the same mode.
fn create(path: &Path) -> Result<(), OpenError> {
    // Only ever create it: to open and close a database's file would drop the locks that this process has on it.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(OpenError::Create { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Runs the migrations that were not run yet.
pub(super) fn migrate(conn: &mut Connection, migrations: &[(&str, &str)]) -> Result<(), OpenError> {
    let migrations = migrations
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(OpenError::Migrate)?;
    // Grouped: a migration and the note of it are one transaction.
    let runner = Runner::new(&migrations).set_grouped(true);
    match runner.run(conn) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            Kind::MissingVersion(found) => OpenError::Newer {
                found: found.version().into(),
                known: migrations.last().map_or(0, |known| known.version().into()),
            },
            _ => OpenError::Migrate(error),
        }),
    }
}
