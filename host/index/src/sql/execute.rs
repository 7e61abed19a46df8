//! Runs statements that differ from server to server in their text only.

use sqlx::{Database, Transaction};

use super::{fault::Fault, pool::Driver, rows::Columns};

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    /// Bytes or null.
    Optional(Option<&'a [u8]>),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        Self::Optional(bytes)
    }
}

/// A row of a driver's server.
pub(super) type Row<D> = <<D as Execute>::Database as Database>::Row;

/// Runs a text with its parameters, in the order in which the text has them. One that a text has twice is
/// given twice, because MySQL does not number them.
pub(super) trait Execute: Driver {
    /// What the library calls the kind of server.
    type Database: Database<Connection = Self::Connection, Row: Columns>;

    /// Returns the number of rows that were changed.
    async fn execute(
        connection: &mut Self::Connection,
        text: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, Fault>;

    async fn fetch<T>(
        connection: &mut Self::Connection,
        text: &'static str,
        values: &[Value<'_>],
        read: fn(&Row<Self>) -> sqlx::Result<T>,
    ) -> Result<Vec<T>, Fault>;

    async fn begin(connection: &mut Self::Connection) -> Result<Transaction<'_, Self::Database>, Fault>;
}

/// Implements [`Execute`] for a driver.
macro_rules! execute {
    ($driver:ty, $database:ty) => {
        impl $crate::sql::execute::Execute for $driver {
            type Database = $database;

            async fn execute(
                connection: &mut Self::Connection,
                text: &'static str,
                values: &[$crate::sql::execute::Value<'_>],
            ) -> Result<u64, $crate::sql::fault::Fault> {
                let statement = $crate::sql::execute::bound!(sqlx::query::<$database>(text), values);
                Ok(statement.execute(connection).await?.rows_affected())
            }

            async fn fetch<T>(
                connection: &mut Self::Connection,
                text: &'static str,
                values: &[$crate::sql::execute::Value<'_>],
                read: fn(&$crate::sql::execute::Row<Self>) -> sqlx::Result<T>,
            ) -> Result<Vec<T>, $crate::sql::fault::Fault> {
                let statement = $crate::sql::execute::bound!(sqlx::query::<$database>(text), values);
                let rows = statement.fetch_all(connection).await?;
                Ok(rows.iter().map(read).collect::<sqlx::Result<_>>()?)
            }

            async fn begin(
                connection: &mut Self::Connection,
            ) -> Result<sqlx::Transaction<'_, $database>, $crate::sql::fault::Fault> {
                Ok(sqlx::Connection::begin(connection).await?)
            }
        }
    };
}

/// Binds parameters to a statement.
macro_rules! bound {
    ($statement:expr, $values:expr) => {{
        let mut statement = $statement;
        for value in $values {
            statement = match *value {
                $crate::sql::execute::Value::Integer(number) => statement.bind(number),
                $crate::sql::execute::Value::Bytes(bytes) => statement.bind(bytes),
                $crate::sql::execute::Value::Optional(bytes) => statement.bind(bytes),
            };
        }
        statement
    }};
}

pub(super) use {bound, execute};
