//! The statements that rewrite a database for another rule of comparing keys.

use sqlx::{Connection as _, MySqlConnection, mysql::MySqlRow};

use super::{
    MySql,
    departed::RECORD_SUPERSEDED,
    statements::{execute, fetch_all, fetch_optional, json},
};
use crate::{
    Departure,
    keys::RULE_PROPERTY,
    sql::{
        fault::Fault,
        refold::{KeyChange, Refold, StoredKey, Superseded, Table},
        rows::{self, Columns as _, integer, limit},
    },
};

/// Returns the statement for the given table.
macro_rules! of_table {
    ($table:expr, $before:literal, $after:literal) => {
        match $table {
            Table::Entries => concat!($before, "entries", $after),
            Table::Uploads => concat!($before, "uploads", $after),
        }
    };
}

/// A list of rows as a table: number, digest and folded key, the last two in hexadecimal digits. An
/// empty text means that the key needs no folding.
macro_rules! changed {
    () => {
        "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', slot VARCHAR(64) CHARACTER SET ascii PATH '$[1]', \
         folded VARCHAR(8192) CHARACTER SET ascii PATH '$[2]')) AS changed"
    };
}

/// A list of numbers as a table.
macro_rules! ids {
    () => {
        "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) AS gone"
    };
}

fn numbers(gone: &[Superseded]) -> Vec<i64> {
    gone.iter().map(|gone| gone.id).collect()
}

fn stored(row: &MySqlRow) -> sqlx::Result<StoredKey> {
    Ok(StoredKey {
        id: id(row)?,
        place: rows::value(row, 1)?,
        slot: rows::value(row, 2)?,
        key: rows::value(row, 3)?,
        folded: row.bytes(4)?,
    })
}

fn id(row: &MySqlRow) -> sqlx::Result<i64> {
    row.integer(0)?.ok_or(sqlx::Error::RowNotFound)
}

impl Refold for MySql {
    async fn rule(connection: &mut MySqlConnection) -> Result<String, Fault> {
        let read = sqlx::query("SELECT value FROM properties WHERE name = ?").bind(RULE_PROPERTY.as_bytes());
        let rule = fetch_optional(connection, read, |row| rows::text(row, 0)).await?;
        rule.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    async fn set_rule(connection: &mut MySqlConnection, name: &str) -> Result<(), Fault> {
        let set = sqlx::query("UPDATE properties SET value = ? WHERE name = ?");
        execute(connection, set.bind(name.as_bytes()).bind(RULE_PROPERTY.as_bytes())).await?;
        Ok(())
    }

    async fn page(
        connection: &mut MySqlConnection,
        table: Table,
        after: i64,
        most: usize,
    ) -> Result<Vec<StoredKey>, Fault> {
        // Of an entry in quarantine, the place is inverted.
        let text = match table {
            Table::Entries => {
                "SELECT id, CASE WHEN quarantined_ms IS NULL THEN place \
                 ELSE CONCAT(CHAR(ASCII(place) ^ 255), SUBSTRING(place, 2)) END, \
                 slot, `key`, folded FROM entries WHERE id > ? ORDER BY id LIMIT ?"
            }
            Table::Uploads => {
                "SELECT id, place, slot, `key`, folded FROM uploads WHERE id > ? ORDER BY id LIMIT ?"
            }
        };
        fetch_all(connection, sqlx::query(text).bind(after).bind(limit(most)), stored).await
    }

    async fn holders(
        connection: &mut MySqlConnection,
        table: Table,
        slots: &[&[u8]],
    ) -> Result<Vec<(i64, Vec<u8>)>, Fault> {
        let text = of_table!(
            table,
            "SELECT held.id, held.slot FROM JSON_TABLE(?, '$[*]' \
             COLUMNS (slot VARCHAR(64) CHARACTER SET ascii PATH '$')) AS asked STRAIGHT_JOIN ",
            " AS held ON held.slot = UNHEX(asked.slot)"
        );
        let slots = json(&slots.iter().map(hex::encode).collect::<Vec<_>>())?;
        fetch_all(connection, sqlx::query(text).bind(slots), |row| Ok((id(row)?, rows::value(row, 1)?))).await
    }

    async fn rewrite(
        connection: &mut MySqlConnection,
        table: Table,
        changes: &[KeyChange],
    ) -> Result<(), Fault> {
        let text = match table {
            Table::Entries => concat!(
                "UPDATE ",
                changed!(),
                " STRAIGHT_JOIN entries ON entries.id = changed.id SET entries.slot = UNHEX(changed.slot), \
                 entries.folded = UNHEX(NULLIF(changed.folded, '')), \
                 entries.key_head = LEFT(COALESCE(UNHEX(NULLIF(changed.folded, '')), entries.`key`), 255)"
            ),
            Table::Uploads => concat!(
                "UPDATE ",
                changed!(),
                " STRAIGHT_JOIN uploads ON uploads.id = changed.id SET uploads.slot = UNHEX(changed.slot), \
                 uploads.folded = UNHEX(NULLIF(changed.folded, ''))"
            ),
        };
        let hex = |bytes: Option<&[u8]>| bytes.map(hex::encode).unwrap_or_default();
        let changes: Vec<(i64, String, String)> = changes
            .iter()
            .map(|change| (change.id, hex(Some(&*change.slot)), hex(change.folded.as_deref())))
            .collect();
        execute(connection, sqlx::query(text).bind(json(&changes)?)).await?;
        Ok(())
    }

    async fn delete_uploads(connection: &mut MySqlConnection, gone: &[Superseded]) -> Result<(), Fault> {
        let text = concat!("DELETE uploads FROM ", ids!(), " STRAIGHT_JOIN uploads ON uploads.id = gone.id");
        execute(connection, sqlx::query(text).bind(json(&numbers(gone))?)).await?;
        Ok(())
    }

    async fn delete_entries(
        connection: &mut MySqlConnection,
        gone: &[Superseded],
        departure: &Departure,
    ) -> Result<(), Fault> {
        let listed: Vec<(i64, String)> =
            gone.iter().map(|gone| (gone.id, hex::encode(&gone.compared))).collect();
        let mut transaction = connection.begin().await?;
        let record = sqlx::query(RECORD_SUPERSEDED)
            .bind(integer(departure.at_ms))
            .bind(departure.cause.to_string().into_bytes())
            .bind(json(&listed)?);
        execute(&mut transaction, record).await?;
        let text = concat!("DELETE entries FROM ", ids!(), " STRAIGHT_JOIN entries ON entries.id = gone.id");
        execute(&mut transaction, sqlx::query(text).bind(json(&numbers(gone))?)).await?;
        transaction.commit().await.map_err(Fault::Commit)
    }

    async fn delete_uploads_of_entries(connection: &mut MySqlConnection) -> Result<u64, Fault> {
        let text = "DELETE uploads FROM uploads JOIN entries ON entries.slot = uploads.slot";
        execute(connection, sqlx::query(text)).await
    }
}
