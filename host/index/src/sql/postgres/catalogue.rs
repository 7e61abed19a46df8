//! What operators ask: lists in any order, counts, and access keys.

use super::{
    Postgres, by_use,
    statements::{Db, entry_columns, fetch_all},
};
use crate::{
    Entry, EntryOrder, Within,
    sql::{
        catalogue::{AnyPlaceKey, CatalogueStatements, Scan},
        digest::HeadRange,
        fault::Fault,
        rows::{self, limit},
    },
};

/// A page in the order of one index, forwards or backwards. What follows another tenant's is read, and
/// left out.
macro_rules! page {
    ($columns:expr, $compare:literal, $values:literal, $order:literal, $last:literal, $more:literal) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM (SELECT * FROM entries WHERE (tenant, ",
            $columns,
            "id) ",
            $compare,
            " ($1, ",
            $values,
            "$3::bigint) ORDER BY ",
            $order,
            " LIMIT $4) AS page WHERE tenant = $1 AND $2::bigint IS NOT NULL",
            $more,
            " ORDER BY ",
            $last
        )
    };
}

pub(super) const BY_NUMBER: [&str; 2] =
    [page!("", ">", "", "tenant, id", "id", ""), page!("", "<", "", "tenant DESC, id DESC", "id DESC", "")];

pub(super) const BY_SIZE: [&str; 2] = [
    page!("size_bytes, ", ">", "$2::bigint, ", "tenant, size_bytes, id", "size_bytes, id", ""),
    page!(
        "size_bytes, ",
        "<",
        "$2::bigint, ",
        "tenant DESC, size_bytes DESC, id DESC",
        "size_bytes DESC, id DESC",
        ""
    ),
];

pub(super) const WITH_KEY: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM (SELECT * FROM entries WHERE (tenant, key_head, id) < ($1, $2::bytea, 9223372036854775807) \
     ORDER BY tenant DESC, key_head DESC, id DESC LIMIT $3) AS page \
     WHERE tenant = $1 AND key_head = $2 ORDER BY id DESC"
);

pub(super) const WITH_KEY_RANGE: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM (SELECT * FROM entries WHERE (tenant, key_head, id) >= ($1, $2::bytea, 0) \
     ORDER BY tenant, key_head, id LIMIT $3) AS page WHERE tenant = $1 AND key_head < $4"
);

impl CatalogueStatements for Postgres {
    const COUNT_TENANT: &'static str = "SELECT count(*) FROM entries WHERE tenant = $1";

    const COUNT_REPOSITORY: &'static str = "SELECT count(*) FROM entries \
         WHERE tenant = $1 AND substring(repository FROM 1 FOR 255) = $2";

    const COUNT_SCOPE: &'static str = "SELECT count(*) FROM entries \
         WHERE tenant = $1 AND substring(repository FROM 1 FOR 255) = $2 AND substring(scope FROM 1 FOR 255) = $3";

    const RECORD_DIGEST: &'static str =
        "UPDATE entries SET digest = $1 WHERE tenant || '' = $2 AND id = $3 AND object = $4";

    const ADD_KEY: &'static str = "INSERT INTO access_keys (name, role, tenant, digest, created_ms) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING";

    const REMOVE_KEY: &'static str = "DELETE FROM access_keys WHERE name = $1";

    const KEYS: &'static str =
        "SELECT name, role, tenant, digest, created_ms FROM access_keys ORDER BY name LIMIT $1";

    async fn scan(db: &mut Db<'_>, scan: Scan) -> Result<Vec<Entry>, Fault> {
        let Scan { order, descending, value, id, limit } = scan;
        let statement = match order {
            EntryOrder::Created => {
                db.query(BY_NUMBER[usize::from(descending)]).bind(value).bind(id).bind(limit)
            }
            EntryOrder::Size => db.query(BY_SIZE[usize::from(descending)]).bind(value).bind(id).bind(limit),
            EntryOrder::LastUsed => {
                by_use::query::<Entry>(db, (&Within::Tenant, descending), None, (value, id), limit)
            }
        };
        fetch_all(db.connection, statement, rows::entry).await
    }

    async fn with_key(db: &mut Db<'_>, key: &AnyPlaceKey, most: usize) -> Result<Vec<Entry>, Fault> {
        let statement = match key.prefix() {
            None => db.query(WITH_KEY).bind(key.key()).bind(limit(most)),
            Some(HeadRange { low, high }) => db.query(WITH_KEY_RANGE).bind(low).bind(limit(most)).bind(high),
        };
        fetch_all(db.connection, statement, rows::entry).await
    }
}
