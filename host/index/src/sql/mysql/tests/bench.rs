//! What calls cost in a small and in a large database.

use std::{fs, path::PathBuf};

use sqlx::{Connection as _, MySqlConnection, Row as _};

use super::{digest, new_database, run};
use crate::bench::{CACHE_MIB, REPOSITORY, SIZES, compare, lists, record_uses, sums};

/// The threads of the server's connections, which runs on this machine. Without those in the background, as for
/// PostgreSQL: they write what was filled in for long after.
fn threads(url: &str) -> Vec<PathBuf> {
    run(async {
        let mut connection = MySqlConnection::connect(url).await.unwrap();
        let file: String =
            sqlx::query("SELECT CAST(@@pid_file AS CHAR)").fetch_one(&mut connection).await.unwrap().get(0);
        let pid = fs::read_to_string(file).unwrap();
        let tasks = PathBuf::from(format!("/proc/{}/task", pid.trim()));
        // This connection is not one of them.
        let threads = "SELECT CAST(tid AS SIGNED) FROM information_schema.processlist WHERE db IS NOT NULL \
             AND id <> CONNECTION_ID()";
        let rows = sqlx::query(threads).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| tasks.join(row.get::<i64, _>(0).to_string())).collect()
    })
}

/// The server has this cache from its start. One that is made larger later keeps its table of pages, whose chains
/// are then several pages long, and each step of a search waits for memory.
fn check_cache(url: &str) {
    let bytes: u64 = run(async {
        let mut connection = MySqlConnection::connect(url).await.unwrap();
        let size = "SELECT CAST(@@innodb_buffer_pool_size AS UNSIGNED)";
        sqlx::query(size).fetch_one(&mut connection).await.unwrap().get(0)
    });
    assert!(bytes >= CACHE_MIB << 20, "start the server with LARDER_TEST_CACHE_MIB={CACHE_MIB}");
}

#[test]
#[ignore = "a measurement: on a quiet machine"]
fn bench() {
    let Some(probe) = new_database() else { return };
    check_cache(&probe.url);
    let databases = SIZES.map(|size| {
        let database = new_database().unwrap();
        let index = database.open();
        let departed = size.min(100_000);
        let place = hex::encode(digest::place(&larder_common::TenantName::default(), REPOSITORY, "main", "v"));
        database.execute(&format!(
            "INSERT INTO entries (slot, place, repository, scope, version, `key`, folded, key_head, block, object, size_bytes, created_ms, used_ms,
               upload, uses, facts, trust)
             SELECT UNHEX(SHA2(CONCAT(place, folded), 256)), place, '{REPOSITORY}', scope, 'v', `key`, folded, folded, i >> 12, 'o', 1, i,
               (i * 7919) % 1000003, i, 0, '{{\"run_id\":\"1\"}}', i % 10 <> 0
             FROM (SELECT seq AS i, CONCAT('Linux-', LPAD(seq, 7, '0')) AS `key`, CONCAT('linux-', LPAD(seq, 7, '0')) AS folded,
               IF(seq % 10 = 0, CONCAT('refs/pull/', seq DIV 10, '/merge'), 'main') AS scope,
               IF(seq % 10 = 0, UNHEX(SHA2(CONCAT('p', seq), 256)), UNHEX('{place}')) AS place FROM seq_1_to_{size}) AS made;
             INSERT INTO departed (tenant, entry, repository, scope, version, `key`, compared, size_bytes, created_ms, used_ms, departed_ms, cause)
             SELECT 'default', seq, '{REPOSITORY}', 'main', 'v', CONCAT('Linux-', LPAD(seq, 7, '0')), CONCAT('linux-', LPAD(seq, 7, '0')),
               1, 1, 1, 1, 'age' FROM seq_1_to_{departed};
             ANALYZE TABLE entries, departed"
        ));
        (index, database)
    });
    let clock = sums::CpuClock::default();
    let cpu = || clock.of_threads(threads(&probe.url).into_iter());
    let indexes = [&databases[0].0, &databases[1].0];
    sums::compare("MariaDB", indexes, cpu);
    let mut worst = compare("MariaDB", indexes, cpu);
    worst.extend(lists::compare("MariaDB", indexes, cpu));
    record_uses("MariaDB", indexes, cpu);
    assert!(worst.is_empty(), "MariaDB: {worst:?}");
}
