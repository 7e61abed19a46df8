//! The statements that bring a database to another rule of comparing keys.

use sqlx::{PgConnection, postgres::PgRow};

use super::{
    Postgres,
    statements::{all, count, one},
};
use crate::{
    keys::PROPERTY,
    sql::{
        fault::Fault,
        refold::{Change, Refold, Stored, Table},
        rows::{self, Columns as _, limit},
    },
};

/// The statement for either table.
macro_rules! of_table {
    ($table:expr, $before:literal, $after:literal) => {
        match $table {
            Table::Entries => concat!($before, "entries", $after),
            Table::Uploads => concat!($before, "uploads", $after),
        }
    };
}

fn stored(row: &PgRow) -> sqlx::Result<Stored> {
    Ok(Stored {
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
        let read = sqlx::query("SELECT value FROM properties WHERE name = $1").bind(PROPERTY);
        let rule = one(connection, read, |row| sqlx::Row::try_get(row, 0)).await?;
        rule.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    async fn set_rule(connection: &mut PgConnection, name: &str) -> Result<(), Fault> {
        let set = sqlx::query("UPDATE properties SET value = $2 WHERE name = $1").bind(PROPERTY).bind(name);
        count(connection, set).await?;
        Ok(())
    }

    async fn page(
        connection: &mut PgConnection,
        table: Table,
        after: i64,
        most: usize,
    ) -> Result<Vec<Stored>, Fault> {
        let text = of_table!(
            table,
            "SELECT id, place, slot, key, folded FROM ",
            " WHERE id > $1 ORDER BY id LIMIT $2"
        );
        all(connection, sqlx::query(text).bind(after).bind(limit(most)), stored).await
    }

    async fn holders(
        connection: &mut PgConnection,
        table: Table,
        slots: &[&[u8]],
    ) -> Result<Vec<(i64, Vec<u8>)>, Fault> {
        let text = of_table!(table, "SELECT id, slot FROM ", " WHERE slot = ANY ($1::bytea[])");
        all(connection, sqlx::query(text).bind(slots), |row| Ok((id(row)?, rows::value(row, 1)?))).await
    }

    async fn rewrite(connection: &mut PgConnection, table: Table, changes: &[Change]) -> Result<(), Fault> {
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
        count(connection, sqlx::query(text).bind(ids).bind(slots).bind(folded)).await?;
        Ok(())
    }

    async fn delete(connection: &mut PgConnection, table: Table, ids: &[i64]) -> Result<(), Fault> {
        let text = of_table!(table, "DELETE FROM ", " WHERE id = ANY ($1::bigint[])");
        count(connection, sqlx::query(text).bind(ids)).await?;
        Ok(())
    }

    async fn delete_uploads_of_entries(connection: &mut PgConnection) -> Result<u64, Fault> {
        let text = "DELETE FROM uploads USING entries WHERE entries.slot = uploads.slot";
        count(connection, sqlx::query(text)).await
    }
}
