//! Creates and migrates the tables.
//!
//! Several replicas may open a database at once: each waits for a lock in the database. A released
//! migration must never be edited, because databases store its checksum.

use std::time::Duration;

use sqlx::{
    Connection as _, SqlSafeStr as _,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};
use tokio::time::{Instant, sleep};

use super::{
    ClientLimits, OtherRule,
    client::Client,
    fault::{Fault, RetrySafety},
    index::SqlIndex,
    ledger::{LedgerStatements, count_if_uncounted},
    refold::{Refold, refold},
};
use crate::{IndexError, KeyRule, keys::CHANGING, unavailable};

/// The context of errors.
pub(super) const OPEN: &str = "opening the database";

/// Longest time for opening a database: another replica may be migrating a large table.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The library's table of the migrations that were run.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// The migration since which a database records its rule of comparing keys.
const RULE_MIGRATION: &str = "compared keys";

/// Pause between two attempts to reach a server.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error(
        "the database was made by a newer version of larder: its schema has version {found}, this program knows {known}"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "an earlier migration to version {0} was interrupted, and this server cannot roll it back; restore the \
         database, or drop its tables to start with an empty cache"
    )]
    Interrupted(i64),
    #[error(
        "the database was made for database.case_sensitive_keys = {stored}, and this server has {own}; servers that \
         share a database need the same. To change the setting for all of them, stop them, and start one of them \
         once with `larder serve --rewrite-keys`"
    )]
    OtherRule { stored: bool, own: bool },
    #[error("cannot migrate the schema")]
    Migrate(#[source] MigrateError),
}

/// Opens an index. Creates and migrates its tables, and rewrites them for this rule of comparing
/// keys, as needed and allowed. Waits up to [`ClientLimits::call`] for a server that is just starting.
pub(super) async fn open<D: Refold + LedgerStatements>(
    driver: D,
    limits: ClientLimits,
    (rule, other): (KeyRule, OtherRule),
    migrations: &'static [(&'static str, &'static str)],
) -> Result<SqlIndex<D>, IndexError>
where
    D::Connection: Migrate + 'static,
{
    let migration_driver = driver.clone();
    let client = Client::start(driver, limits).map_err(|error| unavailable(OPEN, error))?;
    let give_up_at = Instant::now() + limits.call;
    while let Err(error) = client.call(OPEN, RetrySafety::Always, async |_: &mut D::Connection| Ok(())).await
    {
        if Instant::now() + RETRY_INTERVAL > give_up_at {
            return Err(error);
        }
        sleep(RETRY_INTERVAL).await;
    }
    let migrate = async move |_: &mut D::Connection| -> Result<(), Fault> {
        // A connection of its own, without the bounds of a call. Closing it releases the lock in
        // any case.
        let mut connection = migration_driver.connect_unbounded().await.map_err(Fault::Connect)?;
        D::lock(&mut connection).await?;
        let had_rule = records_rule(&mut connection, migrations).await.map_err(Fault::Schema)?;
        migrate(&mut connection, migrations).await.map_err(Fault::Schema)?;
        if !had_rule {
            // New, or of a release that had one rule: nobody has set another one.
            D::set_rule(&mut connection, CHANGING).await?;
        }
        refold::<D>(&mut connection, rule, other).await?;
        count_if_uncounted::<D>(&mut connection).await?;
        Ok(connection.close().await?)
    };
    client.call_until(OPEN, RetrySafety::Never, Instant::now() + OPEN_TIMEOUT, migrate).await?;
    Ok(SqlIndex::new(client, rule))
}

/// Returns whether the database already records its rule of comparing keys.
async fn records_rule(
    connection: &mut impl Migrate,
    migrations: &[(&'static str, &'static str)],
) -> Result<bool, SchemaError> {
    connection.ensure_migrations_table(MIGRATIONS_TABLE).await.map_err(SchemaError::Migrate)?;
    let applied = connection.list_applied_migrations(MIGRATIONS_TABLE).await.map_err(SchemaError::Migrate)?;
    let needed =
        (1..).zip(migrations).find(|(_, (name, _))| *name == RULE_MIGRATION).map(|(version, _)| version);
    Ok(needed.is_some_and(|needed: i64| applied.iter().any(|migration| migration.version == needed)))
}

/// Runs the migrations that have not been run yet.
pub(super) async fn migrate(
    connection: &mut impl Migrate,
    migrations: &[(&'static str, &'static str)],
) -> Result<(), SchemaError> {
    let migrations: Vec<Migration> =
        (1..).zip(migrations).map(|(version, named)| migration(version, *named)).collect();
    let known = migrations.last().map_or(0, |last| last.version);
    let migrator = Migrator::with_migrations(migrations);
    match migrator.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => Err(SchemaError::Newer { found, known }),
        Err(MigrateError::Dirty(version)) => Err(SchemaError::Interrupted(version)),
        Err(error) => Err(SchemaError::Migrate(error)),
    }
}

fn migration(version: i64, (name, sql): (&'static str, &'static str)) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
}
