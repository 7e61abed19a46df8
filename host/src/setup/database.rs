//! Opens the configured index.

#[cfg(feature = "sql")]
use std::time::Duration;
use std::{path::PathBuf, sync::Arc};

#[cfg(feature = "sql")]
use larder_index::sql;
use larder_index::{Index, IndexError, KeyRule, sqlite::SqliteIndex};

#[cfg(feature = "sql")]
use super::exposed;
use super::path_of;
#[cfg(feature = "sql")]
use crate::config::{Database, DatabaseServer, SslMode};
use crate::{
    config::{Config, DatabaseDriver},
    disk_pressure::DiskPressure,
    error::StartError,
};

/// Opens the index. With storage in a local folder, a database server may serve only one Larder:
/// this one would treat entries of another one's folder, or ones that it has not flushed yet, as
/// lost.
pub(super) async fn open_index(
    config: &Config,
    pressure: &DiskPressure,
) -> Result<Arc<dyn Index>, StartError> {
    let database = &config.settings.database;
    #[cfg(feature = "sql")]
    let other = if config.rewrite_keys { sql::OtherRule::Rewrite } else { sql::OtherRule::Refuse };
    let rule = if database.case_sensitive_keys { KeyRule::Bytes } else { KeyRule::AnyCase };
    Ok(match database.driver {
        DatabaseDriver::Sqlite => {
            Arc::new(open_sqlite(path_of(database.sqlite.path.as_ref()), rule, pressure)?)
        }
        #[cfg(feature = "postgres")]
        DatabaseDriver::Postgres => {
            Arc::new(sql::postgres::open(&server(&database.postgres), bounds(database), rule, other).await?)
        }
        #[cfg(feature = "mysql")]
        DatabaseDriver::Mysql => {
            Arc::new(sql::mysql::open(&server(&database.mysql), bounds(database), rule, other).await?)
        }
        #[allow(unreachable_patterns, reason = "where every driver is built in")]
        driver => return Err(StartError::NotBuilt { driver: driver.name() }),
    })
}

/// Opens the index of a server that may be running. A database's file must be there.
pub(super) async fn open_index_beside(config: &Config) -> Result<Arc<dyn Index>, StartError> {
    let database = &config.settings.database;
    let path = path_of(database.sqlite.path.as_ref());
    if database.driver == DatabaseDriver::Sqlite
        && let Err(source) = std::fs::metadata(&path)
    {
        return Err(StartError::Path { path, source });
    }
    open_index(config, &DiskPressure::new()).await
}

#[cfg(feature = "sql")]
fn bounds(database: &Database) -> sql::ClientLimits {
    sql::ClientLimits {
        connections: database.max_connections,
        call: Duration::from_millis(database.timeout_ms),
    }
}

#[cfg(feature = "sql")]
fn server(server: &DatabaseServer) -> sql::ConnectionSettings {
    sql::ConnectionSettings {
        url: exposed(server.url.as_ref()),
        host: server.host.clone(),
        port: (server.port != 0).then_some(server.port),
        user: server.user.clone(),
        password: exposed(server.password.as_ref()),
        database: server.database.clone(),
        ssl_mode: match server.ssl_mode {
            SslMode::Unset => None,
            SslMode::Disable => Some(sql::SslMode::Disable),
            SslMode::Prefer => Some(sql::SslMode::Prefer),
            SslMode::Require => Some(sql::SslMode::Require),
            SslMode::VerifyCa => Some(sql::SslMode::VerifyCa),
            SslMode::VerifyFull => Some(sql::SslMode::VerifyFull),
        },
        ca_file: server.ca_file.clone(),
    }
}

/// Opens the database's file. That needs a little space for the files beside it; on a full disk the
/// ballast makes it.
fn open_sqlite(path: PathBuf, rule: KeyRule, pressure: &DiskPressure) -> Result<SqliteIndex, StartError> {
    let mut opened = SqliteIndex::open(&path, rule);
    if matches!(opened, Err(IndexError::NoSpace { .. })) && pressure.drop_ballast() {
        tracing::warn!(path = %path.display(), "disk full: deleting the database's reserve to open the database");
        opened = SqliteIndex::open(&path, rule);
        // Saves are refused until a sweep has made space.
        pressure.report();
    } else {
        pressure.make_ballast();
    }
    opened.map_err(|error| match error {
        IndexError::NoSpace { .. } => StartError::Full { path },
        source @ (IndexError::Unavailable { .. } | IndexError::Unsupported(_)) => {
            StartError::Database { path, source }
        }
    })
}
