//! The promises of every driver, and what only this one has to get right.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::OnceLock;

use proptest::test_runner::Config;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::{
    super::tests::{BOUNDS, case, run, server, with_database},
    Postgres,
};
use crate::{
    index::{
        conformance::{Case, block_on, conformance},
        sql::driver::SqlIndex,
    },
    testing::service,
};

/// A new, empty database.
pub(super) fn fresh_database() -> Option<String> {
    let url = service("LARDER_TEST_POSTGRES_URL")?;
    let name = format!("larder_{}", crate::index::fresh_upload_name().unwrap());
    run(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    });
    Some(with_database(&url, &name))
}

/// The database of this test run.
fn database() -> Option<&'static str> {
    static DATABASE: OnceLock<Option<String>> = OnceLock::new();
    DATABASE.get_or_init(fresh_database).as_deref()
}

pub(super) fn open_at(url: &str) -> SqlIndex<Postgres> {
    run(super::open(&server(url), BOUNDS)).unwrap()
}

fn open() -> Option<Box<Case>> {
    Some(Box::new(case(open_at(database()?))))
}

conformance!(crate::index::sql::postgres::tests::open);

proptest::proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    #[test]
    fn behaves_like_the_model(ops in crate::index::tests::ops()) {
        if let Some(opened) = open() {
            block_on(crate::index::tests::compare(&*opened.index, ops));
        }
    }
}
