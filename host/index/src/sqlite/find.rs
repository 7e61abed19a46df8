//! The search for the entry that matches a list of probes.
//!
//! Called by the driver, on a read connection. Knows nothing of why an entry is skipped.
//!
//! The newest entry with a prefix is looked for from two sides at once: from the newest entry backwards, until one has
//! the prefix; and through the range of keys with the prefix, until it ends. The steps alternate, so the cost is at most
//! twice that of the side that ends first. Where neither ends soon (many keys with the prefix, all of them older than many
//! others) the search goes from the newest block of entries backwards, in each block through the keys with the prefix: for a
//! million entries that is some thousand blocks.

use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};

use super::{
    reader::ReadTransaction,
    rows::{self, compared_key, entry_columns, integer},
};
use crate::{Entry, EntryId, KeyRule, MatchKind, Probe};

/// Steps of each side before the search goes by blocks.
const NEAR: u64 = 400;

/// What the way to a block costs, in steps over an entry.
const BLOCK_STEPS: u64 = 4;

pub(super) const BY_SLOT: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries INDEXED BY entries_by_key \
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND ",
    compared_key!(),
    " = ?4"
);

pub(super) const BY_ID: &str = concat!("SELECT ", entry_columns!(), " FROM entries WHERE id = ?1");

pub(super) const NEWEST_FIRST: &str = concat!(
    "SELECT id, ",
    compared_key!(),
    " FROM entries INDEXED BY entries_by_age \
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 ORDER BY id DESC"
);

/// Open-ended: not every prefix has a successor, so the reader of the rows sees where the range ends.
pub(super) const BY_KEY: &str = concat!(
    "SELECT id, ",
    compared_key!(),
    " FROM entries INDEXED BY entries_by_key \
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND ",
    compared_key!(),
    " >= ?4 ORDER BY ",
    compared_key!()
);

pub(super) const BLOCK_BEFORE: &str = "SELECT id >> 10 FROM entries INDEXED BY entries_by_block \
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND id >> 10 < ?4 ORDER BY id >> 10 DESC LIMIT 1";

/// Open-ended, as [`BY_KEY`].
pub(super) const IN_BLOCK: &str = concat!(
    "SELECT id, ",
    compared_key!(),
    " FROM entries INDEXED BY entries_by_block \
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND id >> 10 = ?4 AND ",
    compared_key!(),
    " >= ?5 ORDER BY ",
    compared_key!()
);

/// What is looked for, and where.
pub(super) struct Search<'a> {
    pub(super) rule: KeyRule,
    pub(super) repository: &'a str,
    pub(super) version: &'a str,
    pub(super) probes: &'a [Probe],
    /// Sorted.
    pub(super) skip: &'a [EntryId],
}

/// How a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With this.
    Done(Option<Entry>),
    /// It would have taken more steps than it was allowed.
    OutOfSteps,
}

/// Looks at the state of one moment, and takes at most `steps` steps over entries that are not the answer.
pub(super) fn find(conn: &Connection, search: &Search<'_>, mut steps: u64) -> rusqlite::Result<Outcome> {
    let _snapshot = ReadTransaction::begin(conn)?;
    for probe in search.probes {
        let key = search.rule.compared(&probe.key);
        let key = key.as_bytes();
        let found = match probe.kind {
            MatchKind::Exact => exact(conn, search, &probe.scope, key)?,
            MatchKind::Prefix => match newest(conn, search, &probe.scope, key, &mut steps)? {
                Outcome::Done(found) => found,
                Outcome::OutOfSteps => return Ok(Outcome::OutOfSteps),
            },
        };
        if found.is_some() {
            return Ok(Outcome::Done(found));
        }
    }
    Ok(Outcome::Done(None))
}

/// Returns the entry with this number.
pub(super) fn by_id(conn: &Connection, id: EntryId) -> rusqlite::Result<Option<Entry>> {
    conn.prepare_cached(BY_ID)?.query_one([integer(id.0)], rows::entry).optional()
}

fn exact(conn: &Connection, search: &Search<'_>, scope: &str, key: &[u8]) -> rusqlite::Result<Option<Entry>> {
    let mut statement = conn.prepare_cached(BY_SLOT)?;
    let place = params![search.repository.as_bytes(), scope.as_bytes(), search.version.as_bytes(), key];
    let found = statement.query_one(place, rows::entry).optional()?;
    Ok(found.filter(|entry| !search.skips(entry.id)))
}

