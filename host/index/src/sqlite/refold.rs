//! Brings a database to the rule by which keys are compared now.
//!
//! Called when a database is opened, after the migrations. Rows are rewritten page by page, each page in a transaction: what
//! was cut off in the middle is done again at the next opening, for a row that is right stays as it is. Where two rows come
//! to the same slot the newer one has it, and the other goes; its object is an orphan then, and the sweep's.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::rows::compared_key;
use crate::keys::{CHANGING, KeyRule, PAGE, PROPERTY, Rewritten};

/// Both tables have the columns that matter here.
struct Table {
    page: &'static str,
    holder: &'static str,
    rewrite: &'static str,
    delete: &'static str,
}

macro_rules! table {
    ($table:literal) => {
        Table {
            page: concat!(
                "SELECT id, repository, scope, version, key, folded FROM ",
                $table,
                " WHERE id > ?1 ORDER BY id LIMIT ?2"
            ),
            holder: concat!(
                "SELECT id FROM ",
                $table,
                " WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND ",
                compared_key!(),
                " = ?4"
            ),
            rewrite: concat!("UPDATE ", $table, " SET folded = ?2 WHERE id = ?1"),
            delete: concat!("DELETE FROM ", $table, " WHERE id = ?1"),
        }
    };
}

const ENTRIES: Table = table!("entries");
const UPLOADS: Table = table!("uploads");

/// A slot has an entry or an upload, not both.
const DELETE_UPLOADS_OF_ENTRIES: &str = "DELETE FROM uploads WHERE EXISTS (SELECT 1 FROM entries \
     WHERE entries.repository = uploads.repository AND entries.scope = uploads.scope \
     AND entries.version = uploads.version \
     AND coalesce(entries.folded, entries.key) = coalesce(uploads.folded, uploads.key))";

struct Row {
    id: i64,
    place: [Vec<u8>; 3],
    key: Vec<u8>,
    folded: Option<Vec<u8>>,
}

/// What became of the rows of a page.
struct Page {
    last: i64,
    rows: u64,
    gone: u64,
}

/// Rewrites what is compared otherwise now. Returns what was done, or `None` where the database is of this rule already.
pub(super) fn refold(conn: &mut Connection, rule: KeyRule) -> rusqlite::Result<Option<Rewritten>> {
    if begin(conn, rule)? {
        return Ok(None);
    }
    let mut done = Rewritten::default();
    done.entries = all_of(conn, &ENTRIES, rule, &mut done.rows)?;
    done.uploads = all_of(conn, &UPLOADS, rule, &mut done.rows)?;
    let end = immediate(conn)?;
    done.uploads += end.execute(DELETE_UPLOADS_OF_ENTRIES, [])? as u64;
    set_rule(&end, rule.name())?;
    end.commit()?;
    Ok(Some(done))
}

/// Returns whether there is nothing to be done; else notes that the change has begun.
fn begin(conn: &mut Connection, rule: KeyRule) -> rusqlite::Result<bool> {
    let is_there = "SELECT value = ?2 FROM properties WHERE name = ?1";
    let read = |conn: &Connection| conn.query_row(is_there, params![PROPERTY, rule.name()], |row| row.get(0));
    if read(conn)? {
        return Ok(true);
    }
    let begin = immediate(conn)?;
    set_rule(&begin, CHANGING)?;
    begin.commit()?;
    Ok(false)
}

fn set_rule(conn: &Connection, value: &str) -> rusqlite::Result<()> {
    conn.execute("UPDATE properties SET value = ?2 WHERE name = ?1", params![PROPERTY, value])?;
    Ok(())
}

fn immediate(conn: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    conn.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Returns how many rows went.
fn all_of(conn: &mut Connection, table: &Table, rule: KeyRule, rows: &mut u64) -> rusqlite::Result<u64> {
    let (mut after, mut gone) = (0, 0);
    loop {
        let transaction = immediate(conn)?;
        let page = page(&transaction, table, rule, after)?;
        transaction.commit()?;
        let Some(page) = page else { return Ok(gone) };
        after = page.last;
        *rows += page.rows;
        gone += page.gone;
    }
}

fn page(conn: &Connection, table: &Table, rule: KeyRule, after: i64) -> rusqlite::Result<Option<Page>> {
    let mut select = conn.prepare_cached(table.page)?;
    let rows = select.query_map(params![after, PAGE as i64], |row| {
        let place = [row.get(1)?, row.get(2)?, row.get(3)?];
        Ok(Row { id: row.get(0)?, place, key: row.get(4)?, folded: row.get(5)? })
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<Row>>>()?;
    let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
    let mut page = Page { last, rows: 0, gone: 0 };
    for row in rows {
        let folded = folded(rule, &row.key);
        if folded != row.folded {
            rewrite(conn, table, &row, folded.as_deref(), &mut page)?;
        }
    }
    Ok(Some(page))
}

/// What is no text was not written by this program, and is left alone.
fn folded(rule: KeyRule, key: &[u8]) -> Option<Vec<u8>> {
    let folded = str::from_utf8(key).ok().and_then(|key| rule.folded(key));
    folded.map(String::into_bytes)
}

fn rewrite(
    conn: &Connection,
    table: &Table,
    row: &Row,
    folded: Option<&[u8]>,
    page: &mut Page,
) -> rusqlite::Result<()> {
    let [repository, scope, version] = &row.place;
    let compared = folded.unwrap_or(&row.key);
    let holder: Option<i64> = conn
        .prepare_cached(table.holder)?
        .query_one(params![repository, scope, version, compared], |holder| holder.get(0))
        .optional()?
        .filter(|holder| *holder != row.id);
    if let Some(holder) = holder {
        page.gone += 1;
        conn.prepare_cached(table.delete)?.execute([holder.min(row.id)])?;
        if holder > row.id {
            return Ok(());
        }
    }
    page.rows += 1;
    conn.prepare_cached(table.rewrite)?.execute(params![row.id, folded])?;
    Ok(())
}
