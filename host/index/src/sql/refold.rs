//! Rewrites a database for another rule of comparing keys.
//!
//! Runs when a database is opened, after the migrations and under their lock. Rows are rewritten in
//! pages. An interrupted rewrite starts over at the next opening and skips rows that are already
//! right. If two rows end up in one slot, the newer one stays and the other is deleted. An entry
//! departs as superseded, so its object is removed like that of any other.

use std::collections::{HashMap, HashSet};

use larder_common::clock::Clock;

use super::{OtherRule, digest, fault::Fault, ledger::LedgerStatements, pool::Driver, schema::SchemaError};
use crate::{
    Cause, Departure,
    departed::clipped,
    keys::{CHANGING, KeyRule, PAGE_ROWS, RefoldSummary},
};

/// The tables with keys. Both have the columns that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Entries,
    Uploads,
}

/// The key columns of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredKey {
    pub(super) id: i64,
    pub(super) place: Vec<u8>,
    pub(super) slot: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) folded: Option<Vec<u8>>,
}

/// The new key columns of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyChange {
    pub(super) id: i64,
    pub(super) slot: Vec<u8>,
    pub(super) folded: Option<Vec<u8>>,
    /// The key as it is compared from now on, shortened as departed ones are.
    pub(super) compared: Vec<u8>,
}

/// A row that is deleted because a newer one has its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superseded {
    pub(super) id: i64,
    /// As in [`KeyChange`].
    pub(super) compared: Vec<u8>,
}

/// The statements of a driver. Each method is one statement, or a transaction.
pub(super) trait Refold: Driver {
    /// Returns the name of the rule that the database was made for.
    async fn rule(connection: &mut Self::Connection) -> Result<String, Fault>;

    async fn set_rule(connection: &mut Self::Connection, name: &str) -> Result<(), Fault>;

