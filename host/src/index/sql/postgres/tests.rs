//! The promises of every driver, and what only this one has to get right.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod plan;

use std::sync::{Arc, OnceLock};

use proptest::test_runner::Config;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::{
    index::{
        Index, IndexError,
        conformance::{Case, block_on, conformance, unique},
        sql::{
            Bounds, digest,
            tests::{Database, Filling, all_shared, run, server, with_database},
        },
    },
    testing::service,
};

/// A new, empty database in the server of the test run.
fn new_database() -> Option<Database> {
    let url = service("LARDER_TEST_POSTGRES_URL")?;
    let name = unique("larder").replace('-', "_");
    execute(&url, format!("CREATE DATABASE {name}"));
    Some(Database { url: with_database(&url, &name), open, execute, fill, fill_the_disk: FULL })
}

const FULL: &[&str] = &[
    "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS \
     $$BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END$$",
    "CREATE TRIGGER full BEFORE INSERT ON uploads FOR EACH ROW EXECUTE FUNCTION full()",
];

fn open(url: &str, bounds: Bounds) -> Result<Arc<dyn Index>, IndexError> {
    Ok(Arc::new(run(super::open(&server(url), bounds))?))
}

fn execute(url: &str, sql: String) {
    run(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
    });
}

fn fill(url: &str, filling: &Filling<'_>) {
    let Filling { repository, count, older, newer } = filling;
    let place = hex::encode(digest::place(repository, "main", "v"));
    execute(
        url,
        format!(
            "INSERT INTO entries
               (slot, place, repository, scope, version, key, object, size_bytes, created_ms, used_ms, upload)
             SELECT sha256('\\x{place}'::bytea || convert_to(key, 'UTF8')), '\\x{place}', '{repository}', 'main', 'v',
               convert_to(key, 'UTF8'), 'o', 1, 1, 1, i FROM (
                 SELECT CASE WHEN i <= {count} / 2 THEN '{older}' ELSE '{newer}' END || lpad(i::text, 7, '0') AS key, i
                 FROM generate_series(1, {count}) AS i) AS keys"
        ),
    );
}

/// A case on the database of this test run.
fn open_case() -> Option<Case> {
    static DATABASE: OnceLock<Option<Database>> = OnceLock::new();
    Some(Case::new(DATABASE.get_or_init(new_database).as_ref()?.open()))
}

conformance!(crate::index::sql::postgres::tests::open_case);

all_shared!();

proptest::proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    #[test]
    fn behaves_like_the_model(ops in crate::index::tests::ops()) {
        if let Some(opened) = open_case() {
            block_on(crate::index::tests::compare(&*opened.index, ops));
        }
    }
}
