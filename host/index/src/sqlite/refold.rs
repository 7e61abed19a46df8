//! Rewrites a database for another rule of comparing keys.
//!
//! Runs when a database is opened, after the migrations. Rows are rewritten in pages, each in a
//! transaction. An interrupted rewrite starts over at the next opening and skips rows that are
//! already right. If two rows end up in one slot, the newer one stays and the other is deleted. An
//! entry departs as superseded, so its object is removed like that of any other.

use larder_common::{TenantName, clock::Clock};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params, types::Type};

use super::{departed, recount, rows, rows::compared_key, tenant::TenantConnection};
use crate::{
    Cause, Departure, EntryId,
    departed::clipped,
    keys::{CHANGING, KeyRule, PAGE_ROWS, RULE_PROPERTY, RefoldSummary},
};

/// The tables with keys. Both have the columns that are used here.
struct TableStatements {
    page: &'static str,
    holder: &'static str,
    rewrite: &'static str,
    delete: &'static str,
    /// Whether what is deleted departs.
    are_entries: bool,
}

macro_rules! table {
    ($table:literal, $are_entries:literal) => {
        TableStatements {
            page: concat!(
                "SELECT id, tenant, repository, scope, version, key, folded FROM ",
                $table,
                " WHERE id > ?1 ORDER BY id LIMIT ?2"
            ),
            holder: concat!(
                "SELECT id FROM ",
                $table,
                " WHERE tenant = ?1 AND repository = ?2 AND scope = ?3 AND version = ?4 AND ",
                compared_key!(),
                " = ?5"
            ),
            rewrite: concat!("UPDATE ", $table, " SET folded = ?2 WHERE id = ?1"),
            delete: concat!("DELETE FROM ", $table, " WHERE id = ?1"),
            are_entries: $are_entries,
        }
    };
}

const ENTRIES: TableStatements = table!("entries", true);
const UPLOADS: TableStatements = table!("uploads", false);

/// The departed are found by the rule that the database has from now on.
const COMPARED: &str = "UPDATE departed SET compared = ?1 WHERE id = last_insert_rowid()";

/// A slot has an entry or an upload, never both.
const DELETE_UPLOADS_OF_ENTRIES: &str = "DELETE FROM uploads WHERE EXISTS (SELECT 1 FROM entries \
     WHERE entries.tenant = uploads.tenant AND entries.repository = uploads.repository AND entries.scope = uploads.scope \
     AND entries.version = uploads.version \
     AND coalesce(entries.folded, entries.key) = coalesce(uploads.folded, uploads.key))";

struct KeyRow {
    id: i64,
    tenant: String,
    place: [Vec<u8>; 3],
    key: Vec<u8>,
    folded: Option<Vec<u8>>,
}

/// What was done to a page of rows.
struct PageOutcome {
    last: i64,
    rows: u64,
    deleted: u64,
}

/// Rewrites the rows whose folded key changes. Returns `None` if the database already has this
/// rule.
pub(super) fn refold(conn: &mut Connection, rule: KeyRule) -> rusqlite::Result<Option<RefoldSummary>> {
    if begin(conn, rule)? {
        return Ok(None);
    }
    let mut done = RefoldSummary::default();
    done.entries = refold_table(conn, &ENTRIES, rule, &mut done.rows)?;
    done.uploads = refold_table(conn, &UPLOADS, rule, &mut done.rows)?;
    let end = immediate(conn)?;
    done.uploads += end.execute(DELETE_UPLOADS_OF_ENTRIES, [])? as u64;
    set_rule(&end, rule.name())?;
    end.commit()?;
    Ok(Some(done))
}

/// Returns whether the database already has this rule. If not, stores that the rewrite has begun.
fn begin(conn: &mut Connection, rule: KeyRule) -> rusqlite::Result<bool> {
    let is_there = "SELECT value = ?2 FROM properties WHERE name = ?1";
    let read =
        |conn: &Connection| conn.query_row(is_there, params![RULE_PROPERTY, rule.name()], |row| row.get(0));
    if read(conn)? {
        return Ok(true);
    }
    let begin = immediate(conn)?;
    set_rule(&begin, CHANGING)?;
    // Rows that are deleted are not counted any more.
    recount::set_uncounted(&begin)?;
    begin.commit()?;
    Ok(false)
}

