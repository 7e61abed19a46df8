//! A scratch index keeps all promises of the others.

use std::sync::Arc;

use proptest::test_runner::Config;

use super::super::SqliteIndex;
use crate::{
    EntryId, Index, KeyRule,
    conformance::{Case, block_on, conformance},
};

/// A small cache: pages go to the temporary file, too.
const CACHE_KIB: u32 = 64;

fn open_for(rule: KeyRule) -> Box<Case> {
    Box::new(Case::new(Arc::new(SqliteIndex::scratch(rule, CACHE_KIB).unwrap())))
}

fn open_case() -> Option<Box<Case>> {
    Some(open_for(KeyRule::AnyCase))
}

fn open_bytes() -> Option<Box<Case>> {
    Some(open_for(KeyRule::Bytes))
}

fn open_tenant() -> Option<Box<Case>> {
    open_case().map(|case| Box::new(case.of_a_tenant()))
}

fn open_tenant_bytes() -> Option<Box<Case>> {
    open_bytes().map(|case| Box::new(case.of_a_tenant()))
}

conformance!(
    crate::sqlite::tests::scratch::open_case, crate::sqlite::tests::scratch::open_bytes;
    crate::sqlite::tests::scratch::open_tenant, crate::sqlite::tests::scratch::open_tenant_bytes
);

proptest::proptest! {
    #![proptest_config(Config { cases: 64, failure_persistence: None, ..Config::default() })]

    #[test]
    fn behaves_like_the_model(ops in crate::tests::ops(), bytes: bool) {
        let rule = if bytes { KeyRule::Bytes } else { KeyRule::AnyCase };
        block_on(crate::tests::compare(&*open_for(rule).index, rule, ops));
    }
}

#[test]
fn after_a_change_that_fails_half_way_nothing_is_answered() {
    let index = SqliteIndex::scratch(KeyRule::Bytes, CACHE_KIB).unwrap();
    let written = |statements: &'static str| {
        block_on(index.database.writer.write("testing", move |conn| conn.execute_batch(statements)))
    };
    written("CREATE TABLE a (b)").unwrap();
    assert!(block_on(index.list_entries(EntryId(0), 1)).is_ok());
    assert!(written("INSERT INTO a VALUES (1); INSERT INTO nowhere VALUES (1)").is_err());
    assert!(written("INSERT INTO a VALUES (2)").is_err());
    assert!(block_on(index.list_entries(EntryId(0), 1)).is_err());
}
