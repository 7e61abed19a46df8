//! The statements that list entries in the order of last use, or against it.
//!
//! Each trust has a range of its own in the database indexes. The server does not merge the two: it
//! would read a whole page of each, sort both, and leave out half. So where both are asked for, the index
//! alone says how far a page can reach at most, and only rows up to there are read.

use super::{
    statements::{Db, MySqlQuery, fetch_all, number_of_index},
    texts::entry_columns,
};
use crate::{
    EntryOrder, Trust, Within,
    facts::detail_columns,
    sql::{
        execute::{Value, bound},
        fault::Fault,
        rows,
        within::{ListedRow, head},
    },
    within::sort,
};

/// The columns that are read.
macro_rules! read_columns {
    (entry) => {
        entry_columns!()
    };
    (details) => {
        concat!(entry_columns!(), ", ", detail_columns!())
    };
}

/// Rows of one trust from a place on. Two ranges of an index: a comparison of lists would be none.
macro_rules! of_trust {
    ($columns:expr, $trust:literal, [$index:literal, $place:literal], $compare:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM entries FORCE INDEX (",
            $index,
            ") WHERE tenant = ?",
            $place,
            " AND trusted = ",
            $trust,
            " AND ((used_ms = ? AND id ",
            $compare,
            " ?) OR used_ms ",
            $compare,
            " ?)"
        )
    };
}

/// A page of low trust and one of full trust, up to a last use; and the last use of one row of low trust.
macro_rules! by_use {
    ($place:tt, $way:tt) => {
        [by_use!((entry), $place, $way), by_use!((details), $place, $way)]
    };
    ($read:tt, $place:tt, [$compare:literal, $reach:literal, $order:literal]) => {
        ByUse {
            low: concat!(
                of_trust!(read_columns! $read, "0", $place, $compare),
                " AND used_ms ",
                $reach,
                " ? ORDER BY ",
                $order,
                " LIMIT ?"
            ),
            full: concat!(
                of_trust!(read_columns! $read, "1", $place, $compare),
                " AND used_ms ",
                $reach,
                " ? ORDER BY ",
                $order,
                " LIMIT ?"
            ),
            reach: concat!(of_trust!("used_ms", "0", $place, $compare), " ORDER BY ", $order, " LIMIT ?, 1"),
        }
    };
}

pub(super) struct ByUse {
    pub(super) low: &'static str,
    pub(super) full: &'static str,
    pub(super) reach: &'static str,
}

/// Texts of entries, and of entries with their details.
type BothTexts = [ByUse; 2];

pub(super) const OF_TENANT: BothTexts = by_use!(["entries_by_use", ""], [">", "<=", "used_ms, id"]);

pub(super) const OF_REPOSITORY: BothTexts =
    by_use!(["entries_by_use_in_repository", " AND repository_head = ?"], [">", "<=", "used_ms, id"]);

pub(super) const OF_SCOPE: BothTexts = by_use!(
    ["entries_by_use_in_scope", " AND repository_head = ? AND scope_head = ?"],
    [">", "<=", "used_ms, id"]
);

pub(super) const BACKWARDS: ByUse =
    by_use!((entry), ["entries_by_use", ""], ["<", ">=", "used_ms DESC, id DESC"]);

/// Returns a page after a place, which is a last use and a number.
pub(super) async fn fetch<L: ListedRow>(
    db: &mut Db<'_>,
    (within, descending): (&Within, bool),
    trust: Option<Trust>,
    after: (i64, i64),
    limit: i64,
) -> Result<Vec<L>, Fault> {
    let detailed = usize::from(L::DETAILED);
    let texts = match within {
        Within::Tenant if descending => &BACKWARDS,
        Within::Tenant => &OF_TENANT[detailed],
        Within::Repository(_) => &OF_REPOSITORY[detailed],
        Within::Scope { .. } => &OF_SCOPE[detailed],
    };
    let page = Page { tenant: db.tenant(), within, descending, after, limit };
    let all = if descending { -1 } else { i64::MAX };
    match trust {
        Some(Trust::Low) => page.read(db, texts.low, all).await,
        Some(Trust::Full) => page.read(db, texts.full, all).await,
        None => page.both(db, texts, all).await,
    }
}

/// What is asked for.
pub(super) struct Page<'a> {
    pub(super) tenant: &'a [u8],
    pub(super) within: &'a Within,
    pub(super) descending: bool,
    pub(super) after: (i64, i64),
    pub(super) limit: i64,
}

impl<'a> Page<'a> {
    /// The parameters up to the place.
    fn values(&self) -> Vec<Value<'a>> {
        let mut values = vec![Value::Bytes(self.tenant)];
        match self.within {
            Within::Tenant => {}
            Within::Repository(repository) => values.push(Value::Bytes(head(repository))),
            Within::Scope { repository, scope } => {
                values.extend([head(repository), head(scope)].map(Value::Bytes));
            }
        }
        let (used_ms, id) = self.after;
        values.extend([used_ms, id, used_ms].map(Value::Integer));
        values
    }

    /// A statement with these parameters and further ones.
    fn query(&self, text: &'static str, further: [i64; 2]) -> MySqlQuery<'a> {
        let values = self.values().into_iter().chain(further.map(Value::Integer));
        bound!(sqlx::query(text), &values.collect::<Vec<_>>())
    }

    async fn read<L: ListedRow>(
        &self,
        db: &mut Db<'_>,
        text: &'static str,
        reach: i64,
    ) -> Result<Vec<L>, Fault> {
        fetch_all(db.connection, self.query(text, [reach, self.limit]), L::read).await
    }

    /// Where a page of low trust would end, no page ends later. How much of it is read is decided by
    /// what is found of full trust.
    pub(super) async fn both<L: ListedRow>(
        &self,
        db: &mut Db<'_>,
        texts: &ByUse,
        all: i64,
    ) -> Result<Vec<L>, Fault> {
        let mut values = self.values();
        values.push(Value::Integer((self.limit - 1).max(0)));
        let reach = number_of_index(db.connection, texts.reach, &values).await?;
        let Some(reach) = reach else { return self.up_to(db, texts, all).await };
        self.within_reach(db, texts, reach, all).await
    }

    /// A page that is short is the last one. One up to `reach` may be so because rows were deleted, or used,
    /// since that was asked.
    pub(super) async fn within_reach<L: ListedRow>(
        &self,
        db: &mut Db<'_>,
        texts: &ByUse,
        reach: i64,
        all: i64,
    ) -> Result<Vec<L>, Fault> {
        let found = self.up_to(db, texts, reach).await?;
        if self.is_full(&found) { Ok(found) } else { self.up_to(db, texts, all).await }
    }

    async fn up_to<L: ListedRow>(&self, db: &mut Db<'_>, texts: &ByUse, reach: i64) -> Result<Vec<L>, Fault> {
        let mut found: Vec<L> = self.read(db, texts.full, reach).await?;
        let last = found.last().map(|last| rows::integer(last.entry().last_used_ms));
        let reach = last.filter(|_| self.is_full(&found)).unwrap_or(reach);
        found.extend(self.read::<L>(db, texts.low, reach).await?);
        sort(EntryOrder::LastUsed, self.descending, &mut found);
        found.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    fn is_full<L>(&self, found: &[L]) -> bool {
        rows::limit(found.len()) >= self.limit
    }
}
