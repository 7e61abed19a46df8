//! The search for the entry that matches a list of probes: one statement for the usual lookup.
//!
//! The statement returns the first non-null of a list of subqueries, one for each probe; the server
//! evaluates them in order and stops at the first match. The newest entry with a prefix is searched
//! in up to three steps, until one decides:
//!
//! 1. the keys with the prefix, if there are at most 200: this decides all misses;
//! 2. the newest 200 entries: this decides most hits.
//!
//! If neither decides, the subquery returns the negative number of the probe, and further
//! statements search
//!
//! 3. the newest block of 4,096 entries that has a key with the prefix: first many blocks in one
//!    statement, then half of them, and so on. For a million entries this takes some hundred steps
//!    and ten statements, whatever the prefix and wherever its entries are.

use sqlx::{AssertSqlSafe, MySqlConnection, mysql::MySqlRow};

use super::statements::fetch_optional;
use crate::{
    Entry, EntryId, MatchKind, Probe,
    sql::{
        digest::{self, HEAD_BYTES},
        fault::Fault,
        request::{EntryBy, SearchRequest},
        rows::{self, Columns as _},
        statements::Statements as _,
        tenant::TenantConnection,
    },
};

/// Most probes in one statement. Usual lookups have fewer.
const PROBES: usize = 64;
/// Most parameters in one statement. The server's limit is 65,535.
const VALUES: usize = 60_000;
/// Blocks that one statement searches.
const BLOCKS: i64 = 128;

/// The result of a search statement.
enum Found {
    Entry(Entry),
    /// The probe with this index has many matches, none of them among the newest entries.
    Undecided(usize),
    Nothing,
}

/// See [`crate::Index::find`].
pub(super) async fn find(
    db: &mut TenantConnection<'_, MySqlConnection>,
    search: &SearchRequest,
) -> Result<Option<Entry>, Fault> {
    // A prefix needs ten parameters, plus two for each skipped entry.
    let most = PROBES.min(VALUES / (10 + 2 * search.skip.len())).max(1);
    let mut rest = &search.probes[..];
    while !rest.is_empty() {
        let some = &rest[..rest.len().min(most)];
        match run_search(db.connection, search, some).await? {
            Found::Entry(entry) => return Ok(Some(entry)),
            Found::Nothing => rest = &rest[some.len()..],
            Found::Undecided(number) => {
                // The entry may have been deleted since: then the probe has no match.
                if let Some(id) = scan_by_block(db.connection, search, &some[number]).await?
                    && let Some(entry) = super::MySql::entry(db, EntryBy::Id(id)).await?
                {
                    return Ok(Some(entry));
                }
                rest = &rest[number + 1..];
            }
        }
    }
    Ok(None)
}

/// A statement with its parameters.
#[derive(Default)]
pub(super) struct BoundStatement {
    pub(super) text: String,
    parameters: Vec<Parameter>,
}

/// A parameter. Numbers are parameters, too, so that texts repeat and stay cached: a text that is
/// not cached is closed after each use, and the server delays the next statement by 40 ms.
#[derive(Clone)]
enum Parameter {
    Bytes(Vec<u8>),
    Number(i64),
}

impl BoundStatement {
    fn push(&mut self, text: &str, parameters: &[&[Parameter]]) {
        self.text.push_str(text);
        self.parameters.extend(parameters.iter().copied().flatten().cloned());
    }

    pub(super) fn query(&self) -> sqlx::query::Query<'_, sqlx::MySql, sqlx::mysql::MySqlArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text.as_str()));
        for value in &self.parameters {
            query = match value {
                Parameter::Bytes(bytes) => query.bind(&**bytes),
                Parameter::Number(number) => query.bind(number),
            };
        }
        query
    }
}

/// Returns the condition that excludes the skipped entries.
fn skip_condition(search: &SearchRequest) -> (String, Vec<Parameter>) {
    if search.skip.is_empty() {
        return (String::new(), Vec::new());
    }
    let marks = vec!["?"; search.skip.len()].join(", ");
    let ids = search.skip.iter().map(|id| Parameter::Number(rows::integer(id.0))).collect();
    (format!(" AND e.id NOT IN ({marks})"), ids)
}

/// Returns a condition on the whole key, which is empty if its head decides, and the parameters:
/// place, range of heads, and those of the condition.
fn prefix_condition(place: &[u8], prefix: &str) -> (&'static str, Vec<Parameter>) {
    let range = digest::head_range(prefix);
    let mut parameters = [place.to_vec(), range.low, range.high].map(Parameter::Bytes).to_vec();
    if prefix.len() <= HEAD_BYTES {
        return ("", parameters);
    }
    parameters.extend([prefix, prefix].map(|prefix| Parameter::Bytes(prefix.as_bytes().to_vec())));
    (" AND LEFT(COALESCE(e.folded, e.`key`), LENGTH(?)) = ?", parameters)
}

