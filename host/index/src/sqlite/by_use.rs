//! The entries of a part of a tenant in the order of last use, or against it.
//!
//! Each trust has a range of its own in the database indexes. Where both are asked for, their rows are
//! read in turns, so a page reads no more rows than it has.

use rusqlite::{CachedStatement, Row, Rows};

use super::{
    facts,
    rows::{self, entry_columns, integer},
    tenant::TenantConnection,
};
use crate::{
    Detailed, Entry, EntryId, EntryOrder, LeastRecent, Trust, UnusedPage, Within, facts::detail_columns,
    within::is_in_use,
};

/// The columns that are read.
macro_rules! read_columns {
    (entry) => {
        entry_columns!()
    };
    (details) => {
        concat!(entry_columns!(), ", ", detail_columns!())
    };
}

/// A page of one trust, in a part of an index. What counts as the trust of an entry is as
/// [`Trust::of`]; it is the expression of the database indexes, and a statement uses an index only if
/// it has exactly this text.
macro_rules! page {
    ($read:tt, $index:literal, $place:literal, $trust:literal, $part:literal, $order:literal) => {
        concat!(
            "SELECT ",
            read_columns! $read,
            " FROM entries INDEXED BY ",
            $index,
            " WHERE tenant = ?1",
            $place,
            " AND coalesce(trust, substr(scope, 1, 10) <> x'726566732f70756c6c2f') = ",
            $trust,
            $part,
            " ORDER BY ",
            $order,
            " LIMIT ?4"
        )
    };
}

/// Two parts of an index, for each trust: the rest of those that were used at one time, and those
/// behind. One comparison of both columns would not be searched by the index.
macro_rules! parts {
    ($read:tt, $index:literal, $place:literal, $rest:literal, $behind:literal, $order:literal) => {
        [
            [
                page!($read, $index, $place, "0", $rest, $order),
                page!($read, $index, $place, "1", $rest, $order),
            ],
            [
                page!($read, $index, $place, "0", $behind, $order),
                page!($read, $index, $place, "1", $behind, $order),
            ],
        ]
    };
}

macro_rules! forwards {
    ($index:literal, $place:literal) => {
        [forwards!((entry), $index, $place), forwards!((details), $index, $place)]
    };
    ($read:tt, $index:literal, $place:literal) => {
        parts!($read, $index, $place, " AND used_ms = ?2 AND id > ?3", " AND used_ms > ?2", "used_ms, id")
    };
}

