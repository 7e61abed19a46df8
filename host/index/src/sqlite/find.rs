//! The search for the entry that matches a list of probes.
//!
//! The search for the newest entry with a prefix scans from both ends at once: the newest entry
//! backwards, until one has the prefix; and the range of keys with the prefix, to its end. The
//! steps alternate, so the cost is at most twice that of the shorter scan. If neither ends soon
//! (many keys with the prefix, all older than many other entries), the search goes from the newest
//! block of entries backwards and scans the keys with the prefix in each block. A million entries
//! are about a thousand blocks.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    rows::{self, compared_key, entry_columns, integer},
    tenant::TenantConnection,
};
use crate::{Entry, EntryId, KeyRule, MatchKind, Probe};

/// Steps of each of the two scans before the search goes by blocks.
const MAX_STEPS_PER_SIDE: u64 = 400;

/// The cost of moving to the next block, in steps. One step reads one entry.
const STEPS_PER_BLOCK: u64 = 4;

pub(super) const BY_SLOT: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries INDEXED BY entries_by_key \
     WHERE tenant = ?1 AND repository = ?2 AND scope = ?3 AND version = ?4 AND ",
    compared_key!(),
    " = ?5"
);

/// As [`BY_SLOT`], without what is in quarantine.
pub(super) const EXACT: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries INDEXED BY entries_by_key \
     WHERE tenant = ?1 AND repository = ?2 AND scope = ?3 AND version = ?4 AND ",
    compared_key!(),
    " = ?5 AND quarantined_ms IS NULL"
);

/// Without what is in quarantine.
pub(super) const BY_ID: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries WHERE tenant = ?1 AND id = ?2 AND quarantined_ms IS NULL"
);

pub(super) const NEWEST_FIRST: &str = concat!(
    "SELECT id, ",
    compared_key!(),
    " FROM entries INDEXED BY entries_by_age \
     WHERE tenant = ?1 AND repository = ?2 AND scope = ?3 AND version = ?4 AND quarantined_ms IS NULL \
     ORDER BY id DESC"
);

/// A range of keys, with this condition beside.
macro_rules! by_key {
    ($condition:literal) => {
        concat!(
            "SELECT id, ",
            compared_key!(),
            " FROM entries INDEXED BY entries_by_key \
             WHERE tenant = ?1 AND repository = ?2 AND scope = ?3 AND version = ?4",
            $condition,
            " AND ",
            compared_key!(),
            " >= ?5 ORDER BY ",
            compared_key!()
        )
    };
}

/// No upper bound, because not every prefix has a successor: the caller stops at the first key
/// without the prefix. Reads no table, and so finds also what is in quarantine.
pub(super) const BY_KEY: &str = by_key!("");

/// As [`BY_KEY`], without what is in quarantine: reads the table.
pub(super) const BY_KEY_RELEASED: &str = by_key!(" AND quarantined_ms IS NULL");

pub(super) const BLOCK_BEFORE: &str = "SELECT id >> 10 FROM entries INDEXED BY entries_by_block \
     WHERE tenant = ?1 AND repository = ?2 AND scope = ?3 AND version = ?4 AND quarantined_ms IS NULL AND id >> 10 < ?5 \
     ORDER BY id >> 10 DESC LIMIT 1";

/// No upper bound, like [`BY_KEY`].
pub(super) const IN_BLOCK: &str = concat!(
    "SELECT id, ",
    compared_key!(),
    " FROM entries INDEXED BY entries_by_block \
     WHERE tenant = ?1 AND repository = ?2 AND scope = ?3 AND version = ?4 AND quarantined_ms IS NULL AND id >> 10 = ?5 AND ",
    compared_key!(),
    " >= ?6 ORDER BY ",
    compared_key!()
);

/// A lookup.
pub(super) struct Search<'a> {
    pub(super) rule: KeyRule,
    pub(super) repository: &'a str,
    pub(super) version: &'a str,
    pub(super) probes: &'a [Probe],
    /// Sorted, for binary search.
    pub(super) skip: &'a [EntryId],
}

/// The outcome of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SearchOutcome {
    /// The entry found, or `None` if no probe matches.
    Done(Option<Entry>),
    /// The search needs more steps than it was allowed.
    OutOfSteps,
}

/// Searches one snapshot of the database, in at most `steps` steps.
pub(super) fn find(
    conn: TenantConnection<'_>,
    search: &Search<'_>,
    mut steps: u64,
) -> rusqlite::Result<SearchOutcome> {
    if let Some(found) = first_exactly(conn, search)? {
        return Ok(SearchOutcome::Done(Some(found)));
    }
    let _snapshot = conn.snapshot()?;
    for probe in search.probes {
        let key = search.rule.compared(&probe.key);
        let key = key.as_bytes();
        let found = match probe.kind {
            MatchKind::Exact => exact(conn, search, &probe.scope, key)?,
            MatchKind::Prefix => match newest(conn, search, &probe.scope, key, &mut steps)? {
                SearchOutcome::Done(found) => found,
                SearchOutcome::OutOfSteps => return Ok(SearchOutcome::OutOfSteps),
            },
        };
        if found.is_some() {
            return Ok(SearchOutcome::Done(found));
        }
    }
    Ok(SearchOutcome::Done(None))
}