    /// Returns up to `limit` rows in the order of their numbers, starting after `after`.
    async fn page(
        connection: &mut Self::Connection,
        table: Table,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredKey>, Fault>;

    /// Returns number and slot of the rows in these slots.
    async fn holders(
        connection: &mut Self::Connection,
        table: Table,
        slots: &[&[u8]],
    ) -> Result<Vec<(i64, Vec<u8>)>, Fault>;

    async fn rewrite(
        connection: &mut Self::Connection,
        table: Table,
        changes: &[KeyChange],
    ) -> Result<(), Fault>;

    /// Deletes uploads.
    async fn delete_uploads(connection: &mut Self::Connection, gone: &[Superseded]) -> Result<(), Fault>;

    /// Deletes entries, and records their departure.
    async fn delete_entries(
        connection: &mut Self::Connection,
        gone: &[Superseded],
        departure: &Departure,
    ) -> Result<(), Fault>;

    /// Deletes the uploads whose slot has an entry. Returns their number.
    async fn delete_uploads_of_entries(connection: &mut Self::Connection) -> Result<u64, Fault>;
}

/// Rewrites the rows whose folded key changes, if the database was made for another rule and `other`
/// allows it. A rewrite that was interrupted is always completed, for this rule.
pub(super) async fn refold<D: Refold + LedgerStatements>(
    connection: &mut D::Connection,
    rule: KeyRule,
    other: OtherRule,
) -> Result<(), Fault> {
    let stored = D::rule(connection).await?;
    if stored == rule.name() {
        return Ok(());
    }
    if stored != CHANGING && other == OtherRule::Refuse {
        let is_case_sensitive = |name: &str| name == KeyRule::Bytes.name();
        let (stored, own) = (is_case_sensitive(&stored), is_case_sensitive(rule.name()));
        return Err(Fault::Schema(SchemaError::OtherRule { stored, own }));
    }
    D::set_rule(connection, CHANGING).await?;
    // Rows that are deleted are not counted any more.
    D::set_uncounted(connection).await?;
    let mut done = RefoldSummary::default();
    done.entries = refold_table::<D>(connection, Table::Entries, rule, &mut done.rows).await?;
    done.uploads = refold_table::<D>(connection, Table::Uploads, rule, &mut done.rows).await?;
    done.uploads += D::delete_uploads_of_entries(connection).await?;
    D::set_rule(connection, rule.name()).await?;
    done.log(rule);
    Ok(())
}

/// Rewrites a table and returns the number of deleted rows.
async fn refold_table<D: Refold>(
    connection: &mut D::Connection,
    table: Table,
    rule: KeyRule,
    rows: &mut u64,
) -> Result<u64, Fault> {
    let (mut after, mut deleted) = (0, 0);
    loop {
        let page = D::page(connection, table, after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(deleted) };
        after = last.id;
        let changes = changed_keys(&page, rule);
        if changes.is_empty() {
            continue;
        }
        let slots: Vec<&[u8]> = changes.iter().map(|change| &*change.slot).collect();
        let holders = D::holders(connection, table, &slots).await?;
        let plan = plan_rewrite(changes, &holders);
        // Deletes come first, because a slot may have only one row at any time.
        if !plan.delete.is_empty() {
            delete::<D>(connection, table, &plan.delete).await?;
        }
        D::rewrite(connection, table, &plan.rewrite).await?;
        *rows += plan.rewrite.len() as u64;
        deleted += plan.delete.len() as u64;
    }
}

async fn delete<D: Refold>(
    connection: &mut D::Connection,
    table: Table,
    gone: &[Superseded],
) -> Result<(), Fault> {
    match table {
        Table::Uploads => D::delete_uploads(connection, gone).await,
        Table::Entries => {
            let departure = Departure { cause: Cause::Superseded, at_ms: Clock::system().now_ms() };
            D::delete_entries(connection, gone, &departure).await
        }
    }
}

/// Returns the changes to the rows whose folded key or digest differs. A key that is not UTF-8 was
/// not written by this program and stays as it is.
fn changed_keys(page: &[StoredKey], rule: KeyRule) -> Vec<KeyChange> {
    let change = |row: &StoredKey| {
        let key = str::from_utf8(&row.key).ok()?;
        let compared = rule.compared(key);
        let slot = digest::slot(&row.place, &compared);
        let folded = rule.folded(key).map(String::into_bytes);
        let is_right = slot == row.slot && folded == row.folded;
        let compared = clipped(compared.as_bytes()).into_owned();
        (!is_right).then_some(KeyChange { id: row.id, slot, folded, compared })
    };
    page.iter().filter_map(change).collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct RewritePlan {
    delete: Vec<Superseded>,
    rewrite: Vec<KeyChange>,
}

/// Decides which row gets each slot: the newest of those that move to it and the one that is in it.
fn plan_rewrite(changes: Vec<KeyChange>, holders: &[(i64, Vec<u8>)]) -> RewritePlan {
    let mut newest: HashMap<Vec<u8>, i64> = HashMap::new();
    let claims = changes.iter().map(|change| (change.id, &change.slot));
    let claims: Vec<(i64, &Vec<u8>)> = claims.chain(holders.iter().map(|(id, slot)| (*id, slot))).collect();
    for (id, slot) in &claims {
        newest.entry((*slot).clone()).and_modify(|newest| *newest = (*id).max(*newest)).or_insert(*id);
    }
    let loses = |id: i64, slot: &Vec<u8>| newest.get(slot).is_some_and(|newest| *newest != id);
    // Who holds a slot does so against one of the changes.
    let compared: HashMap<&Vec<u8>, &Vec<u8>> =
        changes.iter().map(|change| (&change.slot, &change.compared)).collect();
    let lost = claims.iter().filter(|(id, slot)| loses(*id, slot));
    let mut delete: Vec<Superseded> = lost
        .map(|(id, slot)| Superseded {
            id: *id,
            compared: compared.get(slot).map(|compared| (*compared).clone()).unwrap_or_default(),
        })
        .collect();
    delete.sort_unstable_by_key(|gone| gone.id);
    delete.dedup_by_key(|gone| gone.id);
    let losers: HashSet<i64> = delete.iter().map(|gone| gone.id).collect();
    let rewrite = changes.into_iter().filter(|change| !losers.contains(&change.id)).collect();
    RewritePlan { delete, rewrite }
}

#[cfg(test)]
mod tests;
