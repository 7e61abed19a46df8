//! The statements use their database indexes, so that a large database is as fast as a small one.

use super::{
    super::{by_use, catalogue, changes, departed, facts, find, queries, tenant, within},
    open,
};

/// Returns SQLite's plan for a statement.
pub(super) fn plan(conn: &rusqlite::Connection, sql: &str) -> String {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut steps = statement.raw_query();
    let mut plan = String::new();
    while let Some(step) = steps.next().unwrap() {
        plan += &step.get::<_, String>(3).unwrap();
        plan.push('\n');
    }
    plan
}

#[test]
fn no_statement_reads_a_whole_table_or_sorts() {
    let opened = open();
    let conn = opened.beside();
    let statements = [
        find::BY_SLOT,
        find::EXACT,
        find::BY_ID,
        find::BY_KEY,
        find::BY_KEY_RELEASED,
        find::NEWEST_FIRST,
        find::BLOCK_BEFORE,
        find::IN_BLOCK,
        queries::VOLATILE,
        queries::REFERENCES,
        queries::UPLOAD_BY_SLOT,
        queries::UPLOAD_BY_NAME,
        queries::UPLOAD_BY_ID,
        queries::ENTRY_BY_UPLOAD,
        queries::ENTRIES,
        queries::UPLOADS,
        queries::EXISTING_UPLOAD,
        changes::TOUCH_UPLOAD,
        changes::MARK_DURABLE,
        changes::HAS_ROWS,
        departed::LEAVING,
        departed::DELETE_ENTRY,
        departed::BY_KEY,
        departed::LATEST,
        departed::FIRST_TO_STAY,
        departed::TRIM,
        within::NEAR,
        within::NEAR_FROM,
        within::UPLOADS_NEAR,
        within::UPLOADS_NEAR_FROM,
        within::UPLOADS_IN_SCOPE,
        within::SET_QUARANTINED,
        facts::ENTRY_DETAILS,
        facts::UPLOAD_FACTS,
        facts::REPOSITORY_NAME,
        facts::NAMESAKES,
        facts::FORGET_OLD_NAMES,
        catalogue::BY_NUMBER[0],
        catalogue::BY_NUMBER[1],
        catalogue::BY_SIZE[0][0],
        catalogue::BY_SIZE[0][1],
        catalogue::BY_SIZE[1][0],
        catalogue::BY_SIZE[1][1],
        catalogue::WITH_KEY,
        catalogue::FROM_KEY,
        catalogue::COUNT_TENANT,
        catalogue::COUNT_REPOSITORY,
        catalogue::COUNT_SCOPE,
    ];
    let by_use = [by_use::OF_TENANT, by_use::OF_REPOSITORY, by_use::OF_SCOPE].into_iter().flatten();
    let by_use = by_use.chain([by_use::BACKWARDS]);
    for statement in statements.into_iter().chain(by_use.flatten().flatten()) {
        let plan = plan(&conn, statement);
        assert!(statement.contains("tenant = ?1"), "{statement}");
        assert!(plan.contains("SEARCH"), "{statement}\n{plan}");
        assert!(!plan.contains("SCAN"), "{statement}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{statement}\n{plan}");
    }
}

#[test]
fn the_search_for_a_prefix_reads_no_table() {
    let opened = open();
    let conn = opened.beside();
    for statement in [find::BY_KEY, find::NEWEST_FIRST, find::BLOCK_BEFORE, find::IN_BLOCK] {
        let plan = plan(&conn, statement);
        assert!(plan.contains("COVERING INDEX"), "{plan}");
    }
}

/// The tenant of a row is compared after the row is found by its number, and not the other way round.
#[test]
fn a_row_is_found_by_its_number() {
    let opened = open();
    let conn = opened.beside();
    for statement in [
        find::BY_ID,
        queries::UPLOAD_BY_ID,
        changes::MARK_DURABLE,
        departed::LEAVING,
        departed::DELETE_ENTRY,
        within::SET_QUARANTINED,
        changes::TOUCH_ENTRY,
        changes::TOUCH_FOUND_ENTRY,
    ] {
        let plan = plan(&conn, statement);
        assert!(plan.contains("USING INTEGER PRIMARY KEY (rowid=?)"), "{statement}\n{plan}");
    }
}

/// A page in the order of last use begins where the one before ended, also if many were used at one time.
#[test]
fn pages_in_the_order_of_last_use_begin_in_the_index() {
    let opened = open();
    let conn = opened.beside();
    for statement in [catalogue::COUNT_TENANT, catalogue::COUNT_REPOSITORY, catalogue::COUNT_SCOPE] {
        assert!(plan(&conn, statement).contains("COVERING INDEX"), "{statement}");
    }
    let check = |statements: &[&str], searched: &str| {
        for statement in statements {
            let plan = plan(&conn, statement);
            assert!(plan.contains(searched), "{statement}\n{plan}");
        }
    };
    let [[rest, larger], [rest_backwards, smaller]] = catalogue::BY_SIZE;
    check(&[rest], "=? AND rowid>?");
    check(&[larger], ">?");
    check(&[rest_backwards], "=? AND rowid<?");
    check(&[smaller], "<?");
    for [rest, later] in [by_use::OF_TENANT, by_use::OF_REPOSITORY, by_use::OF_SCOPE].into_iter().flatten() {
        check(&rest, "<expr>=? AND used_ms=? AND rowid>?");
        check(&later, "<expr>=? AND used_ms>?");
    }
    let [rest, earlier] = by_use::BACKWARDS;
    check(&rest, "<expr>=? AND used_ms=? AND rowid<?");
    check(&earlier, "<expr>=? AND used_ms<?");
}

#[test]
fn the_next_tenant_is_one_step_in_each_index() {
    let opened = open();
    let plan = plan(&opened.beside(), tenant::NEXT);
    assert_eq!(plan.matches("COVERING INDEX").count(), 3, "{plan}");
    assert_eq!(plan.matches("(tenant>?)").count(), 3, "{plan}");
}
