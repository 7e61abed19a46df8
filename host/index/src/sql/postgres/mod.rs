//! The index in a PostgreSQL database, version 12 or newer.
//!
//! Every change is one statement, or one transaction at the isolation level `READ COMMITTED`: a
//! statement sees what was committed before it began, and waits for transactions that change the
//! same row.

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
#[cfg(test)]
mod tests;
mod within;

use std::str::FromStr as _;

use async_trait::async_trait;
use sqlx::{
    ConnectOptions as _, Executor as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
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

/// Each statement has one plan, made once and from its indexes alone. The statements are written
/// for these indexes; a plan made while a table was small would scan it when it is large. The
/// timeouts make the server drop what the program no longer waits for.
fn session(limits: ClientLimits) -> String {
    let call_ms = limits.call.as_millis();
    format!(
        "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
         SET enable_bitmapscan = off; SET enable_sort = off; SET jit = off; \
         SET max_parallel_workers_per_gather = 0; \
         SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; \
         SET statement_timeout = {call_ms}; SET idle_in_transaction_session_timeout = {call_ms}"
    )
}

/// The number of the migration lock in the database.
const LOCK: i64 = i64::from_be_bytes(*b"larder\0\0");

/// How to reach the server.
#[derive(Clone)]
pub(crate) struct Postgres {
    options: PgConnectOptions,
    session: String,
}

#[async_trait(?Send)]
impl Driver for Postgres {
    type Connection = PgConnection;

    const CODES: ErrorCodes = ErrorCodes {
        // serialization_failure, deadlock_detected
        rolled_back: &["40001", "40P01"],
        // connection_exception and its kind, too_many_connections, admin_shutdown, crash_shutdown,
        // cannot_connect_now, idle_session_timeout, idle_in_transaction_session_timeout
        connection_lost: &[
            "08000", "08001", "08003", "08004", "08006", "53300", "57P01", "57P02", "57P03", "57P05", "25P03",
        ],
        // disk_full
        disk_full: &["53100"],
        code: |error| error.code().unwrap_or_default().into_owned(),
    };

    async fn connect_unbounded(&self) -> sqlx::Result<PgConnection> {
        self.options.connect().await
    }

    /// The library's own lock covers only its migrations.
    async fn lock(connection: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(connection).await?;
        Ok(())
    }

    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let mut connection = self.connect_unbounded().await?;
        connection.execute(sqlx::AssertSqlSafe(self.session.as_str())).await?;
        Ok(connection)
    }
}

super::execute::execute!(Postgres, sqlx::Postgres);

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
    schema::open(Postgres { options, session: session(limits) }, limits, (rule, other), MIGRATIONS).await
}

fn options(server: &ConnectionSettings) -> sqlx::Result<PgConnectOptions> {
    let mut options = match &server.url {
        Some(url) => PgConnectOptions::from_str(url)?,
        None => {
            let mut options = PgConnectOptions::new_without_pgpass()
                .host(server.host.as_deref().unwrap_or_default())
                .port(server.port.unwrap_or(5432))
                .username(server.user.as_deref().unwrap_or_default())
                .database(server.database.as_deref().unwrap_or_default());
            if let Some(password) = &server.password {
                options = options.password(password);
            }
            options
        }
    };
    if let Some(file) = &server.ca_file {
        options = options.ssl_root_cert(file);
    }
    let mode = match server.ssl_mode {
        None => options.get_ssl_mode(),
        Some(SslMode::Disable) => PgSslMode::Disable,
        Some(SslMode::Prefer) => PgSslMode::Prefer,
        Some(SslMode::Require) => PgSslMode::Require,
        Some(SslMode::VerifyCa) => PgSslMode::VerifyCa,
        Some(SslMode::VerifyFull) => PgSslMode::VerifyFull,
    };
    Ok(options.ssl_mode(mode).application_name("larder").disable_statement_logging())
}
