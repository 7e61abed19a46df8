//! The statements use their database indexes, so that a large database is as fast as a small one.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use super::{
    super::{Postgres, by_use, catalogue, departed, facts, find, ledger, session, statements, within},
    new_database,
};
use crate::sql::{
    catalogue::CatalogueStatements as _,
    tests::{Filling, LIMITS, run},
};

/// Returns the server's plan for a statement with any parameters.
async fn plan(connection: &mut PgConnection, sql: &str) -> String {
    let values = (1..).take_while(|number| sql.contains(&format!("${number}"))).count();
    let prepare = format!("DEALLOCATE ALL; PREPARE asked AS {sql}");
    connection.execute(AssertSqlSafe(prepare)).await.unwrap();
    // Executed, because otherwise the plan lacks the parts of a recursive query. All parameters are
    // null, so nothing is changed.
    let explain =
        format!("EXPLAIN (ANALYZE, TIMING OFF) EXECUTE asked ({})", vec!["NULL"; values].join(", "));
    let steps = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(connection).await.unwrap();
    steps.iter().map(|step| step.get::<String, _>(0) + "\n").collect()
}

fn plans(check: impl Fn(&str, &str), statements: &[&str]) {
    let Some(database) = new_database() else { return };
    drop(database.open());
    (database.fill)(&database.url, &Filling { repository: "r", count: 20_000, older: "a", newer: "b" });
    database.execute("ANALYZE entries");
    run(async {
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        connection.execute(AssertSqlSafe(session(LIMITS))).await.unwrap();
        for statement in statements {
            check(statement, &plan(&mut connection, statement).await);
        }
    });
}

#[test]
fn no_statement_reads_a_whole_table() {
    let check = |statement: &str, plan: &str| {
        assert!(plan.contains("Index"), "{statement}\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{statement}\n{plan}");
    };
    plans(
        check,
        &[
            find::BY_HEAD,
            find::BY_KEY,
            statements::ENTRY_BY_ID,
            statements::ENTRY_BY_SLOT,
            statements::ENTRY_BY_UPLOAD,
            statements::UPLOAD_BY_ID,
            statements::UPLOAD_BY_NAME,
            statements::UPLOAD_BY_SLOT,
            statements::RENEW,
            ledger::ATTACH,
            ledger::FINALIZE,
            ledger::DELETE_UPLOAD,
            ledger::LEFT,
            ledger::LEFT_DEPARTED,
            ledger::LEAVING,
            ledger::DEPARTED,
            ledger::USAGE,
            ledger::PARTS,
            ledger::PARTS_OF_REPOSITORY,
            departed::DELETE_ENTRY,
            departed::BY_KEY,
            departed::BY_PREFIX,
            departed::FIRST_TO_STAY,
            departed::TRIM,
            by_use::OF_TENANT[0][0],
            by_use::OF_TENANT[0][1],
            by_use::OF_TENANT[0][2],
            by_use::OF_TENANT[1][2],
            by_use::OF_REPOSITORY[0][0],
            by_use::OF_REPOSITORY[0][1],
            by_use::OF_REPOSITORY[0][2],
            by_use::OF_REPOSITORY[1][2],
            by_use::OF_SCOPE[0][0],
            by_use::OF_SCOPE[0][1],
            by_use::OF_SCOPE[0][2],
            by_use::OF_SCOPE[1][2],
            within::NEAR,
            within::NEAR_RANGE,
            within::UPLOADS_NEAR,
            within::UPLOADS_NEAR_RANGE,
            within::UPLOADS_IN_SCOPE,
            within::SET_QUARANTINED,
            catalogue::BY_NUMBER[0],
            catalogue::BY_NUMBER[1],
            catalogue::BY_SIZE[0],
            catalogue::BY_SIZE[1],
            by_use::BACKWARDS[2],
            catalogue::WITH_KEY,
            catalogue::WITH_KEY_RANGE,
            Postgres::COUNT_TENANT,
            Postgres::COUNT_REPOSITORY,
            Postgres::COUNT_SCOPE,
            facts::TOUCH_ENTRIES,
            facts::ENTRY_DETAILS,
            facts::UPLOAD_FACTS,
            facts::REPOSITORY_NAME,
            facts::NAMESAKES,
            facts::FORGET_OLD_NAMES,
            statements::TOUCH_ENTRY,
            statements::CAP_LAST_USED,
            statements::TOUCH_UPLOADS,
            statements::MARK_DURABLE,
            statements::VOLATILE,
            statements::ENTRIES,
            statements::UPLOADS,
            statements::REFERENCED,
            statements::EXISTING,
            statements::HAS_ROWS,
            statements::NEXT_TENANT,
        ],
    );
}

