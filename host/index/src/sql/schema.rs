//! How the tables come to be as this version of the program needs them.
//!
//! Called by the drivers when they open a database. Several replicas may do so at once: each waits for a lock
//! in the database. A migration that was released is never edited: the database remembers its checksum.

use std::time::Duration;

use sqlx::{
    Connection as _, SqlSafeStr as _,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};
use tokio::time::{Instant, sleep};

use super::{
    Bounds,
    client::Client,
    driver::SqlIndex,
    fault::{Fault, Repeat},
    refold::{Refold, refold},
};
use crate::{IndexError, KeyRule, unavailable};

/// What is being done, for errors.
pub(super) const OPEN: &str = "opening the database";

/// How long an opening may take: another replica may be migrating a large table.
pub(super) const OPENING: Duration = Duration::from_secs(10 * 60);

/// Between two attempts to reach a server.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(
        "the database was made by a newer version of larder: its schema has version {found}, this program knows {known}"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "an earlier change of the schema to version {0} was cut off in the middle, which this server cannot undo: \
         restore the database, or drop its tables (they are an index of a cache)"
    )]
    HalfDone(i64),
    #[error("could not bring the schema up to date")]
    Migrate(#[source] MigrateError),
}

/// Opens an index, makes or migrates its tables, and brings them to this rule of comparing keys, as needed. Waits for a
/// server that is just starting, as long as for a call.
pub(super) async fn open<D: Refold>(
    driver: D,
    bounds: Bounds,
    rule: KeyRule,
    migrations: &'static [(&'static str, &'static str)],
) -> Result<SqlIndex<D>, IndexError>
where
    D::Connection: Migrate + 'static,
{
    let own = driver.clone();
    let client = Client::start(driver, bounds).map_err(|error| unavailable(OPEN, error))?;
    let patience = Instant::now() + bounds.call;
    while let Err(error) = client.call(OPEN, Repeat::Always, async |_: &mut D::Connection| Ok(())).await {
        if Instant::now() + PAUSE > patience {
            return Err(error);
        }
        sleep(PAUSE).await;
    }
    let migrate = async move |_: &mut D::Connection| -> Result<(), Fault> {
        // One of its own, without the bounds of a call; when it is closed its lock is free, whatever happened.
        let mut connection = own.connect_unbounded().await.map_err(Fault::Connect)?;
        D::lock(&mut connection).await?;
        migrate(&mut connection, migrations).await.map_err(Fault::Open)?;
        refold::<D>(&mut connection, rule).await?;
        Ok(connection.close().await?)
    };
    client.call_until(OPEN, Repeat::Never, Instant::now() + OPENING, migrate).await?;
    Ok(SqlIndex { client, rule })
}

/// Runs the migrations that were not run yet.
pub(super) async fn migrate(
    connection: &mut impl Migrate,
    migrations: &[(&'static str, &'static str)],
) -> Result<(), OpenError> {
    let migrations: Vec<Migration> =
        (1..).zip(migrations).map(|(version, named)| migration(version, *named)).collect();
    let known = migrations.last().map_or(0, |last| last.version);
    let migrator = Migrator::with_migrations(migrations);
    match migrator.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => Err(OpenError::Newer { found, known }),
        Err(MigrateError::Dirty(version)) => Err(OpenError::HalfDone(version)),
        Err(error) => Err(OpenError::Migrate(error)),
    }
}

fn migration(version: i64, (name, sql): (&'static str, &'static str)) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
}
