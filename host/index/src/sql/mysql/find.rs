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
//! 3. for the newest block of 4,096 entries that has a key with the prefix: many blocks in one statement, then half of them,
//!    and so on. So the cost is some hundred steps and some ten statements for a million entries, whatever the prefix and
//!    wherever its entries are.

use sqlx::{AssertSqlSafe, MySqlConnection, mysql::MySqlRow};

use super::statements::one;
use crate::{
    Entry, EntryId, MatchKind, Probe,
    sql::{
        asked::{EntryBy, Search},
        digest::{self, HEAD_BYTES},
        driver::Statements as _,
        fault::Fault,
        rows::{self, Columns as _},
    },
};

/// Probes in one statement: usual lists are shorter.
const PROBES: usize = 64;
/// Most values in one statement; the server takes 65,535.
const VALUES: usize = 60_000;
/// Blocks in one statement.
const BLOCKS: i64 = 128;

/// What a statement found out.
enum Found {
    Entry(Entry),
    /// The probe of this number has many matches, none of them new.
    Undecided(usize),
    Nothing,
}

/// See [`crate::Index::find`].
pub(super) async fn find(connection: &mut MySqlConnection, search: &Search) -> Result<Option<Entry>, Fault> {
    // A prefix takes ten values, and twice what is skipped.
    let most = PROBES.min(VALUES / (10 + 2 * search.skip.len())).max(1);
    let mut rest = &search.probes[..];
    while !rest.is_empty() {
        let some = &rest[..rest.len().min(most)];
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
    values: Vec<Value>,
}

/// A value. No number is in a text, so that texts come again: a text that does not is closed after each use, and the server
/// lets the next one wait for 40 ms.
#[derive(Clone)]
enum Value {
    Bytes(Vec<u8>),
    Number(i64),
}

impl Statement {
    fn push(&mut self, text: &str, values: &[&[Value]]) {
        self.text.push_str(text);
        self.values.extend(values.iter().copied().flatten().cloned());
    }

    pub(super) fn bound(&self) -> sqlx::query::Query<'_, sqlx::MySql, sqlx::mysql::MySqlArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text.as_str()));
        for value in &self.values {
            query = match value {
                Value::Bytes(bytes) => query.bind(&**bytes),
                Value::Number(number) => query.bind(number),
            };
        }
        query
    }
}

/// The condition that leaves out what is skipped.
fn skipping(search: &Search) -> (String, Vec<Value>) {
    if search.skip.is_empty() {
        return (String::new(), Vec::new());
    }
    let marks = vec!["?"; search.skip.len()].join(", ");
    let ids = search.skip.iter().map(|id| Value::Number(rows::integer(id.0))).collect();
    (format!(" AND e.id NOT IN ({marks})"), ids)
}

/// The values of the conditions on a place, the heads of keys and, where its head says not all, the key itself.
fn with_prefix(place: &[u8], prefix: &str) -> (&'static str, Vec<Value>) {
    let range = digest::range(prefix);
    let mut values = [place.to_vec(), range.low, range.high].map(Value::Bytes).to_vec();
    if prefix.len() <= HEAD_BYTES {
        return ("", values);
    }
    values.extend([prefix, prefix].map(|prefix| Value::Bytes(prefix.as_bytes().to_vec())));
    (" AND LEFT(COALESCE(e.folded, e.`key`), LENGTH(?)) = ?", values)
}

/// The questions for these probes.
pub(super) fn questions(search: &Search, probes: &[Probe]) -> Statement {
    let (skip, skipped) = skipping(search);
    let mut statement = Statement::default();
    statement.push(
        "SELECT e.id, e.repository, e.scope, e.version, e.`key`, e.object, e.size_bytes, e.created_ms, e.used_ms, \
         e.owner, found.answer FROM (SELECT COALESCE(NULL",
        &[],
    );
    for (number, probe) in probes.iter().enumerate() {
        let place = search.place(probe);
        match probe.kind {
            MatchKind::Exact => statement.push(
                &format!(", (SELECT e.id FROM entries e WHERE e.slot = ?{skip})"),
                &[&[Value::Bytes(digest::slot(&place, &probe.key))], &skipped],
            ),
            MatchKind::Prefix => {
                let (exactly, values) = with_prefix(&place, &probe.key);
                let undecided = -1 - i64::try_from(number).unwrap_or_default();
                let text = format!(
                    ", (SELECT CASE WHEN few.n <= 200 THEN few.newest ELSE COALESCE(\
                     (SELECT e.id FROM (SELECT e.id, e.key_head, e.folded, e.`key` FROM entries e FORCE INDEX (entries_by_age) \
                     WHERE e.place = ?{skip} ORDER BY e.id DESC LIMIT 200) e \
                     WHERE e.key_head >= ? AND e.key_head < ?{exactly} ORDER BY e.id DESC LIMIT 1), {undecided}) END \
                     FROM (SELECT COUNT(*) AS n, MAX(e.id) AS newest FROM (SELECT e.id FROM entries e \
                     FORCE INDEX (entries_by_key) WHERE e.place = ? AND e.key_head >= ? AND e.key_head < ?{exactly}{skip} \
                     LIMIT 201) e) few)"
                );
                statement.push(&text, &[&values[..1], &skipped, &values[1..], &values, &skipped]);
            }
        }
    }
    statement.push(") AS answer) found LEFT JOIN entries e ON e.id = found.answer", &[]);
    statement
}