fn newest(
    conn: &Connection,
    search: &Search<'_>,
    scope: &str,
    prefix: &[u8],
    steps: &mut u64,
) -> rusqlite::Result<Outcome> {
    let mut by_key = conn.prepare_cached(BY_KEY)?;
    let mut newest_first = conn.prepare_cached(NEWEST_FIRST)?;
    let mut result = scan_from_both_ends(&mut by_key, &mut newest_first, search, scope, prefix, steps)?;
    if let ScanResult::Undecided = result {
        result = scan_by_block(conn, search, scope, prefix, steps)?;
    }
    match result {
        ScanResult::Found(id) => by_id(conn, id).map(Outcome::Done),
        ScanResult::NotFound => Ok(Outcome::Done(None)),
        ScanResult::Undecided | ScanResult::OutOfSteps => Ok(Outcome::OutOfSteps),
    }
}

enum ScanResult {
    Found(EntryId),
    NotFound,
    /// Neither scan ended within `NEAR` steps.
    Undecided,
    OutOfSteps,
}

fn scan_from_both_ends(
    by_key: &mut Statement<'_>,
    newest_first: &mut Statement<'_>,
    search: &Search<'_>,
    scope: &str,
    prefix: &[u8],
    steps: &mut u64,
) -> rusqlite::Result<ScanResult> {
    let (repository, scope, version) =
        (search.repository.as_bytes(), scope.as_bytes(), search.version.as_bytes());
    let mut by_key = by_key.query(params![repository, scope, version, prefix])?;
    let mut newest_first = newest_first.query(params![repository, scope, version])?;
    let mut best = None;
    for _ in 0..NEAR {
        match by_key.next()? {
            Some(row) if starts_with(row, prefix)? => best = best.max(search.counted(row)?),
            _ => return Ok(best.map_or(ScanResult::NotFound, ScanResult::Found)),
        }
        // There is a key with the prefix (perhaps a skipped one), so this side cannot end before it has come to it.
        if let Some(row) = newest_first.next()?
            && starts_with(row, prefix)?
            && let Some(id) = search.counted(row)?
        {
            return Ok(ScanResult::Found(id));
        }
        if !spend(steps, 1) {
            return Ok(ScanResult::OutOfSteps);
        }
    }
    Ok(ScanResult::Undecided)
}

/// Goes from the newest block backwards.
fn scan_by_block(
    conn: &Connection,
    search: &Search<'_>,
    scope: &str,
    prefix: &[u8],
    steps: &mut u64,
) -> rusqlite::Result<ScanResult> {
    let (repository, scope, version) =
        (search.repository.as_bytes(), scope.as_bytes(), search.version.as_bytes());
    let mut block_before = conn.prepare_cached(BLOCK_BEFORE)?;
    let mut in_block = conn.prepare_cached(IN_BLOCK)?;
    let mut block = i64::MAX;
    while spend(steps, BLOCK_STEPS) {
        let before = block_before.query_one(params![repository, scope, version, block], |row| row.get(0));
        let Some(before) = before.optional()? else { return Ok(ScanResult::NotFound) };
        block = before;
        let mut best = None;
        let mut rows = in_block.query(params![repository, scope, version, block, prefix])?;
        while let Some(row) = rows.next()?
            && starts_with(row, prefix)?
        {
            best = best.max(search.counted(row)?);
            if !spend(steps, 1) {
                return Ok(ScanResult::OutOfSteps);
            }
        }
        if let Some(id) = best {
            return Ok(ScanResult::Found(id));
        }
    }
    Ok(ScanResult::OutOfSteps)
}

/// Returns whether there were so many.
fn spend(steps: &mut u64, count: u64) -> bool {
    let left = steps.checked_sub(count);
    *steps = left.unwrap_or(0);
    left.is_some()
}

fn starts_with(row: &Row<'_>, prefix: &[u8]) -> rusqlite::Result<bool> {
    Ok(row.get_ref(1)?.as_blob()?.starts_with(prefix))
}

impl Search<'_> {
    fn skips(&self, id: EntryId) -> bool {
        self.skip.binary_search(&id).is_ok()
    }

    /// Reads the number of an entry, unless it is skipped.
    fn counted(&self, row: &Row<'_>) -> rusqlite::Result<Option<EntryId>> {
        let id = EntryId(rows::number(row, 0)?);
        Ok(Some(id).filter(|id| !self.skips(*id)))
    }
}
