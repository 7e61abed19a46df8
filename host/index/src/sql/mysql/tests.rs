//! The conformance tests, and tests of this driver only.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod by_use;
mod plan;
mod recount;

use std::sync::{Arc, OnceLock};

use larder_common::TenantName;
use larder_testing::service;
use proptest::test_runner::Config;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};

use crate::{
    Index, IndexError, KeyRule,
    conformance::{Case, block_on, conformance, unique},
    sql::{
        ClientLimits, OtherRule, digest, schema,
        tests::{Database, Filling, all_shared, run, server, until_called, with_database},
    },
};

/// Creates an empty database on the server of the test run.
fn new_database() -> Option<Database> {
    let url = service("LARDER_TEST_MYSQL_URL")?;
    let name = unique("larder").replace('-', "_");
    execute(&url, format!("CREATE DATABASE {name}"));
    Some(Database {
        url: with_database(&url, &name),
        open,
        execute,
        fill,
        fill_the_disk: FULL,
        make_old,
        make_schema,
        migrations: super::MIGRATIONS.len(),
        another: new_database,
        of_release_before: OF_RELEASE_BEFORE,
        hold_entries,
    })
}

/// Number of migrations in that release.
const OLD_MIGRATIONS: usize = 1;

fn make_old(url: &str) {
    make_schema(url, OLD_MIGRATIONS);
}

fn make_schema(url: &str, migrations: usize) {
    run(async {
        let mut connection = MySqlConnection::connect(url).await.unwrap();
        schema::migrate(&mut connection, &super::MIGRATIONS[..migrations]).await.unwrap();
        connection.close().await.unwrap();
    });
    execute(url, include_str!("tests/last_release.sql").to_owned());
}

fn hold_entries(url: &str) -> Box<dyn FnOnce()> {
    until_called::<MySqlConnection>(url, ["LOCK TABLES entries WRITE", "UNLOCK TABLES"])
}

const OF_RELEASE_BEFORE: &[&str] = &[
    "INSERT INTO uploads \
     (slot, place, repository, scope, version, `key`, name, owner, created_ms, active_ms, folded) \
     VALUES (REPEAT('s', 32), REPEAT('p', 32), '1', 'main', 'v', 'by-the-release-before', REPEAT('7', 32), 'o', 1, 1, \
     NULL)",
    "UPDATE uploads SET object = 'p-1', size_bytes = 5 WHERE name = REPEAT('7', 32)",
    "INSERT INTO entries \
     (slot, place, repository, scope, version, `key`, folded, key_head, block, object, size_bytes, created_ms, used_ms, \
     boot, upload, owner) \
     SELECT slot, place, repository, scope, version, `key`, folded, LEFT(COALESCE(folded, `key`), 255), 0, object, \
     size_bytes, 1, 1, NULL, id, owner FROM uploads WHERE slot = REPEAT('s', 32)",
    "DELETE FROM uploads WHERE slot = REPEAT('s', 32)",
];

const FULL: &[&str] = &["CREATE TRIGGER full BEFORE INSERT ON uploads FOR EACH ROW \
     SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021, MESSAGE_TEXT = 'no space'"];

fn open(
    url: &str,
    limits: ClientLimits,
    rule: KeyRule,
    other: OtherRule,
) -> Result<Arc<dyn Index>, IndexError> {
    Ok(Arc::new(run(super::open(&server(url), limits, rule, other))?))
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
    let place = hex::encode(digest::place(&TenantName::default(), repository, "main", "v"));
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

/// Opens a case on the database of the test run.
fn open_case() -> Option<Case> {
    static DATABASE: OnceLock<Option<Database>> = OnceLock::new();
    Some(Case::new(DATABASE.get_or_init(new_database).as_ref()?.open()))
}

/// The same, with keys that are compared byte for byte.
fn open_bytes() -> Option<Case> {
    static DATABASE: OnceLock<Option<Database>> = OnceLock::new();
    Some(Case::new(DATABASE.get_or_init(new_database).as_ref()?.open_for(KeyRule::Bytes)))
}

/// The same, as a tenant that is not alone.
fn open_tenant() -> Option<Case> {
    Some(open_case()?.of_a_tenant())
}

fn open_tenant_bytes() -> Option<Case> {
    Some(open_bytes()?.of_a_tenant())
}

conformance!(
    crate::sql::mysql::tests::open_case, crate::sql::mysql::tests::open_bytes;
    crate::sql::mysql::tests::open_tenant, crate::sql::mysql::tests::open_tenant_bytes
);

all_shared!();

proptest::proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    #[test]
    fn behaves_like_the_model(ops in crate::tests::ops(), bytes in proptest::bool::weighted(0.3), tenant: bool) {
        let (opened, rule) = match bytes {
            true => (open_bytes(), KeyRule::Bytes),
            false => (open_case(), KeyRule::AnyCase),
        };
        if let Some(mut opened) = opened {
            if tenant {
                opened = opened.of_a_tenant();
            }
            block_on(crate::tests::compare(&*opened.index, rule, ops));
        }
    }
}
