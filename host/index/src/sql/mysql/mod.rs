//! The index in a MySQL database, version 8 or newer, or a MariaDB database, version 10.6 or newer.
//!
//! Every change is one statement, or one transaction at the isolation level `READ COMMITTED`: a
//! statement sees what was committed before it began. The server numbers entries in order, so
//! clusters whose nodes each have their own numbers cannot be used.

mod by_use;
mod catalogue;
mod departed;
mod facts;
mod find;
mod history;
mod ledger;
mod refold;
mod refusals;
mod statements;
mod sums;
#[cfg(test)]
mod tests;
mod texts;
mod within;

use std::str::FromStr as _;

use async_trait::async_trait;
use sqlx::{
    ConnectOptions as _, Executor as _, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode},
};

use super::{ClientLimits, ConnectionSettings, OtherRule, SslMode, fault::ErrorCodes, pool::Driver, schema};
use crate::{Index, IndexError, KeyRule, unavailable};

/// In order.
const MIGRATIONS: &[(&str, &str)] = &[
    ("initial", include_str!("migrations/0001_initial.sql")),
    ("owner of entry", include_str!("migrations/0002_owner_of_entry.sql")),
    ("compared keys", include_str!("migrations/0003_compared_keys.sql")),
    ("tenants", include_str!("migrations/0004_tenants.sql")),
    ("facts", include_str!("migrations/0005_facts.sql")),
    ("departed", include_str!("migrations/0006_departed.sql")),
    ("ledger", include_str!("migrations/0007_ledger.sql")),
    ("refusals", include_str!("migrations/0008_refusals.sql")),
    ("management", include_str!("migrations/0009_management.sql")),
    ("digests", include_str!("migrations/0010_digests.sql")),
    ("history", include_str!("migrations/0011_history.sql")),
];

/// Too long values are errors and are not truncated. Waiting for a row lock ends before the call
/// does.
fn session(limits: ClientLimits) -> String {
    let lock_seconds = (limits.call.as_secs() / 2).max(1);
    format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
         SESSION innodb_lock_wait_timeout = {lock_seconds}"
    )
}

/// Prepared statements that a connection caches. A search has one for each length of its lists.
const STATEMENTS: usize = 256;

/// How to reach the server.
#[derive(Clone)]
pub(crate) struct MySql {
    options: MySqlConnectOptions,
    session: String,
}

#[async_trait(?Send)]
impl Driver for MySql {
    type Connection = MySqlConnection;

    const CODES: ErrorCodes = ErrorCodes {
        // ER_LOCK_DEADLOCK, ER_CHECKREAD (the row has changed), ER_LOCK_WAIT_TIMEOUT
        rolled_back: &["1213", "1020", "1205"],
        // ER_CON_COUNT_ERROR, ER_SERVER_SHUTDOWN, ER_NEW_ABORTING_CONNECTION, ER_QUERY_INTERRUPTED,
        // ER_CONNECTION_KILLED
        connection_lost: &["1040", "1053", "1184", "1317", "1927"],
        // ER_DISK_FULL, ER_RECORD_FILE_FULL
        disk_full: &["1021", "1114"],
        code: |error| {
            error
                .try_downcast_ref::<MySqlDatabaseError>()
                .map(|error| error.number().to_string())
                .unwrap_or_default()
        },
    };

    async fn connect_unbounded(&self) -> sqlx::Result<MySqlConnection> {
        self.options.connect().await
    }

    /// The library's own lock waits for ever on MySQL and does not wait on MariaDB, which takes no
    /// negative timeout.
    async fn lock(connection: &mut MySqlConnection) -> sqlx::Result<()> {
        let name = "CONCAT('larder.', LEFT(SHA2(DATABASE(), 256), 40))";
        let lock = format!("SELECT GET_LOCK({name}, {})", schema::OPEN_TIMEOUT.as_secs());
        match sqlx::query_scalar::<_, Option<i64>>(sqlx::AssertSqlSafe(lock)).fetch_one(connection).await? {
            Some(1) => Ok(()),
            _ => Err(sqlx::Error::Protocol("cannot get the migration lock".into())),
        }
    }

    async fn connect(&self) -> sqlx::Result<MySqlConnection> {
        let mut connection = self.connect_unbounded().await?;
        connection.execute(sqlx::AssertSqlSafe(self.session.as_str())).await?;
        Ok(connection)
    }
}

super::execute::execute!(MySql, sqlx::MySql);

/// Opens the database, and creates or migrates its tables as needed.
///
/// # Errors
/// If the server cannot be reached, if the database was made by a newer version of the program, or
/// for another rule of comparing keys and `other` refuses that. The source of the error states which.
pub async fn open(
    server: &ConnectionSettings,
    limits: ClientLimits,
    rule: KeyRule,
    other: OtherRule,
) -> Result<impl Index, IndexError> {
    let options = options(server).map_err(|error| unavailable(schema::OPEN, error))?;
    schema::open(MySql { options, session: session(limits) }, limits, (rule, other), MIGRATIONS).await
}

fn options(server: &ConnectionSettings) -> sqlx::Result<MySqlConnectOptions> {
    let mut options = match &server.url {
        Some(url) => MySqlConnectOptions::from_str(url)?,
        None => {
            let mut options = MySqlConnectOptions::new()
                .host(server.host.as_deref().unwrap_or_default())
                .port(server.port.unwrap_or(3306))
                .username(server.user.as_deref().unwrap_or_default())
                .database(server.database.as_deref().unwrap_or_default());
            if let Some(password) = &server.password {
                options = options.password(password);
            }
            options
        }
    };
    if let Some(file) = &server.ca_file {
        options = options.ssl_ca(file);
    }
    let mode = match server.ssl_mode {
        None => options.get_ssl_mode(),
        Some(SslMode::Disable) => MySqlSslMode::Disabled,
        Some(SslMode::Prefer) => MySqlSslMode::Preferred,
        Some(SslMode::Require) => MySqlSslMode::Required,
        Some(SslMode::VerifyCa) => MySqlSslMode::VerifyCa,
        Some(SslMode::VerifyFull) => MySqlSslMode::VerifyIdentity,
    };
    Ok(options.ssl_mode(mode).statement_cache_capacity(STATEMENTS).disable_statement_logging())
}
