//! The search for the entry that matches a list of probes: one statement for the usual lookup.
//!
//! The answer is the first that is not NULL of a list of questions, one for each probe; the server asks them in their order
//! and stops at the first answer. For the newest entry with a prefix it looks, and stops where it knows:
//!
//! 1. through the keys with the prefix, if these are few (200): that decides all misses;
//! 2. from the newest entry backwards, over as many: that decides most hits.
//!
//! Else the answer is the negative number of the probe, and further statements look
//!
//! 3. from the newest block of 4,096 entries backwards, in each block through the keys with the prefix. So the cost is some
//!    hundred steps for a million entries, whatever the prefix and wherever its entries are.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, MySqlConnection, mysql::MySqlRow};

use super::statements::one;
use crate::index::{
    Entry, EntryId, MatchKind, Probe,
    sql::{
        digest::{self, HEAD_BYTES},
        driver::{EntryBy, Search, Statements as _},
        fault::Fault,
        rows::{self, Columns as _},
    },
};

/// Probes in one statement: usual lists are shorter, and the server's own bounds are far.
const PROBES: usize = 64;
/// Blocks in one statement.
const BLOCKS: i64 = 64;

/// What a statement found out.
enum Found {
    Entry(Entry),
    /// The probe of this number has many matches, none of them new.
    Undecided(usize),
    Nothing,
}

/// See [`crate::index::Index::find`].
pub(super) async fn find(connection: &mut MySqlConnection, search: &Search) -> Result<Option<Entry>, Fault> {
    let mut rest = &search.probes[..];
    while !rest.is_empty() {
        let some = &rest[..rest.len().min(PROBES)];
        match ask(connection, search, some).await? {
            Found::Entry(entry) => return Ok(Some(entry)),
            Found::Nothing => rest = &rest[some.len()..],
            Found::Undecided(number) => {
                // The entry may be gone by now: then this was no match.
                if let Some(id) = walk(connection, search, &some[number]).await?
                    && let Some(entry) = super::MySql::entry(connection, EntryBy::Id(id)).await?
                {
                    return Ok(Some(entry));
                }
                rest = &rest[number + 1..];
            }
        }
    }
    Ok(None)
}

/// A statement with its values.
#[derive(Default)]
pub(super) struct Statement {
    pub(super) text: String,
    values: Vec<Vec<u8>>,
    /// Whether it is worth keeping: texts with numbers of entries in them do not come again.
    lasting: bool,
}

impl Statement {
    fn push(&mut self, text: &str, values: impl IntoIterator<Item = Vec<u8>>) {
        self.text.push_str(text);
        self.values.extend(values);
    }

    fn bound(&self) -> sqlx::query::Query<'_, sqlx::MySql, sqlx::mysql::MySqlArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text.as_str())).persistent(self.lasting);
        for value in &self.values {
            query = query.bind(&**value);
        }
        query
    }
}

/// The condition that leaves out what is skipped.
fn skipping(search: &Search) -> String {
    let mut text = String::new();
    for (number, id) in search.skip.iter().enumerate() {
        let before = if number == 0 { " AND e.id NOT IN (" } else { ", " };
        // Writing to a String does not fail.
        let _ = write!(text, "{before}{}", id.0);
    }
    if !text.is_empty() {
        text.push(')');
    }
    text
}

/// The values of the conditions on a place, the heads of keys and, where its head says not all, the key itself.
fn with_prefix(place: &[u8], prefix: &str) -> (&'static str, Vec<Vec<u8>>) {
    let range = digest::range(prefix);
    let mut values = vec![place.to_vec(), range.low, range.high];
    if prefix.len() <= HEAD_BYTES {
        return ("", values);
    }
    values.push(prefix.as_bytes().to_vec());
    values.push(prefix.as_bytes().to_vec());
    (" AND LEFT(e.`key`, LENGTH(?)) = ?", values)
}

