//! What calls cost in a small and in a large database.

use std::{fs, sync::Arc};

use super::super::SqliteIndex;
use crate::{
    Index, KeyRule,
    bench::{REPOSITORY, SIZES, compare, lists, record_uses, sums},
};

/// CPU time of this thread, which runs the reads.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
#[ignore = "a measurement: on a quiet machine"]
fn bench() {
    let directory = tempfile::tempdir().unwrap();
    let indexes = SIZES.map(|size| {
        let path = directory.path().join(format!("{size}.db"));
        let index = SqliteIndex::open(&path, KeyRule::AnyCase).unwrap();
        let departed = size.min(100_000);
        let fill = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {size})
             INSERT INTO entries (tenant, repository, scope, version, key, folded, object, size_bytes, created_ms, used_ms, uses, facts, trust)
             SELECT 'default', CAST('{REPOSITORY}' AS BLOB), CAST(iif(i % 10, 'main', 'refs/pull/' || (i / 10) || '/merge') AS BLOB),
               CAST('v' AS BLOB), CAST(printf('Linux-%07d', i) AS BLOB), CAST(printf('linux-%07d', i) AS BLOB), 'o' || i, 1, i,
               (i * 7919) % 1000003, 0, '{{\"run_id\":\"1\"}}', iif(i % 10, 1, 0) FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {departed})
             INSERT INTO departed (tenant, entry, repository, scope, version, key, compared, size_bytes, created_ms, used_ms, departed_ms, cause)
             SELECT 'default', i, CAST('{REPOSITORY}' AS BLOB), CAST('main' AS BLOB), CAST('v' AS BLOB),
               CAST(printf('Linux-%07d', i) AS BLOB), CAST(printf('linux-%07d', i) AS BLOB), 1, 1, 1, 1, 'age' FROM n"
        );
        rusqlite::Connection::open(&path).unwrap().execute_batch(&fill).unwrap();
        Arc::new(index) as Arc<dyn Index>
    });
    sums::compare("SQLite", [&indexes[0], &indexes[1]], sums::process_cpu);
    let indexes = [&indexes[0], &indexes[1]];
    let mut worst = compare("SQLite", indexes, cpu);
    worst.extend(lists::compare("SQLite", indexes, sums::process_cpu));
    record_uses("SQLite", indexes, sums::process_cpu);
    assert!(worst.is_empty(), "SQLite: {worst:?}");
}