/// Builds the search statement for these probes.
pub(super) fn search_statement(search: &SearchRequest, probes: &[Probe]) -> BoundStatement {
    let (skip, skipped) = skip_condition(search);
    let mut statement = BoundStatement::default();
    statement.push(
        "SELECT e.id, e.repository, e.scope, e.version, e.`key`, e.object, e.size_bytes, e.created_ms, e.used_ms, \
         e.owner, found.answer FROM (SELECT COALESCE(NULL",
        &[],
    );
    for (number, probe) in probes.iter().enumerate() {
        let place = search.place(probe);
        match probe.kind {
            MatchKind::Exact => statement.push(
                &format!(
                    ", (SELECT e.id FROM entries e WHERE e.slot = ? AND e.quarantined_ms IS NULL{skip})"
                ),
                &[&[Parameter::Bytes(digest::slot(&place, &probe.key))], &skipped],
            ),
            MatchKind::Prefix => {
                let (exactly, parameters) = prefix_condition(&place, &probe.key);
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
                statement.push(&text, &[&parameters[..1], &skipped, &parameters[1..], &parameters, &skipped]);
            }
        }
    }
    let tenant = Parameter::Bytes(search.tenant.as_str().as_bytes().to_vec());
    let entry = ") AS answer) found LEFT JOIN entries e ON e.id = found.answer AND e.tenant = ?";
    statement.push(entry, &[&[tenant]]);
    statement
}

async fn run_search(
    connection: &mut MySqlConnection,
    search: &SearchRequest,
    probes: &[Probe],
) -> Result<Found, Fault> {
    let statement = search_statement(search, probes);
    let found = fetch_optional(connection, statement.query(), |row| {
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

/// Not `MAX(block)`: for that the server may read all rows.
pub(super) const NEWEST_BLOCK: &str = "SELECT block FROM entries FORCE INDEX (entries_by_block) \
     WHERE place = ? AND block < ? ORDER BY block DESC LIMIT 1";

/// A search from the newest block backwards.
struct BlockScan<'a> {
    place: Vec<u8>,
    prefix: &'a str,
    skip: (String, Vec<Parameter>),
}

impl BlockScan<'_> {
    /// Selects `what` from the matching entries in these blocks.
    fn statement(&self, what: &str, blocks: &[i64], order: &str) -> BoundStatement {
        let (exactly, mut parameters) = prefix_condition(&self.place, self.prefix);
        let (marks, (skip, skipped)) = (vec!["?"; blocks.len()].join(", "), &self.skip);
        parameters.extend(blocks.iter().map(|block| Parameter::Number(*block)));
        parameters.extend_from_slice(skipped);
        let text = format!(
            "SELECT {what} FROM entries e FORCE INDEX (entries_by_block) WHERE e.place = ? \
             AND e.key_head >= ? AND e.key_head < ?{exactly} AND e.block IN ({marks}){skip}{order}"
        );
        BoundStatement { text, parameters }
    }

    /// Any match in these blocks. The newest would make the server read all.
    fn any_in(&self, blocks: &[i64]) -> BoundStatement {
        self.statement("e.id", blocks, " LIMIT 1")
    }

    /// The newest match in a block.
    fn newest_in(&self, block: i64) -> BoundStatement {
        self.statement("MAX(e.id)", &[block], "")
    }
}

/// Searches from the newest block backwards.
async fn scan_by_block(
    connection: &mut MySqlConnection,
    search: &SearchRequest,
    probe: &Probe,
) -> Result<Option<EntryId>, Fault> {
    let scan = BlockScan { place: search.place(probe), prefix: &probe.key, skip: skip_condition(search) };
    let number = |row: &MySqlRow| row.integer(0);
    let mut before = i64::MAX;
    loop {
        // Skips ranges of blocks that have no entry of this place.
        let newest = sqlx::query(NEWEST_BLOCK).bind(&*scan.place).bind(before);
        let Some(newest) = fetch_optional(connection, newest, number).await?.flatten() else {
            return Ok(None);
        };
        before = newest + 1 - BLOCKS;
        let blocks: Vec<i64> = (before..=newest).collect();
        if fetch_optional(connection, scan.any_in(&blocks).query(), number).await?.is_none() {
            continue;
        }
        let mut halves = &blocks[..];
        while halves.len() > 1 {
            let (older, newer) = halves.split_at(halves.len() / 2);
            let is_newer = fetch_optional(connection, scan.any_in(newer).query(), number).await?.is_some();
            halves = if is_newer { newer } else { older };
        }
        let newest = scan.newest_in(halves[0]);
        let id = fetch_optional(connection, newest.query(), number).await?.flatten();
        return Ok(id.and_then(|id| u64::try_from(id).ok()).map(EntryId));
    }
}

/// The statements of a block scan, for the test of their plans.
#[cfg(test)]
pub(super) fn block_scan_statements(search: &SearchRequest, probe: &Probe) -> [BoundStatement; 2] {
    let scan = BlockScan { place: search.place(probe), prefix: &probe.key, skip: skip_condition(search) };
    [scan.any_in(&[0, 1]), scan.newest_in(0)]
}
