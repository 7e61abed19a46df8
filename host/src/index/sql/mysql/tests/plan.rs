//! The statements use the indexes that are there for them, so that a large database is as quick as a small one.

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _};

use super::{
    super::{find, statements},
    new_database,
};
use crate::index::{
    conformance::{exact, prefix},
    sql::{
        driver::Search,
        tests::{Filling, run},
    },
};

/// The tables that a statement reads, with the index for each. Values are texts of a letter; lists are empty.
async fn plan(connection: &mut MySqlConnection, sql: &str) -> Vec<(String, Option<String>)> {
    let sql = sql
        .replace("JSON_TABLE(?", "JSON_TABLE('[[1, 1]]'")
        .replace("LIMIT ?", "LIMIT 5")
        .replace('?', "'5'");
    let explain = format!("EXPLAIN {sql}");
    let steps = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(connection).await.unwrap();
    let text = |row: &sqlx::mysql::MySqlRow, column: &str| {
        row.try_get::<Option<String>, _>(column).unwrap().filter(|text| !text.is_empty())
    };
    let step = |row| Some((text(row, "table")?, text(row, "key")));
    steps.iter().filter_map(step).collect()
}

#[test]
fn no_statement_reads_a_whole_table() {
    let Some(database) = new_database() else { return };
    drop(database.open());
    // An empty table is not planned for.
    (database.fill)(&database.url, &Filling { repository: "r", count: 5_000, older: "a", newer: "b" });
    let search = Search {
        repository: "r".to_owned(),
        version: "v".to_owned(),
        probes: vec![exact("k"), prefix("a"), prefix("")],
        skip: Vec::new(),
    };
    let questions = find::questions(&search, &search.probes).text;
    let blocks = find::blocks(&search, b"place", "a", 2).text;
    let all = [
        &*questions,
        &blocks,
        find::NEWEST_BLOCK,
        statements::ENTRY_BY_ID,
        statements::ENTRY_BY_SLOT,
        statements::UPLOAD_BY_ID,
        statements::UPLOAD_BY_NAME,
        statements::UPLOAD_BY_SLOT,
        statements::DELETE_UPLOAD,
        statements::DELETE_IDLE_UPLOAD,
        statements::DELETE_ENTRY,
        statements::DELETE_UNUSED_ENTRY,
        statements::TOUCH_ENTRIES,
        statements::TOUCH_UPLOADS,
        statements::MARK_DURABLE,
        statements::VOLATILE_HERE,
        statements::VOLATILE_ELSEWHERE,
        statements::ENTRIES,
        statements::UPLOADS,
        statements::REFERENCED,
        statements::EXISTING,
    ];
    run(async {
        let mut connection = MySqlConnection::connect(&database.url).await.unwrap();
        for statement in all {
            let steps = plan(&mut connection, statement).await;
            for (table, index) in &steps {
                let real = ["e", "entries", "uploads"].contains(&&**table);
                assert!(!real || index.is_some(), "{statement}\n{steps:?}");
            }
        }
        let steps = plan(&mut connection, &questions).await;
        for index in ["entries_by_key", "entries_by_age"] {
            assert!(steps.iter().any(|(_, used)| used.as_deref() == Some(index)), "{index}: {steps:?}");
        }
    });
}
