//! Opens a database and migrates its tables.
//!
//! A released migration must never be edited, because databases store its checksum.

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

use super::{recount, refold};
use crate::KeyRule;

/// In order. The part of the name before `__` is the version.
pub(super) const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__initial", include_str!("migrations/V1__initial.sql")),
    ("V2__entry_of_upload", include_str!("migrations/V2__entry_of_upload.sql")),
    ("V3__owner_of_entry", include_str!("migrations/V3__owner_of_entry.sql")),
    ("V4__compared_keys", include_str!("migrations/V4__compared_keys.sql")),
    ("V5__tenants", include_str!("migrations/V5__tenants.sql")),
    ("V6__facts", include_str!("migrations/V6__facts.sql")),
    ("V7__departed", include_str!("migrations/V7__departed.sql")),
    ("V8__ledger", include_str!("migrations/V8__ledger.sql")),
    ("V9__refusals", include_str!("migrations/V9__refusals.sql")),
    ("V10__management", include_str!("migrations/V10__management.sql")),
    ("V11__digests", include_str!("migrations/V11__digests.sql")),
    ("V12__history", include_str!("migrations/V12__history.sql")),
];

/// Longest wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A longer log is truncated to this length when it is restarted.
const MAX_WAL_BYTES: i64 = 64 << 20;

/// The page cache of a connection. Negative, because SQLite reads a positive number as pages
/// instead of KiB.
const CACHE_KIB: i64 = -8_192;

/// Prepared statements that a connection caches: more than there are.
const CACHED_STATEMENTS: usize = 128;

/// How often, and at what interval, opening is retried. While another process creates or migrates
/// the same database, a step may fail here that succeeds, or is already done, at the next attempt.
const ATTEMPTS: u32 = 100;
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(
        "the database was made by a newer version of larder: its schema has version {found}, this program knows {known}"
    )]
    Newer { found: i64, known: i64 },
    #[error("the file system of the database does not support write-ahead logging (journal mode: {0})")]
    NoWal(String),
    #[error("{path}: cannot be created")]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{0}: not an SQLite database, or damaged; restore a backup, or move the file away to start with an empty cache"
    )]
    Damaged(PathBuf, #[source] rusqlite::Error),
    #[error("cannot migrate the schema")]
    Migrate(#[source] refinery::Error),
    #[error("{path}: cannot be used")]
    Unusable {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl OpenError {
    /// Whether another process that opens the database may be the cause.
    fn is_transient(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy),
            Self::Migrate(error) => matches!(error.kind(), Kind::Connection(..)),
            Self::Newer { .. }
            | Self::NoWal(_)
            | Self::Create { .. }
            | Self::Damaged(..)
            | Self::Unusable { .. } => false,
        }
    }
}

/// Opens the database for writing. Creates it, migrates it, and rewrites it for this rule of
/// comparing keys as needed.
pub(super) fn open_for_writing(path: &Path, rule: KeyRule) -> Result<Connection, OpenError> {
    create(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(|error| with_path(path, error.into()))?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let mut attempts = ATTEMPTS;
    loop {
        attempts -= 1;
        match prepare(&mut conn, rule) {
            Err(error) if attempts > 0 && error.is_transient() => thread::sleep(RETRY_INTERVAL),
            prepared => return prepared.map(|()| conn).map_err(|error| with_path(path, error)),
        }
    }
}

/// Adds the path of the database to an error.
fn with_path(path: &Path, error: OpenError) -> OpenError {
    let path = path.to_owned();
    match error {
        OpenError::Sqlite(source) => match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged(path, source),
            _ => OpenError::Unusable { path, source },
        },
        error => error,
    }
}

fn prepare(conn: &mut Connection, rule: KeyRule) -> Result<(), OpenError> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoWal(mode));
    }
    // A loss of power may undo the last commits, but never part of one.
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "journal_size_limit", MAX_WAL_BYTES)?;
    make_tables(conn, rule)
}

/// Opens a database that is temporary: it has no name, its pages are in memory as far as the cache of
/// `cache_kib` goes, in a file without a name beyond, and gone when it is closed. Returns it within a transaction
/// that cannot be undone: there is no journal.
pub(super) fn open_scratch(rule: KeyRule, cache_kib: u32) -> Result<Connection, OpenError> {
    let mut conn = Connection::open("")?;
    conn.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "OFF")?;
    make_tables(&mut conn, rule)?;
    conn.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    Ok(conn)
}

fn make_tables(conn: &mut Connection, rule: KeyRule) -> Result<(), OpenError> {
    configure(conn)?;
    migrate(conn, MIGRATIONS)?;
    if let Some(rewritten) = refold::refold(conn, rule)? {
        rewritten.log(rule);
    }
    recount::count_if_uncounted(conn)?;
    Ok(())
}

/// Opens the database for reading. It must already be open for writing.
pub(super) fn open_for_reading(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    configure(&conn)?;
    Ok(conn)
}

fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // Otherwise the bundled SQLite plans a statement again for each bound value, at several times
    // the cost of running it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "cache_size", CACHE_KIB)
}

/// Creates the file if there is none. It holds secrets, so only the owner may read it; SQLite gives
/// its other files the same mode.
fn create(path: &Path) -> Result<(), OpenError> {
    // Only created, never opened: closing a database's file drops the locks that this process has
    // on it.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(OpenError::Create { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Runs the migrations that have not been run yet.
pub(super) fn migrate(conn: &mut Connection, migrations: &[(&str, &str)]) -> Result<(), OpenError> {
    let migrations = migrations
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql))
        .collect::<Result<Vec<_>, _>>()
        .map_err(OpenError::Migrate)?;
    // Grouped: the migrations and their history are written in one transaction.
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
