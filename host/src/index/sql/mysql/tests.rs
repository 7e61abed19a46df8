//! The promises of every driver, and what only this one has to get right.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod plan;

use std::sync::{Arc, OnceLock};

use proptest::test_runner::Config;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};

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
    let url = service("LARDER_TEST_MYSQL_URL")?;
    let name = unique("larder").replace('-', "_");
    execute(&url, format!("CREATE DATABASE {name}"));
    Some(Database { url: with_database(&url, &name), open, execute, fill, fill_the_disk: FULL })
}

const FULL: &[&str] = &["CREATE TRIGGER full BEFORE INSERT ON uploads FOR EACH ROW \
     SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021, MESSAGE_TEXT = 'no space'"];

fn open(url: &str, bounds: Bounds) -> Result<Arc<dyn Index>, IndexError> {
    Ok(Arc::new(run(super::open(&server(url), bounds))?))
}

fn execute(url: &str, sql: String) {
    run(async {
        let mut connection = MySqlConnection::connect(url).await.unwrap();
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
            "INSERT INTO entries (slot, place, repository, scope, version, `key`, key_head, block, object, size_bytes,
               created_ms, used_ms, upload)
             SELECT UNHEX(SHA2(CONCAT(x'{place}', keys_.k), 256)), x'{place}', '{repository}', 'main', 'v', keys_.k,
               LEFT(keys_.k, 255), 0, 'o', 1, 1, 1, keys_.seq FROM (
                 SELECT CONCAT(IF(seq <= {count} DIV 2, '{older}', '{newer}'), LPAD(seq, 7, '0')) AS k, seq
                 FROM seq_1_to_{count} ORDER BY seq) AS keys_;
             UPDATE entries SET block = id >> 12 WHERE repository = '{repository}'"
        ),
    );
}

/// A case on the database of this test run.
fn open_case() -> Option<Case> {
    static DATABASE: OnceLock<Option<Database>> = OnceLock::new();
    Some(Case::new(DATABASE.get_or_init(new_database).as_ref()?.open()))
}

conformance!(crate::index::sql::mysql::tests::open_case);

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
