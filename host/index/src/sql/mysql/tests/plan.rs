//! The statements use their database indexes, so that a large database is as fast as a small one.

use larder_common::TenantName;
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _, mysql::MySqlRow};

use super::{
    super::{MySql, by_use, catalogue, departed, find, ledger, texts, within},
    new_database,
};
use crate::{
    KeyRule,
    conformance::{exact, prefix},
    sql::{
        catalogue::CatalogueStatements as _,
        request::SearchRequest,
        tests::{Filling, run},
    },
};

/// A step of a plan: table, access type and index.
type Step = (String, String, Option<String>);

fn steps(rows: &[MySqlRow]) -> Vec<Step> {
    let text = |row: &MySqlRow, column: &str| row.try_get::<Option<String>, _>(column).unwrap();
    // A step without a table or an access type reads nothing.
    let step = |row| Some((text(row, "table")?, text(row, "type")?, text(row, "key")));
    rows.iter().filter_map(step).collect()
}

/// Returns the server's plan for a statement. Parameters have arbitrary values; lists have one
/// item.
async fn plan(connection: &mut MySqlConnection, sql: &str) -> Vec<Step> {
    let sql = sql
        .replace("JSON_TABLE(?", "JSON_TABLE('[[1, 1]]'")
        .replace("LIMIT ?", "LIMIT 5")
        .replace('?', "'5'");
    let explain = AssertSqlSafe(format!("EXPLAIN {sql}"));
    steps(&sqlx::raw_sql(explain).fetch_all(connection).await.unwrap())
}

/// Returns the server's plan for a statement with its parameters.
async fn plan_with_values(
    connection: &mut MySqlConnection,
    mut statement: find::BoundStatement,
) -> Vec<Step> {
    statement.text.insert_str(0, "EXPLAIN ");
    steps(&statement.query().fetch_all(connection).await.unwrap())
}

fn check(statement: &str, steps: &[Step]) {
    for (table, way, index) in steps {
        let real = ["e", "entries", "uploads", "departed"].contains(&&**table);
        let whole = ["ALL", "index"].contains(&&**way) || index.is_none();
        assert!(!real || !whole, "{statement}\n{steps:?}");
    }
}

/// All statements of constant text.
const STATEMENTS: [&str; 71] = [
    catalogue::BY_NUMBER[0],
    catalogue::BY_NUMBER[1],
    catalogue::BY_SIZE[0],
    catalogue::BY_SIZE[1],
    by_use::BACKWARDS.low,
    by_use::BACKWARDS.full,
    by_use::BACKWARDS.reach,
    catalogue::WITH_KEY,
    catalogue::WITH_KEY_RANGE,
    MySql::COUNT_TENANT,
    MySql::COUNT_REPOSITORY,
    MySql::COUNT_SCOPE,
    find::NEWEST_BLOCK,
    texts::ENTRY_BY_ID,
    texts::ENTRY_BY_SLOT,
    texts::ENTRY_BY_UPLOAD,
    texts::UPLOAD_BY_ID,
    texts::UPLOAD_BY_NAME,
    texts::UPLOAD_BY_SLOT,
    texts::RENEW,
    ledger::LOCK_ID,
    ledger::LOCK_LEAVING,
    ledger::LOCK_DEPARTED,
    ledger::LEAVING,
    ledger::DEPARTED,
    ledger::USAGE,
    ledger::PARTS,
    ledger::PARTS_OF_REPOSITORY,
    departed::LOCK_UNUSED_ENTRY,
    departed::RECORD,
    departed::DELETE_ENTRY,
    departed::BY_KEY,
    departed::BY_PREFIX,
    departed::TRIM,
    by_use::OF_TENANT[0].low,
    by_use::OF_TENANT[0].full,
    by_use::OF_TENANT[0].reach,
    by_use::OF_TENANT[1].low,
    by_use::OF_TENANT[1].full,
    by_use::OF_REPOSITORY[0].low,
    by_use::OF_REPOSITORY[0].full,
    by_use::OF_REPOSITORY[0].reach,
    by_use::OF_REPOSITORY[1].low,
    by_use::OF_REPOSITORY[1].full,
    by_use::OF_SCOPE[0].low,
    by_use::OF_SCOPE[0].full,
    by_use::OF_SCOPE[0].reach,
    by_use::OF_SCOPE[1].low,
    by_use::OF_SCOPE[1].full,
    within::NEAR,
    within::NEAR_RANGE,
    within::UPLOADS_NEAR,
    within::UPLOADS_IN_SCOPE,
    within::SET_QUARANTINED,
    texts::TOUCH_ENTRIES,
    texts::TOUCH_ENTRY,
    texts::ENTRY_DETAILS,
    texts::UPLOAD_FACTS,
    texts::REPOSITORY_NAME,
    texts::NAMESAKES,
    texts::CAP_LAST_USED,
    texts::TOUCH_UPLOADS,
    texts::MARK_DURABLE,
    texts::VOLATILE_HERE,
    texts::VOLATILE_ELSEWHERE,
    texts::ENTRIES,
    texts::UPLOADS,
    texts::REFERENCED,
    texts::EXISTING,
    texts::HAS_ROWS,
    texts::NEXT_TENANT,
];

