//! The statements that change sums of bytes.

use sqlx::MySqlConnection;

use super::statements::{execute, fetch_all, json};
use crate::{
    ledger::{Level, SumChange},
    sql::{fault::Fault, ledger, rows::Columns as _},
};

/// A list of sums as a table: level, tenant, repository and scope, the last three in hexadecimal digits,
/// and a change.
macro_rules! changes {
    () => {
        "JSON_TABLE(?, '$[*]' COLUMNS (level TINYINT PATH '$[0]', tenant VARCHAR(126) CHARACTER SET ascii PATH '$[1]', \
         repository VARCHAR(528) CHARACTER SET ascii PATH '$[2]', scope VARCHAR(528) CHARACTER SET ascii PATH '$[3]', \
         bytes BIGINT PATH '$[4]')) AS changed"
    };
}

/// The sums of a list.
macro_rules! joined_sums {
    () => {
        concat!(
            changes!(),
            " STRAIGHT_JOIN area_usage ON area_usage.level = changed.level AND area_usage.tenant = UNHEX(changed.tenant) \
             AND area_usage.repository = UNHEX(changed.repository) AND area_usage.scope = UNHEX(changed.scope)"
        )
    };
}

/// Locks the sums in the order of the list. A sum is not negative, and at most the largest number.
const CHANGE: &str = concat!(
    "INSERT INTO area_usage (level, tenant, repository, scope, bytes) \
     SELECT changed.level, UNHEX(changed.tenant), UNHEX(changed.repository), UNHEX(changed.scope), changed.bytes FROM ",
    changes!(),
    " ON DUPLICATE KEY UPDATE area_usage.bytes = GREATEST(0, \
     LEAST(area_usage.bytes, 9223372036854775807 - GREATEST(VALUES(bytes), 0)) + VALUES(bytes))"
);

const SUMS: &str = concat!("SELECT area_usage.level, area_usage.bytes FROM ", joined_sums!());

const FORGET_EMPTY: &str = concat!(
    "DELETE area_usage FROM ",
    joined_sums!(),
    " WHERE area_usage.bytes <= 0 AND area_usage.level < 2"
);

/// What is not there cannot be locked: the first save in a new database makes the sum of the server. In no
/// transaction, because others lock it last.
pub(super) const MAKE_SERVER: &str = "INSERT INTO area_usage (level, tenant, repository, scope, bytes) \
     VALUES (3, '', '', '', 0) ON DUPLICATE KEY UPDATE bytes = bytes";

/// The sums of tenants and of the server, in the order in which they are locked.
pub(super) const LOCK_TENANTS: &str =
    "SELECT level FROM area_usage WHERE level >= 2 ORDER BY level, tenant FOR UPDATE";

/// The list of [`CHANGE`].
fn list<'a>(changes: impl Iterator<Item = &'a SumChange>) -> Result<String, Fault> {
    let change = |change: &SumChange| {
        let SumChange { level, tenant, place, bytes } = change;
        (*level, hex::encode(tenant), hex::encode(&place.repository), hex::encode(&place.scope), *bytes)
    };
    json(&changes.map(change).collect::<Vec<_>>())
}

/// Changes sums, and deletes those of repositories and scopes in which nothing is left.
pub(super) async fn change(connection: &mut MySqlConnection, changes: &[SumChange]) -> Result<(), Fault> {
    if !changes.is_empty() {
        execute(connection, sqlx::query(CHANGE).bind(list(changes.iter())?)).await?;
    }
    let lowered = |change: &&SumChange| change.bytes < 0 && change.level < Level::Tenant.number();
    if changes.iter().any(|change| lowered(&change)) {
        let lowered = list(changes.iter().filter(lowered))?;
        execute(connection, sqlx::query(FORGET_EMPTY).bind(lowered)).await?;
    }
    Ok(())
}

/// Returns level and bytes of the sums that were changed.
pub(super) async fn changed(
    connection: &mut MySqlConnection,
    changes: &[SumChange],
) -> Result<Vec<(i64, u64)>, Fault> {
    fetch_all(connection, sqlx::query(SUMS).bind(list(changes.iter())?), |row| {
        Ok((row.integer(0)?.unwrap_or_default(), ledger::sum(row, 1)?))
    })
    .await
}