/// The rows of other tenants are not read, and no row is found by its tenant alone where it is named
/// more closely.
#[test]
fn statements_use_the_index_that_is_made_for_them() {
    for (statement, index) in [
        (statements::ENTRY_BY_ID, "entries_pkey"),
        (facts::TOUCH_ENTRIES, "entries_pkey"),
        (facts::ENTRY_DETAILS, "entries_pkey"),
        (facts::UPLOAD_FACTS, "uploads_pkey"),
        (facts::REPOSITORY_NAME, "repositories_pkey"),
        (facts::NAMESAKES, "repositories_by_name"),
        (facts::FORGET_OLD_NAMES, "repositories_by_age"),
        (statements::TOUCH_ENTRY, "entries_pkey"),
        (statements::MARK_DURABLE, "entries_pkey"),
        (departed::DELETE_ENTRY, "entries_pkey"),
        (departed::BY_KEY, "departed_by_key"),
        (departed::BY_PREFIX, "departed_by_repository"),
        (departed::FIRST_TO_STAY, "departed_by_tenant"),
        (departed::TRIM, "departed_by_tenant"),
        (by_use::OF_TENANT[0][0], "entries_by_use on"),
        (by_use::OF_REPOSITORY[0][1], "entries_by_use_in_repository"),
        (by_use::OF_SCOPE[0][2], "entries_by_use_in_scope"),
        (within::NEAR, "entries_near"),
        (within::NEAR_RANGE, "entries_near"),
        (within::UPLOADS_NEAR, "uploads_near"),
        (within::UPLOADS_NEAR_RANGE, "uploads_near"),
        (within::UPLOADS_IN_SCOPE, "uploads_in_scope"),
        (within::SET_QUARANTINED, "entries_pkey"),
        (statements::RENEW, "uploads_pkey"),
        (ledger::ATTACH, "uploads_pkey"),
        (ledger::LEFT, "leaving_by_name"),
        (ledger::LEFT_DEPARTED, "departed_stored"),
        (ledger::LEAVING, "leaving_by_tenant"),
        (ledger::DEPARTED, "departed_stored"),
        (ledger::USAGE, "area_usage_pkey"),
        (ledger::PARTS_OF_REPOSITORY, "area_usage_pkey"),
        (ledger::DELETE_UPLOAD, "uploads_pkey"),
        (statements::ENTRIES, "entries_by_tenant"),
        (statements::UPLOADS, "uploads_by_tenant"),
        (statements::HAS_ROWS, "entries_by_tenant"),
        (statements::NEXT_TENANT, "entries_by_tenant"),
        (statements::VOLATILE, "entries_volatile"),
        (statements::REFERENCED, "entries_by_object"),
        (statements::REFERENCED, "uploads_by_object"),
        (statements::EXISTING, "uploads_by_name"),
        (statements::UPLOAD_BY_NAME, "uploads_by_name"),
        (statements::TOUCH_UPLOADS, "uploads_by_name"),
        (statements::ENTRY_BY_SLOT, "entries_by_slot"),
        (statements::ENTRY_BY_UPLOAD, "entries_by_upload"),
    ] {
        assert!(statement.contains("tenant"), "{statement}");
        plans(|_, plan| assert!(plan.contains(index), "{statement}\n{plan}"), &[statement]);
    }
}

#[test]
fn the_search_uses_an_index_for_each_of_its_ways_and_sorts_no_table() {
    let check = |_: &str, plan: &str| {
        for index in ["entries_by_slot", "entries_by_key", "entries_by_age", "entries_by_block"] {
            assert!(plan.contains(index), "{index} is missing in\n{plan}");
        }
        // A backward scan over all places would read the whole table.
        assert!(!plan.contains("Backward using entries_pkey"), "{plan}");
        assert!(!plan.contains("Sort"), "{plan}");
    };
    plans(check, &[find::BY_HEAD, find::BY_KEY]);
    // If the heads decide, the rows themselves are not read.
    plans(|_, plan| assert!(plan.matches("Index Only Scan").count() >= 5, "{plan}"), &[find::BY_HEAD]);
}

/// Of both trusts no more is read than a page has, and nothing is sorted.
#[test]
fn ranges_of_both_trusts_are_merged() {
    let check = |statement: &str, plan: &str| {
        assert!(plan.contains("Merge Append"), "{statement}\n{plan}");
        assert!(!plan.contains("Sort  "), "{statement}\n{plan}");
    };
    let statements = [by_use::OF_TENANT, by_use::OF_REPOSITORY, by_use::OF_SCOPE].as_flattened().to_vec();
    let both = statements.into_iter().chain([by_use::BACKWARDS]).map(|[_, _, both]| both);
    plans(check, &both.collect::<Vec<_>>());
}
