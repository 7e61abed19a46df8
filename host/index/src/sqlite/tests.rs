//! The conformance tests, and tests of this driver only.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod counted;
mod crash;
mod departure;
mod fault;
mod last_release;
mod plan;
mod process;
mod scratch;
mod watch;

use std::{ops::Deref, path::PathBuf, sync::Arc};

use proptest::test_runner::Config;

use super::{super::conformance::Case, SqliteIndex};
use crate::{
    KeyRule,
    conformance::{block_on, conformance},
};

/// A case and its database.
pub(super) struct TestIndex {
    case: Case,
    directory: tempfile::TempDir,
}

impl Deref for TestIndex {
    type Target = Case;

    fn deref(&self) -> &Case {
        &self.case
    }
}

impl TestIndex {
    fn path(&self) -> PathBuf {
        self.directory.path().join("index.db")
    }

    fn of_a_tenant(self) -> Self {
        Self { case: self.case.of_a_tenant(), ..self }
    }

    /// Opens another connection to the same database, like another process.
    fn beside(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

pub(super) fn open() -> TestIndex {
    open_for(KeyRule::AnyCase)
}

fn open_for(rule: KeyRule) -> TestIndex {
    let directory = tempfile::tempdir().unwrap();
    let index = SqliteIndex::open(&directory.path().join("index.db"), rule).unwrap();
    TestIndex { case: Case::new(Arc::new(index)), directory }
}

fn open_case() -> Option<TestIndex> {
    Some(open())
}

fn open_bytes() -> Option<TestIndex> {
    Some(open_for(KeyRule::Bytes))
}

/// The same, as a tenant that is not alone.
fn open_tenant() -> Option<TestIndex> {
    Some(open().of_a_tenant())
}

fn open_tenant_bytes() -> Option<TestIndex> {
    Some(open_for(KeyRule::Bytes).of_a_tenant())
}

conformance!(
    crate::sqlite::tests::open_case, crate::sqlite::tests::open_bytes;
    crate::sqlite::tests::open_tenant, crate::sqlite::tests::open_tenant_bytes
);

proptest::proptest! {
    #![proptest_config(Config { cases: 192, failure_persistence: None, ..Config::default() })]

    #[test]
    fn behaves_like_the_model(ops in crate::tests::ops(), bytes in proptest::bool::weighted(0.3), tenant: bool) {
        let rule = if bytes { KeyRule::Bytes } else { KeyRule::AnyCase };
        let mut opened = open_for(rule);
        if tenant {
            opened = opened.of_a_tenant();
        }
        block_on(crate::tests::compare(&*opened.index, rule, ops));
    }
}
