//! Counts all bytes again, from the rows.

use rusqlite::{Connection, TransactionBehavior, params};

use super::{
    ledger::{CHANGE, place},
    rows::number,
};
use crate::ledger::{COUNTED, Place, Sums, UNCOUNTED, USAGE_PROPERTY};

/// The scopes of all tenants, from the rows.
const EXPECTED: &str = "SELECT tenant, repository, scope, size_bytes FROM entries \
     UNION ALL SELECT tenant, repository, scope, reserved_bytes FROM uploads WHERE reserved_bytes > 0 \
     UNION ALL SELECT tenant, repository, scope, bytes FROM leaving \
     UNION ALL SELECT tenant, repository, scope, size_bytes FROM departed WHERE object IS NOT NULL";

/// See [`crate::Index::recount`].
pub(super) fn recount(conn: &Connection) -> rusqlite::Result<u64> {
    let (mut expected, mut stored) = (Sums::default(), Sums::default());
    let mut tenants = conn.prepare("SELECT tenant, orphan_bytes, apart FROM area_usage WHERE level = 2")?;
    let mut tenants = tenants.query([])?;
    while let Some(row) = tenants.next()? {
        expected.add_tenant(row.get::<_, String>(0)?.as_bytes(), number(row, 1)?, row.get(2)?);
    }
    let mut rows = conn.prepare(EXPECTED)?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        expected.add(row.get::<_, String>(0)?.as_bytes(), &place(row, 1)?, row.get(3)?);
    }
    let mut sums = conn.prepare("SELECT level, tenant, repository, scope, bytes FROM area_usage")?;
    let mut sums = sums.query([])?;
    while let Some(row) = sums.next()? {
        let place = Place { repository: row.get(2)?, scope: row.get(3)? };
        stored.set(row.get(0)?, row.get::<_, String>(1)?.into_bytes(), place, row.get(4)?);
    }
    let wrong = expected.differences(stored);
    let mut change = conn.prepare(CHANGE)?;
    for sum in &wrong {
        let tenant = String::from_utf8_lossy(&sum.tenant);
        change.execute(params![tenant, sum.level, sum.place.repository, sum.place.scope, sum.bytes])?;
    }
    conn.execute("DELETE FROM area_usage WHERE level < 2 AND bytes = 0", [])?;
    conn.execute("UPDATE properties SET value = ?2 WHERE name = ?1", [USAGE_PROPERTY, COUNTED])?;
    Ok(wrong.len() as u64)
}

/// Says that the sums have to be made again.
pub(super) fn set_uncounted(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute("UPDATE properties SET value = ?2 WHERE name = ?1", [USAGE_PROPERTY, UNCOUNTED])?;
    Ok(())
}

/// Makes the sums of a database that was made before there were any.
pub(super) fn count_if_uncounted(conn: &mut Connection) -> rusqlite::Result<()> {
    let asked = "SELECT 1 FROM properties WHERE name = ?1 AND value = ?2";
    let is_uncounted = |conn: &Connection| conn.prepare(asked)?.exists([USAGE_PROPERTY, UNCOUNTED]);
    if is_uncounted(conn)? {
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        recount(&transaction)?;
        transaction.commit()?;
    }
    Ok(())
}
