//! The statements that list entries in the order of last use, or against it.
//!
//! Each trust has a range of its own in the database indexes. Where both are asked for, the server
//! merges the two ranges, and reads no more rows than a page has.

use super::statements::{Db, PgQuery, entry_columns};
use crate::{
    Trust, Within,
    facts::detail_columns,
    sql::within::{ListedRow, head},
};

/// What counts as the trust of an entry, as [`Trust::of`]. This is the expression of the database
/// indexes.
macro_rules! trusted {
    () => {
        "coalesce(trust, (substring(scope FROM 1 FOR 10) <> 'refs/pull/'::bytea)::int)"
    };
}

/// The columns that are read.
macro_rules! read_columns {
    (entry) => {
        entry_columns!()
    };
    (details) => {
        concat!(entry_columns!(), ", ", detail_columns!())
    };
}

/// A page of one trust in the order of one index, which no other has: `$columns` are its columns between
/// the tenant and the trust, with their names, `$values` their values, and `$condition` is the condition
/// on them. What follows in the index is read, and left out. The last order is the first one again,
/// because the planner does not see that the shorter one is the same, and would sort.
macro_rules! of_trust {
    (
        $read:tt,
        $trust:literal,
        [$columns:literal, $named:literal, $names:literal, $values:literal, $condition:literal],
        [$compare:literal, $direction:literal]
    ) => {
        concat!(
            "SELECT ",
            read_columns! $read,
            " FROM (SELECT *, ",
            $named,
            trusted!(),
            " AS trusted FROM entries WHERE (tenant, ",
            $columns,
            trusted!(),
            ", used_ms, id) ",
            $compare,
            " ($1, ",
            $values,
            $trust,
            ", $2::bigint, $3::bigint) ORDER BY tenant",
            $direction,
            ", ",
            $columns,
            trusted!(),
            $direction,
            ", used_ms",
            $direction,
            ", id",
            $direction,
            " LIMIT $4) AS page WHERE tenant = $1 AND trusted = ",
            $trust,
            $condition,
            " ORDER BY tenant",
            $direction,
            ", ",
            $names,
            "trusted",
            $direction,
            ", used_ms",
            $direction,
            ", id",
            $direction
        )
    };
}

/// Of low trust, of full trust, and of both.
macro_rules! by_use {
    ($read:tt, $place:tt, $way:tt) => {
        [
            of_trust!($read, "0", $place, $way),
            of_trust!($read, "1", $place, $way),
            merged!($read, $place, $way),
        ]
    };
}

/// Of both trusts.
macro_rules! merged {
    ($read:tt, $place:tt, [$compare:literal, $direction:literal]) => {
        concat!(
            "SELECT * FROM ((",
            of_trust!($read, "0", $place, [$compare, $direction]),
            ") UNION ALL (",
            of_trust!($read, "1", $place, [$compare, $direction]),
            ")) AS merged ORDER BY used_ms",
            $direction,
            ", id",
            $direction,
            " LIMIT $4"
        )
    };
}

/// Texts of entries, and of entries with their details.
type Texts = [[&'static str; 3]; 2];

macro_rules! texts {
    ($place:tt, $way:tt) => {
        [by_use!((entry), $place, $way), by_use!((details), $place, $way)]
    };
}

pub(super) const OF_TENANT: Texts = texts!(["", "", "", "", ""], [">", ""]);

pub(super) const OF_REPOSITORY: Texts = texts!(
    [
        "substring(repository FROM 1 FOR 255), ",
        "substring(repository FROM 1 FOR 255) AS repository_head, ",
        "repository_head, ",
        "$5::bytea, ",
        " AND repository_head = $5"
    ],
    [">", ""]
);

pub(super) const OF_SCOPE: Texts = texts!(
    [
        "substring(repository FROM 1 FOR 255), substring(scope FROM 1 FOR 255), ",
        "substring(repository FROM 1 FOR 255) AS repository_head, substring(scope FROM 1 FOR 255) AS scope_head, ",
        "repository_head, scope_head, ",
        "$5::bytea, $6::bytea, ",
        " AND repository_head = $5 AND scope_head = $6"
    ],
    [">", ""]
);

pub(super) const BACKWARDS: [&str; 3] = by_use!((entry), ["", "", "", "", ""], ["<", " DESC"]);

/// A page after a place, which is a last use and a number.
pub(super) fn query<'a, L: ListedRow>(
    db: &Db<'a>,
    (within, descending): (&'a Within, bool),
    trust: Option<Trust>,
    (used_ms, id): (i64, i64),
    limit: i64,
) -> PgQuery<'a> {
    let texts = match within {
        Within::Tenant if descending => BACKWARDS,
        Within::Tenant => OF_TENANT[usize::from(L::DETAILED)],
        Within::Repository(_) => OF_REPOSITORY[usize::from(L::DETAILED)],
        Within::Scope { .. } => OF_SCOPE[usize::from(L::DETAILED)],
    };
    let text = match trust {
        Some(Trust::Low) => texts[0],
        Some(Trust::Full) => texts[1],
        None => texts[2],
    };
    let statement = db.query(text).bind(used_ms).bind(id).bind(limit);
    match within {
        Within::Tenant => statement,
        Within::Repository(repository) => statement.bind(head(repository)),
        Within::Scope { repository, scope } => statement.bind(head(repository)).bind(head(scope)),
    }
}