/// The index that a statement is made for; without those that name a unique key, of which the server
/// reads the one row while it plans.
const INDEXES: [(&str, &str); 31] = [
    (catalogue::BY_NUMBER[0], "entries_by_tenant"),
    (catalogue::BY_NUMBER[1], "entries_by_tenant"),
    (catalogue::BY_SIZE[0], "entries_by_size"),
    (catalogue::BY_SIZE[1], "entries_by_size"),
    (by_use::OF_TENANT[0].reach, "entries_by_use"),
    (by_use::BACKWARDS.reach, "entries_by_use"),
    (catalogue::WITH_KEY, "entries_by_any_key"),
    (MySql::COUNT_TENANT, "entries_by_tenant"),
    (MySql::COUNT_REPOSITORY, "entries_near"),
    (MySql::COUNT_SCOPE, "entries_by_use_in_scope"),
    (texts::ENTRY_BY_UPLOAD, "entries_by_upload"),
    (texts::TOUCH_ENTRIES, "PRIMARY"),
    (texts::MARK_DURABLE, "PRIMARY"),
    (texts::ENTRY_DETAILS, "PRIMARY"),
    (texts::NAMESAKES, "repositories_by_name"),
    (texts::TOUCH_UPLOADS, "uploads_by_name"),
    (texts::EXISTING, "uploads_by_name"),
    (texts::REFERENCED, "entries_by_object"),
    (texts::ENTRIES, "entries_by_tenant"),
    (texts::UPLOADS, "uploads_by_tenant"),
    (texts::VOLATILE_HERE, "entries_volatile"),
    (departed::BY_KEY, "departed_by_key"),
    (departed::BY_PREFIX, "departed_by_repository"),
    (departed::TRIM, "departed_by_tenant"),
    (by_use::OF_TENANT[0].full, "entries_by_use"),
    (by_use::OF_REPOSITORY[0].full, "entries_by_use_in_repository"),
    (by_use::OF_SCOPE[0].full, "entries_by_use_in_scope"),
    (within::NEAR, "entries_near"),
    (within::UPLOADS_NEAR, "uploads_near"),
    (within::UPLOADS_IN_SCOPE, "uploads_in_scope"),
    (within::SET_QUARANTINED, "PRIMARY"),
];

#[test]
fn no_statement_reads_a_whole_table() {
    let Some(database) = new_database() else { return };
    drop(database.open());
    // The planner treats empty tables differently.
    (database.fill)(&database.url, &Filling { repository: "r", count: 5_000, older: "a", newer: "b" });
    database.execute(
        "INSERT INTO uploads (name, slot, place, repository, scope, version, `key`, owner, created_ms, active_ms)
           SELECT LPAD(id, 32, '0'), slot, place, repository, scope, version, `key`, 'o', 1, 1 FROM entries",
    );
    let search = SearchRequest {
        tenant: TenantName::default(),
        rule: KeyRule::AnyCase,
        repository: "r".to_owned(),
        version: "v".to_owned(),
        probes: vec![exact("k"), prefix("a"), prefix("b")],
        skip: Vec::new(),
    };
    run(async {
        let mut connection = MySqlConnection::connect(&database.url).await.unwrap();
        for statement in STATEMENTS {
            assert!(statement.contains("tenant") || statement.contains("place"), "{statement}");
            check(statement, &plan(&mut connection, statement).await);
        }
        for (statement, index) in INDEXES {
            let steps = plan(&mut connection, statement).await;
            let used = |(.., used): &Step| used.as_deref() == Some(index);
            assert!(steps.iter().any(used), "{statement}\n{steps:?}");
        }
        let search_statement = find::search_statement(&search, &search.probes);
        let [any_in, newest_in] = find::block_scan_statements(&search, &search.probes[1]);
        let mut used = Vec::new();
        for statement in [search_statement, any_in, newest_in] {
            let text = statement.text.clone();
            let steps = plan_with_values(&mut connection, statement).await;
            check(&text, &steps);
            used.extend(steps.into_iter().filter_map(|(.., index)| index));
        }
        for index in ["entries_by_key", "entries_by_age", "entries_by_block"] {
            assert!(used.iter().any(|used| used == index), "{index} is not used: {used:?}");
        }
    });
}
