//! The search for the entry that matches a list of probes.
//!
//! Called by the driver, on a read connection. Knows nothing of why an entry is skipped.
//!
//! The newest entry with a prefix is looked for from two sides at once: from the newest entry backwards, until one has
//! the prefix; and through the range of keys with the prefix, until it ends. The steps alternate, so the cost is at most
//! twice that of the side that ends first, whatever the prefix is.

use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};

use super::{
    reader::Moment,
    rows::{self, entry_columns, integer},
};
use crate::index::{Entry, EntryId, MatchKind, Probe};

pub(super) const BY_SLOT: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entries INDEXED BY entries_by_key \
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND key = ?4"
);

pub(super) const BY_ID: &str = concat!("SELECT ", entry_columns!(), " FROM entries WHERE id = ?1");

pub(super) const NEWEST_FIRST: &str = "SELECT id, key FROM entries INDEXED BY entries_by_age \
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 ORDER BY id DESC";

/// Open-ended: not every prefix has a successor, so the reader of the rows sees where the range ends.
pub(super) const BY_KEY: &str = "SELECT id, key FROM entries INDEXED BY entries_by_key \
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND key >= ?4 ORDER BY key";

/// What is looked for, and where.
pub(super) struct Search<'a> {
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
    TooLong,
}

/// Looks at the state of one moment, and takes at most `steps` steps over entries that are not the answer.
pub(super) fn find(conn: &Connection, search: &Search<'_>, mut steps: u64) -> rusqlite::Result<Outcome> {
    let _moment = Moment::begin(conn)?;
    for probe in search.probes {
        let found = match probe.kind {
            MatchKind::Exact => exact(conn, search, probe)?,
            MatchKind::Prefix => match newest(conn, search, probe, &mut steps)? {
                Outcome::Done(found) => found,
                Outcome::TooLong => return Ok(Outcome::TooLong),
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

fn exact(conn: &Connection, search: &Search<'_>, probe: &Probe) -> rusqlite::Result<Option<Entry>> {
    let mut statement = conn.prepare_cached(BY_SLOT)?;
    let found = statement
        .query_one(
            params![
                search.repository.as_bytes(),
                probe.scope.as_bytes(),
                search.version.as_bytes(),
                probe.key.as_bytes(),
            ],
            rows::entry,
        )
        .optional()?;
    Ok(found.filter(|entry| !search.skips(entry.id)))
}

fn newest(
    conn: &Connection,
    search: &Search<'_>,
    probe: &Probe,
    steps: &mut u64,
) -> rusqlite::Result<Outcome> {
    let mut by_key = conn.prepare_cached(BY_KEY)?;
    let mut newest_first = conn.prepare_cached(NEWEST_FIRST)?;
    let id = match meet(&mut by_key, &mut newest_first, search, probe, steps)? {
        Meeting::At(id) => id,
        Meeting::Nowhere => return Ok(Outcome::Done(None)),
        Meeting::TooLong => return Ok(Outcome::TooLong),
    };
    by_id(conn, id).map(Outcome::Done)
}

enum Meeting {
    At(EntryId),
    Nowhere,
    TooLong,
}

fn meet(
    by_key: &mut Statement<'_>,
    newest_first: &mut Statement<'_>,
    search: &Search<'_>,
    probe: &Probe,
    steps: &mut u64,
) -> rusqlite::Result<Meeting> {
    let prefix = probe.key.as_bytes();
    let (repository, scope, version) =
        (search.repository.as_bytes(), probe.scope.as_bytes(), search.version.as_bytes());
    let mut by_key = by_key.query(params![repository, scope, version, prefix])?;
    let mut newest_first = newest_first.query(params![repository, scope, version])?;
    let mut best = None;
    loop {
        match by_key.next()? {
            Some(row) if starts_with(row, prefix)? => {
                let id = EntryId(rows::number(row, 0)?);
                if !search.skips(id) {
                    best = best.max(Some(id));
                }
            }
            _ => return Ok(best.map_or(Meeting::Nowhere, Meeting::At)),
        }
        // There is a key with the prefix (perhaps a skipped one), so this side cannot end before it has come to it.
        if let Some(row) = newest_first.next()?
            && starts_with(row, prefix)?
        {
            let id = EntryId(rows::number(row, 0)?);
            if !search.skips(id) {
                return Ok(Meeting::At(id));
            }
        }
        if *steps == 0 {
            return Ok(Meeting::TooLong);
        }
        *steps -= 1;
    }
}

fn starts_with(row: &Row<'_>, prefix: &[u8]) -> rusqlite::Result<bool> {
    Ok(row.get_ref(1)?.as_blob()?.starts_with(prefix))
}

impl Search<'_> {
    fn skips(&self, id: EntryId) -> bool {
        self.skip.binary_search(&id).is_ok()
    }
}
