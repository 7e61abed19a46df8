//! The search for the entry that matches a list of probes: one statement, whatever the list.
//!
//! A recursive query tries the probes in order until one matches. The newest entry with a prefix is
//! searched in three steps, until one decides:
//!
//! 1. the keys with the prefix, if there are at most 200: this decides all misses;
//! 2. the newest 200 entries: this decides most hits;
//! 3. the keys with the prefix in each block of 4,096 entries, from the newest block backwards. For
//!    a million entries this takes some hundred steps, whatever the prefix and wherever its entries
//!    are.

use sqlx::{postgres::PgArguments, query::Query};

use super::statements::entry_columns;
use crate::{
    MatchKind,
    sql::{
        digest::{self, HEAD_BYTES},
        request::SearchRequest,
        rows::integer,
    },
};

/// `$e` is the condition that the whole key of an entry `e`, not only its head, has the prefix of
/// the probe `p`.
macro_rules! find {
    ($e:literal) => {
        concat!(
            "WITH RECURSIVE search (n, id) AS (
               SELECT 0, NULL::bigint
             UNION ALL
               SELECT search.n + 1, CASE WHEN p.low IS NULL THEN
                 (SELECT e.id FROM entries e
                  WHERE e.slot = p.digest AND e.quarantined_ms IS NULL AND e.id <> ALL ($6::bigint[]))
               ELSE
                 (SELECT CASE WHEN few.count <= 200 THEN few.newest ELSE COALESCE(
                   (SELECT max(e.id) FROM (
                      SELECT e.id, e.place, e.key_head, e.folded, e.key FROM entries e
                      WHERE e.place <= p.digest AND e.id <> ALL ($6::bigint[])
                      ORDER BY e.place DESC, e.id DESC LIMIT 200
                    ) e
                    WHERE e.place = p.digest AND e.key_head >= p.low AND e.key_head < p.high", $e,
            "),
                   (WITH RECURSIVE walk (block, id) AS (
                      SELECT (SELECT max(e.block) + 1 FROM entries e WHERE e.place = p.digest), NULL::bigint
                    UNION ALL
                      SELECT next.block, (
                        SELECT max(e.id + 0) FROM entries e
                        WHERE e.place = p.digest AND e.block = next.block
                          AND e.key_head >= p.low AND e.key_head < p.high AND e.id <> ALL ($6::bigint[])", $e, ")
                      FROM walk, LATERAL (
                        SELECT max(e.block) AS block FROM entries e
                        WHERE e.place = p.digest AND e.block < walk.block) next
                      WHERE walk.id IS NULL AND next.block IS NOT NULL
                    ) SELECT max(walk.id) FROM walk)) END
                  FROM (
                    SELECT count(*) AS count, max(e.id) AS newest FROM (
                      SELECT e.id FROM entries e
                      WHERE e.place = p.digest AND e.key_head >= p.low AND e.key_head < p.high
                        AND e.id <> ALL ($6::bigint[])", $e, "
                      ORDER BY e.key_head LIMIT 201
                    ) e
                  ) few)
               END
               FROM search, LATERAL (
                 SELECT ($2::bytea[])[search.n + 1] AS digest, ($3::bytea[])[search.n + 1] AS low,
                   ($4::bytea[])[search.n + 1] AS high, ($5::bytea[])[search.n + 1] AS prefix) p
               WHERE search.id IS NULL AND search.n < cardinality($2::bytea[])
             )
             SELECT ",
            entry_columns!(),
            " FROM entries WHERE tenant || '' = $1 AND id = (SELECT max(search.id) FROM search)"
        )
    };
}

/// For prefixes of up to [`HEAD_BYTES`] bytes, where the index alone decides.
pub(super) const BY_HEAD: &str = find!("");

/// For longer prefixes.
pub(super) const BY_KEY: &str =
    find!(" AND substring(coalesce(e.folded, e.key) FROM 1 FOR octet_length(p.prefix)) = p.prefix");

/// The parameters of a search: the tenant, and arrays with one item for each probe.
pub(super) struct SearchStatement<'a> {
    text: &'static str,
    tenant: &'a [u8],
    digests: Vec<Vec<u8>>,
    lows: Vec<Option<Vec<u8>>>,
    highs: Vec<Option<Vec<u8>>>,
    prefixes: Vec<Option<&'a [u8]>>,
    skip: Vec<i64>,
}

impl<'a> SearchStatement<'a> {
    pub(super) fn new(search: &'a SearchRequest) -> Self {
        let skip = search.skip.iter().map(|id| integer(id.0)).collect();
        let mut statement = Self {
            text: BY_HEAD,
            tenant: search.tenant.as_str().as_bytes(),
            digests: Vec::new(),
            lows: Vec::new(),
            highs: Vec::new(),
            prefixes: Vec::new(),
            skip,
        };
        for probe in &search.probes {
            let place = search.place(probe);
            match probe.kind {
                MatchKind::Exact => statement.push(digest::slot(&place, &probe.key), None, None),
                MatchKind::Prefix => {
                    statement.push(place, Some(digest::head_range(&probe.key)), Some(&probe.key));
                }
            }
        }
        statement
    }

    fn push(&mut self, digest: Vec<u8>, range: Option<digest::HeadRange>, prefix: Option<&'a str>) {
        if prefix.is_some_and(|prefix| prefix.len() > HEAD_BYTES) {
            self.text = BY_KEY;
        }
        let (low, high) = range.map(|range| (range.low, range.high)).unzip();
        self.digests.push(digest);
        self.lows.push(low);
        self.highs.push(high);
        self.prefixes.push(prefix.map(str::as_bytes));
    }

    pub(super) fn query(&self) -> Query<'_, sqlx::Postgres, PgArguments> {
        sqlx::query(self.text)
            .bind(self.tenant)
            .bind(&self.digests)
            .bind(&self.lows)
            .bind(&self.highs)
            .bind(&self.prefixes)
            .bind(&self.skip)
    }
}
