//! The statements that rewrite a database for another rule of comparing keys.

use sqlx::{PgConnection, postgres::PgRow};

use super::{
    Postgres,
    departed::DELETE_SUPERSEDED,
    statements::{execute, fetch_all, fetch_optional},
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

fn stored(row: &PgRow) -> sqlx::Result<StoredKey> {
    Ok(StoredKey {
        id: id(row)?,
        place: rows::value(row, 1)?,
        slot: rows::value(row, 2)?,
        key: rows::value(row, 3)?,
        folded: row.bytes(4)?,
    })
}

fn id(row: &PgRow) -> sqlx::Result<i64> {
    row.integer(0)?.ok_or(sqlx::Error::RowNotFound)
}

impl Refold for Postgres {
    async fn rule(connection: &mut PgConnection) -> Result<String, Fault> {
        let read = sqlx::query("SELECT value FROM properties WHERE name = $1").bind(RULE_PROPERTY);
        let rule = fetch_optional(connection, read, |row| sqlx::Row::try_get(row, 0)).await?;
        rule.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    async fn set_rule(connection: &mut PgConnection, name: &str) -> Result<(), Fault> {
        let set =
            sqlx::query("UPDATE properties SET value = $2 WHERE name = $1").bind(RULE_PROPERTY).bind(name);
        execute(connection, set).await?;
        Ok(())
    }

    async fn page(
        connection: &mut PgConnection,
        table: Table,
        after: i64,
        most: usize,
    ) -> Result<Vec<StoredKey>, Fault> {
        // Of an entry in quarantine, the place is inverted.
        let text = match table {
            Table::Entries => {
                "SELECT id, CASE WHEN quarantined_ms IS NULL THEN place \
                 ELSE set_byte(place, 0, get_byte(place, 0) # 255) END, \
                 slot, key, folded FROM entries WHERE id > $1 ORDER BY id LIMIT $2"
            }
            Table::Uploads => {
                "SELECT id, place, slot, key, folded FROM uploads WHERE id > $1 ORDER BY id LIMIT $2"
            }
        };
        fetch_all(connection, sqlx::query(text).bind(after).bind(limit(most)), stored).await
    }

    async fn holders(
        connection: &mut PgConnection,
        table: Table,
        slots: &[&[u8]],
    ) -> Result<Vec<(i64, Vec<u8>)>, Fault> {
        let text = of_table!(table, "SELECT id, slot FROM ", " WHERE slot = ANY ($1::bytea[])");
        fetch_all(connection, sqlx::query(text).bind(slots), |row| Ok((id(row)?, rows::value(row, 1)?))).await
    }

    async fn rewrite(
        connection: &mut PgConnection,
        table: Table,
        changes: &[KeyChange],
    ) -> Result<(), Fault> {
        let text = match table {
            Table::Entries => {
                "UPDATE entries SET slot = changed.slot, folded = changed.folded \
                 FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS changed (id, slot, folded) \
                 WHERE entries.id = changed.id"
            }
            Table::Uploads => {
                "UPDATE uploads SET slot = changed.slot, folded = changed.folded \
                 FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS changed (id, slot, folded) \
                 WHERE uploads.id = changed.id"
            }
        };
        let ids: Vec<i64> = changes.iter().map(|change| change.id).collect();
        let slots: Vec<&[u8]> = changes.iter().map(|change| &*change.slot).collect();
        let folded: Vec<Option<&[u8]>> = changes.iter().map(|change| change.folded.as_deref()).collect();
        execute(connection, sqlx::query(text).bind(ids).bind(slots).bind(folded)).await?;
        Ok(())
    }

    async fn delete_uploads(connection: &mut PgConnection, gone: &[Superseded]) -> Result<(), Fault> {
        let ids: Vec<i64> = gone.iter().map(|gone| gone.id).collect();
        let delete = sqlx::query("DELETE FROM uploads WHERE id = ANY ($1::bigint[])").bind(ids);
        execute(connection, delete).await?;
        Ok(())
    }

    async fn delete_entries(
        connection: &mut PgConnection,
        gone: &[Superseded],
        departure: &Departure,
    ) -> Result<(), Fault> {
        let ids: Vec<i64> = gone.iter().map(|gone| gone.id).collect();
        let compared: Vec<&[u8]> = gone.iter().map(|gone| &*gone.compared).collect();
        let delete = sqlx::query(DELETE_SUPERSEDED)
            .bind(ids)
            .bind(compared)
            .bind(integer(departure.at_ms))
            .bind(departure.cause.to_string().into_bytes());
        execute(connection, delete).await?;
        Ok(())
    }

    async fn delete_uploads_of_entries(connection: &mut PgConnection) -> Result<u64, Fault> {
        let text = "DELETE FROM uploads USING entries WHERE entries.slot = uploads.slot";
        execute(connection, sqlx::query(text)).await
    }
}
