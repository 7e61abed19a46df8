//! Brings a database to the rule by which keys are compared now.
//!
//! Called when a database is opened, after the migrations, while others that open it wait. Rows are rewritten page by page:
//! what was cut off in the middle is done again at the next opening, for a row that is right stays as it is. Where two rows
//! come to the same slot the newer one has it, and the other goes; its object is an orphan then, and the sweep's.

use std::collections::{HashMap, HashSet};

use super::{digest, fault::Fault, pool::Driver};
use crate::keys::{CHANGING, KeyRule, PAGE, Rewritten};

/// Both tables have the columns that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Entries,
    Uploads,
}

/// What is stored of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) place: Vec<u8>,
    pub(super) slot: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) folded: Option<Vec<u8>>,
}

/// What is to be stored instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: i64,
    pub(super) slot: Vec<u8>,
    pub(super) folded: Option<Vec<u8>>,
}

/// What a driver reads and changes. Each is one statement.
pub(super) trait Refold: Driver {
    /// The name of the rule that the database was made for.
    async fn rule(connection: &mut Self::Connection) -> Result<String, Fault>;

    async fn set_rule(connection: &mut Self::Connection, name: &str) -> Result<(), Fault>;

    /// Rows by number, starting after `after`.
    async fn page(
        connection: &mut Self::Connection,
        table: Table,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Stored>, Fault>;

    /// The rows that are in these slots: number and slot.
    async fn holders(
        connection: &mut Self::Connection,
        table: Table,
        slots: &[&[u8]],
    ) -> Result<Vec<(i64, Vec<u8>)>, Fault>;

    async fn rewrite(
        connection: &mut Self::Connection,
        table: Table,
        changes: &[Change],
    ) -> Result<(), Fault>;

    /// Deletes rows by number.
    async fn delete(connection: &mut Self::Connection, table: Table, ids: &[i64]) -> Result<(), Fault>;

    /// Deletes the uploads in whose slot there is an entry. Returns how many.
    async fn delete_uploads_of_entries(connection: &mut Self::Connection) -> Result<u64, Fault>;
}

/// Rewrites what is compared otherwise now.
pub(super) async fn refold<D: Refold>(connection: &mut D::Connection, rule: KeyRule) -> Result<(), Fault> {
    if D::rule(connection).await? == rule.name() {
        return Ok(());
    }
    D::set_rule(connection, CHANGING).await?;
    let mut done = Rewritten::default();
    done.entries = all_of::<D>(connection, Table::Entries, rule, &mut done.rows).await?;
    done.uploads = all_of::<D>(connection, Table::Uploads, rule, &mut done.rows).await?;
    done.uploads += D::delete_uploads_of_entries(connection).await?;
    D::set_rule(connection, rule.name()).await?;
    done.tell(rule);
    Ok(())
}

/// Returns how many rows went.
async fn all_of<D: Refold>(
    connection: &mut D::Connection,
    table: Table,
    rule: KeyRule,
    rows: &mut u64,
) -> Result<u64, Fault> {
    let (mut after, mut gone) = (0, 0);
    loop {
        let page = D::page(connection, table, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(gone) };
        after = last.id;
        let changes = changes(&page, rule);
        if changes.is_empty() {
            continue;
        }
        let slots: Vec<&[u8]> = changes.iter().map(|change| &*change.slot).collect();
        let holders = D::holders(connection, table, &slots).await?;
        let plan = plan(changes, &holders);
        // In this order: a slot has one row at any time.
        D::delete(connection, table, &plan.delete).await?;
        D::rewrite(connection, table, &plan.rewrite).await?;
        *rows += plan.rewrite.len() as u64;
        gone += plan.delete.len() as u64;
    }
}

/// The rows that are compared as something else now. What is no text was not written by this program, and is left alone.
fn changes(page: &[Stored], rule: KeyRule) -> Vec<Change> {
    let change = |row: &Stored| {
        let key = str::from_utf8(&row.key).ok()?;
        let slot = digest::slot(&row.place, &rule.compared(key));
        let folded = rule.folded(key).map(String::into_bytes);
        let is_right = slot == row.slot && folded == row.folded;
        (!is_right).then_some(Change { id: row.id, slot, folded })
    };
    page.iter().filter_map(change).collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    delete: Vec<i64>,
    rewrite: Vec<Change>,
}

/// Decides who has the slots: of those that come to one, and the one that is in it, the newest.
fn plan(changes: Vec<Change>, holders: &[(i64, Vec<u8>)]) -> Plan {
    let mut newest: HashMap<Vec<u8>, i64> = HashMap::new();
    let claims = changes.iter().map(|change| (change.id, &change.slot));
    let claims: Vec<(i64, &Vec<u8>)> = claims.chain(holders.iter().map(|(id, slot)| (*id, slot))).collect();
    for (id, slot) in &claims {
        newest.entry((*slot).clone()).and_modify(|newest| *newest = (*id).max(*newest)).or_insert(*id);
    }
    let loses = |id: i64, slot: &Vec<u8>| newest.get(slot).is_some_and(|newest| *newest != id);
    let losers: HashSet<i64> =
        claims.iter().filter(|(id, slot)| loses(*id, slot)).map(|(id, _)| *id).collect();
    let mut delete: Vec<i64> = losers.iter().copied().collect();
    delete.sort_unstable();
    let rewrite = changes.into_iter().filter(|change| !losers.contains(&change.id)).collect();
    Plan { delete, rewrite }
}

#[cfg(test)]
mod tests;