/// The questions for these probes.
pub(super) fn questions(search: &Search, probes: &[Probe]) -> Statement {
    let skip = skipping(search);
    let mut statement = Statement { lasting: skip.is_empty(), ..Statement::default() };
    statement.push(
        "SELECT e.id, e.repository, e.scope, e.version, e.`key`, e.object, e.size_bytes, e.created_ms, e.used_ms, \
         found.answer FROM (SELECT COALESCE(NULL",
        [],
    );
    for (number, probe) in probes.iter().enumerate() {
        let place = search.place(probe);
        match probe.kind {
            MatchKind::Exact => statement.push(
                &format!(", (SELECT e.id FROM entries e WHERE e.slot = ?{skip})"),
                [digest::slot(&place, &probe.key)],
            ),
            MatchKind::Prefix => {
                let (exactly, values) = with_prefix(&place, &probe.key);
                let undecided = -1 - i64::try_from(number).unwrap_or_default();
                let text = format!(
                    ", (SELECT CASE WHEN few.n <= 200 THEN few.newest ELSE COALESCE(\
                     (SELECT e.id FROM (SELECT e.id, e.key_head, e.`key` FROM entries e FORCE INDEX (entries_by_age) \
                     WHERE e.place = ?{skip} ORDER BY e.id DESC LIMIT 200) e \
                     WHERE e.key_head >= ? AND e.key_head < ?{exactly} ORDER BY e.id DESC LIMIT 1), {undecided}) END \
                     FROM (SELECT COUNT(*) AS n, MAX(e.id) AS newest FROM (SELECT e.id FROM entries e \
                     FORCE INDEX (entries_by_key) WHERE e.place = ? AND e.key_head >= ? AND e.key_head < ?{exactly}{skip} \
                     LIMIT 201) e) few)"
                );
                statement.push(&text, values.iter().chain(&values).cloned());
            }
        }
    }
    statement.push(") AS answer) found LEFT JOIN entries e ON e.id = found.answer", []);
    statement
}

async fn ask(connection: &mut MySqlConnection, search: &Search, probes: &[Probe]) -> Result<Found, Fault> {
    let statement = questions(search, probes);
    let found = one(connection, statement.bound(), |row| {
        Ok(match row.integer(9)? {
            None => Found::Nothing,
            Some(undecided) if undecided < 0 => {
                Found::Undecided(usize::try_from(-1 - undecided).unwrap_or_default())
            }
            Some(_) => Found::Entry(rows::entry(row)?),
        })
    });
    Ok(found.await?.unwrap_or(Found::Nothing))
}

pub(super) const NEWEST_BLOCK: &str = "SELECT MAX(block) FROM entries WHERE place = ?";

/// The questions for some blocks before `before`, and where to go on if none has an answer: minus one, minus the next block.
pub(super) fn blocks(search: &Search, place: &[u8], prefix: &str, before: i64) -> Statement {
    let skip = skipping(search);
    let (exactly, values) = with_prefix(place, prefix);
    let mut statement = Statement::default();
    statement.push("SELECT COALESCE(NULL", []);
    for block in (before - BLOCKS..before).rev() {
        let text = format!(
            ", (SELECT MAX(e.id) FROM entries e FORCE INDEX (entries_by_block) WHERE e.place = ? AND e.block = {block} \
             AND e.key_head >= ? AND e.key_head < ?{exactly}{skip})"
        );
        statement.push(&text, values.iter().cloned());
    }
    let rest = format!(
        ", (SELECT -1 - MAX(e.block) FROM entries e WHERE e.place = ? AND e.block < {}))",
        before - BLOCKS
    );
    statement.push(&rest, [place.to_vec()]);
    statement
}

/// Walks from the newest block backwards.
async fn walk(
    connection: &mut MySqlConnection,
    search: &Search,
    probe: &Probe,
) -> Result<Option<EntryId>, Fault> {
    let place = search.place(probe);
    let number = |row: &MySqlRow| row.integer(0);
    let newest = sqlx::query(NEWEST_BLOCK).bind(&*place);
    let mut next = one(connection, newest, number).await?.flatten();
    while let Some(block) = next {
        let statement = blocks(search, &place, &probe.key, block + 1);
        match one(connection, statement.bound(), number).await?.flatten() {
            Some(answer) if answer >= 0 => return Ok(u64::try_from(answer).ok().map(EntryId)),
            none => next = none.map(|next| -1 - next),
        }
    }
    Ok(None)
}