/// Returns the exact match of the first probe: what most lookups find, in one statement. Nothing is
/// better, so it needs no snapshot. The others do: a later probe must not be answered from a later state.
fn first_exactly(conn: TenantConnection<'_>, search: &Search<'_>) -> rusqlite::Result<Option<Entry>> {
    match search.probes.first() {
        Some(Probe { kind: MatchKind::Exact, scope, key }) => {
            exact(conn, search, scope, search.rule.compared(key).as_bytes())
        }
        _ => Ok(None),
    }
}

/// Returns the entry with this number, unless it is in quarantine.
pub(super) fn by_id(conn: TenantConnection<'_>, id: EntryId) -> rusqlite::Result<Option<Entry>> {
    conn.prepare(BY_ID)?.query_one(params![conn.tenant(), integer(id.0)], rows::entry).optional()
}

fn exact(
    conn: TenantConnection<'_>,
    search: &Search<'_>,
    scope: &str,
    key: &[u8],
) -> rusqlite::Result<Option<Entry>> {
    let mut statement = conn.prepare(EXACT)?;
    let place = params![
        conn.tenant(),
        search.repository.as_bytes(),
        scope.as_bytes(),
        search.version.as_bytes(),
        key
    ];
    let found = statement.query_one(place, rows::entry).optional()?;
    Ok(found.filter(|entry| !search.skips(entry.id)))
}

fn newest(
    conn: TenantConnection<'_>,
    search: &Search<'_>,
    scope: &str,
    prefix: &[u8],
    steps: &mut u64,
) -> rusqlite::Result<SearchOutcome> {
    for by_key in [BY_KEY, BY_KEY_RELEASED] {
        let mut result = scan_from_both_ends(conn, search, scope, prefix, by_key, steps)?;
        if let ScanResult::Undecided = result {
            result = scan_by_block(conn, search, scope, prefix, steps)?;
        }
        match result {
            ScanResult::Found(id) => {
                let found = by_id(conn, id)?;
                if found.is_some() {
                    return Ok(SearchOutcome::Done(found));
                }
                // It is in quarantine: once more, without those.
            }
            ScanResult::NotFound => return Ok(SearchOutcome::Done(None)),
            ScanResult::Undecided | ScanResult::OutOfSteps => return Ok(SearchOutcome::OutOfSteps),
        }
    }
    Ok(SearchOutcome::Done(None))
}

enum ScanResult {
    Found(EntryId),
    NotFound,
    /// Neither scan ended within `MAX_STEPS_PER_SIDE` steps.
    Undecided,
    OutOfSteps,
}

fn scan_from_both_ends(
    conn: TenantConnection<'_>,
    search: &Search<'_>,
    scope: &str,
    prefix: &[u8],
    by_key: &str,
    steps: &mut u64,
) -> rusqlite::Result<ScanResult> {
    let (repository, scope, version) =
        (search.repository.as_bytes(), scope.as_bytes(), search.version.as_bytes());
    let (mut by_key, mut newest_first) = (conn.prepare(by_key)?, conn.prepare(NEWEST_FIRST)?);
    let mut by_key = by_key.query(params![conn.tenant(), repository, scope, version, prefix])?;
    let mut newest_first = newest_first.query(params![conn.tenant(), repository, scope, version])?;
    let mut best = None;
    for _ in 0..MAX_STEPS_PER_SIDE {
        match by_key.next()? {
            Some(row) if starts_with(row, prefix)? => best = best.max(search.candidate(row)?),
            _ => return Ok(best.map_or(ScanResult::NotFound, ScanResult::Found)),
        }
        // At least one key has the prefix (it may be skipped, or in quarantine), so this scan finds it
        // before its end.
        if let Some(row) = newest_first.next()?
            && starts_with(row, prefix)?
            && let Some(id) = search.candidate(row)?
        {
            return Ok(ScanResult::Found(id));
        }
        if !spend(steps, 1) {
            return Ok(ScanResult::OutOfSteps);
        }
    }
    Ok(ScanResult::Undecided)
}

/// Scans from the newest block backwards.
fn scan_by_block(
    conn: TenantConnection<'_>,
    search: &Search<'_>,
    scope: &str,
    prefix: &[u8],
    steps: &mut u64,
) -> rusqlite::Result<ScanResult> {
    let (repository, scope, version) =
        (search.repository.as_bytes(), scope.as_bytes(), search.version.as_bytes());
    let mut block_before = conn.prepare(BLOCK_BEFORE)?;
    let mut in_block = conn.prepare(IN_BLOCK)?;
    let mut block = i64::MAX;
    while spend(steps, STEPS_PER_BLOCK) {
        let before = block_before
            .query_one(params![conn.tenant(), repository, scope, version, block], |row| row.get(0));
        let Some(before) = before.optional()? else { return Ok(ScanResult::NotFound) };
        block = before;
        let mut best = None;
        let mut rows = in_block.query(params![conn.tenant(), repository, scope, version, block, prefix])?;
        while let Some(row) = rows.next()?
            && starts_with(row, prefix)?
        {
            best = best.max(search.candidate(row)?);
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

/// Subtracts `count` from the steps left. Returns `false` if there are not that many.
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

    /// Reads the number of an entry. Returns `None` if the entry is skipped.
    fn candidate(&self, row: &Row<'_>) -> rusqlite::Result<Option<EntryId>> {
        let id = EntryId(rows::number(row, 0)?);
        Ok(Some(id).filter(|id| !self.skips(*id)))
    }
}
