//! The statements use their database indexes, so that a large database is as fast as a small one.

use super::open;

/// Returns SQLite's plan for a statement.
fn plan(conn: &rusqlite::Connection, sql: &str) -> String {
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
        super::super::find::BY_SLOT.to_owned(),
        super::super::find::BY_ID.to_owned(),
        super::super::find::BY_KEY.to_owned(),
        super::super::find::NEWEST_FIRST.to_owned(),
        super::super::queries::VOLATILE.to_owned(),
        super::super::queries::REFERENCES.to_owned(),
        super::super::find::BLOCK_BEFORE.to_owned(),
        super::super::find::IN_BLOCK.to_owned(),
        super::super::queries::UPLOAD_BY_SLOT.to_owned(),
        "SELECT * FROM uploads WHERE name = ?".to_owned(),
        super::super::changes::TOUCH_UPLOAD.to_owned(),
        "UPDATE entries SET boot = NULL WHERE id = ?1 AND boot IS NOT NULL".to_owned(),
        "DELETE FROM entries WHERE id = ?1 AND used_ms <= ?2".to_owned(),
    ];
    for statement in statements {
        let plan = plan(&conn, &statement);
        assert!(plan.contains("SEARCH"), "{statement}\n{plan}");
        assert!(!plan.contains("SCAN"), "{statement}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{statement}\n{plan}");
    }
}

#[test]
fn the_search_for_a_prefix_reads_no_table() {
    let opened = open();
    let conn = opened.beside();
    use super::super::find::{BLOCK_BEFORE, BY_KEY, IN_BLOCK, NEWEST_FIRST};
    for statement in [BY_KEY, NEWEST_FIRST, BLOCK_BEFORE, IN_BLOCK] {
        let plan = plan(&conn, statement);
        assert!(plan.contains("COVERING INDEX"), "{plan}");
    }
}