async fn ask(connection: &mut MySqlConnection, search: &Search, probes: &[Probe]) -> Result<Found, Fault> {
    let statement = questions(search, probes);
    let found = one(connection, statement.bound(), |row| {
        Ok(match row.integer(10)? {
            None => Found::Nothing,
            Some(undecided) if undecided < 0 => {
                Found::Undecided(usize::try_from(-1 - undecided).unwrap_or_default())
            }
            Some(_) => Found::Entry(rows::entry(row)?),
        })
    });
    Ok(found.await?.unwrap_or(Found::Nothing))
}

/// Not the largest: for that the server may look at all.
pub(super) const NEWEST_BLOCK: &str = "SELECT block FROM entries FORCE INDEX (entries_by_block) \
     WHERE place = ? AND block < ? ORDER BY block DESC LIMIT 1";

/// What a walk looks for.
struct Walk<'a> {
    place: Vec<u8>,
    prefix: &'a str,
    skip: (String, Vec<Value>),
}

impl Walk<'_> {
    /// A statement about the keys with the prefix in some blocks.
    fn statement(&self, what: &str, blocks: &[i64], order: &str) -> Statement {
        let (exactly, mut values) = with_prefix(&self.place, self.prefix);
        let (marks, (skip, skipped)) = (vec!["?"; blocks.len()].join(", "), &self.skip);
        values.extend(blocks.iter().map(|block| Value::Number(*block)));
        values.extend_from_slice(skipped);
        let text = format!(
            "SELECT {what} FROM entries e FORCE INDEX (entries_by_block) WHERE e.place = ? \
             AND e.key_head >= ? AND e.key_head < ?{exactly} AND e.block IN ({marks}){skip}{order}"
        );
        Statement { text, values }
    }

    /// Some match in these blocks. Not the newest: the server would look at all.
    fn some_in(&self, blocks: &[i64]) -> Statement {
        self.statement("e.id", blocks, " LIMIT 1")
    }

    /// The newest match in a block.
    fn newest_in(&self, block: i64) -> Statement {
        self.statement("MAX(e.id)", &[block], "")
    }
}

/// Walks from the newest block backwards.
async fn walk(
    connection: &mut MySqlConnection,
    search: &Search,
    probe: &Probe,
) -> Result<Option<EntryId>, Fault> {
    let walk = Walk { place: search.place(probe), prefix: &probe.key, skip: skipping(search) };
    let number = |row: &MySqlRow| row.integer(0);
    let mut before = i64::MAX;
    loop {
        // Where there are no entries of this place, whole ranges of blocks are passed over.
        let newest = sqlx::query(NEWEST_BLOCK).bind(&*walk.place).bind(before);
        let Some(newest) = one(connection, newest, number).await?.flatten() else { return Ok(None) };
        before = newest + 1 - BLOCKS;
        let blocks: Vec<i64> = (before..=newest).collect();
        if one(connection, walk.some_in(&blocks).bound(), number).await?.is_none() {
            continue;
        }
        let mut halves = &blocks[..];
        while halves.len() > 1 {
            let (older, newer) = halves.split_at(halves.len() / 2);
            let is_newer = one(connection, walk.some_in(newer).bound(), number).await?.is_some();
            halves = if is_newer { newer } else { older };
        }
        let newest = walk.newest_in(halves[0]);
        let id = one(connection, newest.bound(), number).await?.flatten();
        return Ok(id.and_then(|id| u64::try_from(id).ok()).map(EntryId));
    }
}

/// The statements of a walk, for the test of their plans.
#[cfg(test)]
pub(super) fn walking(search: &Search, probe: &Probe) -> [Statement; 2] {
    let walk = Walk { place: search.place(probe), prefix: &probe.key, skip: skipping(search) };
    [walk.some_in(&[0, 1]), walk.newest_in(0)]
}