fn set_rule(conn: &Connection, value: &str) -> rusqlite::Result<()> {
    conn.execute("UPDATE properties SET value = ?2 WHERE name = ?1", params![RULE_PROPERTY, value])?;
    Ok(())
}

fn immediate(conn: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    conn.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Rewrites a table and returns the number of deleted rows.
fn refold_table(
    conn: &mut Connection,
    table: &TableStatements,
    rule: KeyRule,
    rows: &mut u64,
) -> rusqlite::Result<u64> {
    let (mut after, mut deleted) = (0, 0);
    loop {
        let transaction = immediate(conn)?;
        let page = refold_page(&transaction, table, rule, after)?;
        transaction.commit()?;
        let Some(page) = page else { return Ok(deleted) };
        after = page.last;
        *rows += page.rows;
        deleted += page.deleted;
    }
}

fn refold_page(
    conn: &Connection,
    table: &TableStatements,
    rule: KeyRule,
    after: i64,
) -> rusqlite::Result<Option<PageOutcome>> {
    let mut select = conn.prepare_cached(table.page)?;
    let rows = select.query_map(params![after, PAGE_ROWS as i64], |row| {
        let place = [row.get(2)?, row.get(3)?, row.get(4)?];
        Ok(KeyRow { id: row.get(0)?, tenant: row.get(1)?, place, key: row.get(5)?, folded: row.get(6)? })
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<KeyRow>>>()?;
    let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
    let mut page = PageOutcome { last, rows: 0, deleted: 0 };
    for row in rows {
        let folded = folded(rule, &row.key);
        if folded != row.folded {
            rewrite(conn, table, &row, folded.as_deref(), &mut page)?;
        }
    }
    Ok(Some(page))
}

/// Returns `None` for a key that is not UTF-8: this program did not write it, so it stays as it is.
fn folded(rule: KeyRule, key: &[u8]) -> Option<Vec<u8>> {
    let folded = str::from_utf8(key).ok().and_then(|key| rule.folded(key));
    folded.map(String::into_bytes)
}

fn rewrite(
    conn: &Connection,
    table: &TableStatements,
    row: &KeyRow,
    folded: Option<&[u8]>,
    page: &mut PageOutcome,
) -> rusqlite::Result<()> {
    let [repository, scope, version] = &row.place;
    let compared = folded.unwrap_or(&row.key);
    let holder: Option<i64> = conn
        .prepare_cached(table.holder)?
        .query_one(params![row.tenant, repository, scope, version, compared], |holder| holder.get(0))
        .optional()?
        .filter(|holder| *holder != row.id);
    if let Some(holder) = holder {
        page.deleted += 1;
        delete(conn, table, &row.tenant, holder.min(row.id), compared)?;
        if holder > row.id {
            return Ok(());
        }
    }
    page.rows += 1;
    conn.prepare_cached(table.rewrite)?.execute(params![row.id, folded])?;
    Ok(())
}

/// Deletes a row of a tenant. `compared`: its key by the new rule.
fn delete(
    conn: &Connection,
    table: &TableStatements,
    tenant: &str,
    id: i64,
    compared: &[u8],
) -> rusqlite::Result<()> {
    if !table.are_entries {
        conn.prepare_cached(table.delete)?.execute([id])?;
        return Ok(());
    }
    let tenant = TenantName::parse(tenant).map_err(|error| rows::invalid(1, Type::Text, error))?;
    let departure = Departure { cause: Cause::Superseded, at_ms: Clock::system().now_ms() };
    let id = EntryId(u64::try_from(id).unwrap_or_default());
    departed::delete_entry(TenantConnection::new(conn, &tenant), id, u64::MAX, &departure)?;
    conn.prepare_cached(COMPARED)?.execute([clipped(compared)])?;
    Ok(())
}