type Texts = [[&'static str; 2]; 2];

/// Texts of entries, and of entries with their details.
type BothTexts = [Texts; 2];

pub(super) const OF_TENANT: BothTexts = forwards!("entries_by_use", "");

pub(super) const OF_REPOSITORY: BothTexts = forwards!("entries_by_use_in_repository", " AND repository = ?5");

pub(super) const OF_SCOPE: BothTexts =
    forwards!("entries_by_use_in_scope", " AND repository = ?5 AND scope = ?6");

pub(super) const BACKWARDS: Texts = parts!(
    (entry),
    "entries_by_use",
    "",
    " AND used_ms = ?2 AND id < ?3",
    " AND used_ms < ?2",
    "used_ms DESC, id DESC"
);

/// What is read of a row.
trait Placed {
    /// Its place in the order.
    fn place(&self) -> (u64, EntryId);
}

impl Placed for Entry {
    fn place(&self) -> (u64, EntryId) {
        EntryOrder::LastUsed.place(self)
    }
}

/// A row of a page of what may make room.
struct Seen {
    place: (u64, EntryId),
    /// `None` if it is in use: then no more is read of it. In a box, so that those take little.
    listed: Option<Box<Detailed>>,
}

impl Placed for Seen {
    fn place(&self) -> (u64, EntryId) {
        self.place
    }
}

impl Seen {
    /// Reads it from the columns of [`rows::entry`], and from the details behind them.
    fn read(row: &Row<'_>, used_after_ms: u64) -> rusqlite::Result<Self> {
        let place = (rows::number(row, 8)?, EntryId(rows::number(row, 0)?));
        let is_in_use = is_in_use(rows::optional_number(row, 10)?, place.0, used_after_ms);
        let listed = if is_in_use {
            None
        } else {
            Some(Box::new((rows::entry(row)?, facts::details_at(row, 5, 10)?)))
        };
        Ok(Self { place, listed })
    }
}

/// See [`crate::Index::least_recent`].
pub(super) fn least_recent(conn: TenantConnection<'_>, page: &LeastRecent) -> rusqlite::Result<Vec<Entry>> {
    list(conn, page, false, rows::entry)
}

/// See [`crate::Index::list_unused`].
pub(super) fn list_unused(
    conn: TenantConnection<'_>,
    page: &LeastRecent,
    used_after_ms: u64,
) -> rusqlite::Result<UnusedPage> {
    let seen = list(conn, page, true, |row| Seen::read(row, used_after_ms))?;
    let next = seen.last().filter(|_| seen.len() >= page.limit).map(Placed::place);
    let entries = seen.into_iter().filter_map(|seen| seen.listed).map(|listed| *listed).collect();
    Ok(UnusedPage { entries, next })
}

fn list<L: Placed>(
    conn: TenantConnection<'_>,
    LeastRecent { within, trust, after, limit }: &LeastRecent,
    detailed: bool,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<L>,
) -> rusqlite::Result<Vec<L>> {
    let (texts, repository, scope) = match within {
        Within::Tenant => (&OF_TENANT, None, None),
        Within::Repository(repository) => (&OF_REPOSITORY, Some(repository), None),
        Within::Scope { repository, scope } => (&OF_SCOPE, Some(repository), Some(scope)),
    };
    let texts = &texts[usize::from(detailed)];
    let place = [repository, scope].map(|text| text.map(String::as_bytes));
    Reading { conn, texts, place, descending: false, read }.page(*trust, *after, *limit)
}

/// All of the tenant, in either direction. See [`crate::Catalogue::scan_entries`].
pub(super) fn scan(
    conn: TenantConnection<'_>,
    descending: bool,
    after: Option<(u64, EntryId)>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let texts = if descending { &BACKWARDS } else { &OF_TENANT[0] };
    Reading { conn, texts, place: [None; 2], descending, read: rows::entry }.page(None, after, limit)
}

/// What is read: repository and scope are bound as far as the texts have them.
struct Reading<'a, F> {
    conn: TenantConnection<'a>,
    texts: &'a Texts,
    place: [Option<&'a [u8]>; 2],
    descending: bool,
    /// Reads a row.
    read: F,
}

impl<'a, L: Placed, F: Fn(&Row<'_>) -> rusqlite::Result<L>> Reading<'a, F> {
    fn page(
        &self,
        trust: Option<Trust>,
        after: Option<(u64, EntryId)>,
        limit: usize,
    ) -> rusqlite::Result<Vec<L>> {
        let _snapshot = self.conn.snapshot()?;
        let first = if self.descending { (i64::MAX, i64::MAX) } else { (-1, -1) };
        let start = after.map_or(first, |(used_ms, id)| (integer(used_ms), integer(id.0)));
        let mut found = Vec::new();
        for [low, full] in self.texts {
            let rest = limit - found.len();
            if rest == 0 {
                break;
            }
            let prepare = |text| self.prepare(text, start, rest);
            match trust {
                Some(Trust::Low) => self.read(prepare(low)?.raw_query(), &mut found)?,
                Some(Trust::Full) => self.read(prepare(full)?.raw_query(), &mut found)?,
                None => {
                    let [mut low, mut full] = [prepare(low)?, prepare(full)?];
                    self.merge([low.raw_query(), full.raw_query()], limit, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    fn prepare(
        &self,
        text: &str,
        (used_ms, id): (i64, i64),
        limit: usize,
    ) -> rusqlite::Result<CachedStatement<'a>> {
        let mut statement = self.conn.prepare(text)?;
        statement.raw_bind_parameter(1, self.conn.tenant())?;
        for (number, value) in [used_ms, id, rows::limit(limit)].into_iter().enumerate() {
            statement.raw_bind_parameter(number + 2, value)?;
        }
        for (number, value) in self.place.into_iter().flatten().enumerate() {
            statement.raw_bind_parameter(number + 5, value)?;
        }
        Ok(statement)
    }

    /// Reads from both until so many are found.
    fn merge(
        &self,
        [mut one, mut other]: [Rows<'_>; 2],
        limit: usize,
        found: &mut Vec<L>,
    ) -> rusqlite::Result<()> {
        let mut heads = [self.next(&mut one)?, self.next(&mut other)?];
        while found.len() < limit {
            let is_one = match &heads {
                [Some(one), Some(other)] => (one.place() < other.place()) != self.descending,
                [one, _] => one.is_some(),
            };
            let Some(listed) = heads[usize::from(!is_one)].take() else { break };
            found.push(listed);
            heads[usize::from(!is_one)] = self.next(if is_one { &mut one } else { &mut other })?;
        }
        Ok(())
    }

    fn next(&self, rows: &mut Rows<'_>) -> rusqlite::Result<Option<L>> {
        rows.next()?.map(&self.read).transpose()
    }

    fn read(&self, mut rows: Rows<'_>, found: &mut Vec<L>) -> rusqlite::Result<()> {
        while let Some(listed) = self.next(&mut rows)? {
            found.push(listed);
        }
        Ok(())
    }
}
