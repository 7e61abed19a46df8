//! What calls cost in a small and in a large database.

use sqlx::{Connection as _, PgConnection, Row as _};

use super::{digest, new_database, run};
use crate::bench::{CACHE_MIB, REPOSITORY, SIZES, compare, lists, record_uses, sums};

/// The processes of the server's connections, which run on this machine.
fn connections(url: &str) -> Vec<String> {
    run(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let rows = sqlx::query("SELECT pid FROM pg_stat_activity WHERE application_name = 'larder'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        rows.iter().map(|row| row.get::<i32, _>(0).to_string()).collect()
    })
}

fn check_cache(url: &str) {
    let blocks: i64 = run(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let size = "SELECT setting::int8 FROM pg_settings WHERE name = 'shared_buffers'";
        sqlx::query(size).fetch_one(&mut connection).await.unwrap().get(0)
    });
    let bytes = blocks.unsigned_abs() * 8192;
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
            "INSERT INTO entries (slot, place, repository, scope, version, key, folded, object, size_bytes, created_ms, used_ms, upload, uses, facts, trust)
             SELECT sha256(place || convert_to(folded, 'UTF8')), place, '{REPOSITORY}', convert_to(scope, 'UTF8'), 'v',
               convert_to(key, 'UTF8'), convert_to(folded, 'UTF8'), 'o', 1, i, (i::bigint * 7919) % 1000003, i, 0, '{{\"run_id\":\"1\"}}', (i % 10 <> 0)::int
             FROM (SELECT i, 'Linux-' || lpad(i::text, 7, '0') AS key, 'linux-' || lpad(i::text, 7, '0') AS folded,
               CASE WHEN i % 10 = 0 THEN 'refs/pull/' || i / 10 || '/merge' ELSE 'main' END AS scope,
               CASE WHEN i % 10 = 0 THEN sha256(convert_to('p' || i, 'UTF8')) ELSE '\\x{place}'::bytea END AS place
               FROM generate_series(1, {size}) AS i) AS made;
             INSERT INTO departed (tenant, entry, repository, scope, version, key, compared, size_bytes, created_ms, used_ms, departed_ms, cause)
             SELECT 'default', i, '{REPOSITORY}', 'main', 'v', convert_to('Linux-' || lpad(i::text, 7, '0'), 'UTF8'),
               convert_to('linux-' || lpad(i::text, 7, '0'), 'UTF8'), 1, 1, 1, 1, 'age' FROM generate_series(1, {departed}) AS i;
             ANALYZE"
        ));
        database.execute("VACUUM entries");
        (index, database)
    });
    let indexes = [&databases[0].0, &databases[1].0];
    let clock = sums::CpuClock::default();
    let cpu = || clock.of(&connections(&probe.url));
    sums::compare("PostgreSQL", indexes, cpu);
    let mut worst = compare("PostgreSQL", indexes, cpu);
    worst.extend(lists::compare("PostgreSQL", indexes, cpu));
    record_uses("PostgreSQL", indexes, cpu);
    assert!(worst.is_empty(), "PostgreSQL: {worst:?}");
}
