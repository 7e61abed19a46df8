//! Pages in the order of last use, of which rows move while they are read.

use larder_common::TenantName;
use sqlx::{Connection as _, MySqlConnection, Row as _};

use super::{
    super::{by_use, statements::with_values},
    new_database, run,
};
use crate::{
    Departure, Entry, EntryUses, NO_FACTS, Trust, Within,
    conformance::{Case, block_on, within::entry},
    sql::{execute::Value, tenant::TenantConnection},
};

/// Where a page of low trust ends is asked first. What is deleted, or used, before the rows are read must not
/// make the page look like the last one.
#[test]
fn a_page_whose_rows_have_moved_is_read_again() {
    let Some(database) = new_database() else { return };
    let case = Case::new(database.open());
    let made: Vec<Entry> = block_on(async {
        let mut made = Vec::new();
        for at_ms in 1..=8 {
            let trust = if at_ms <= 4 { Trust::Low } else { Trust::Full };
            made.push(entry(&case, &case.key(&at_ms.to_string()), &NO_FACTS, trust, at_ms).await);
        }
        made
    });
    // The fourth of low trust is asked for, at 4; then one is deleted, and another one is used.
    let (limit, reach) = (4, 4);
    block_on(async {
        let departure = Departure { cause: crate::Cause::Manual, at_ms: 9 };
        assert!(case.index.delete_entry(made[0].id, &departure).await.unwrap());
        case.index.touch_entries(&[EntryUses::once(made[1].id, 9)]).await.unwrap();
    });
    run(async {
        let tenant = TenantName::default();
        let mut connection = MySqlConnection::connect(&database.url).await.unwrap();
        let mut db = TenantConnection::new(&mut connection, &tenant);
        for within in [Within::Tenant, Within::Repository(case.repository.clone())] {
            let page = by_use::Page {
                tenant: db.tenant(),
                within: &within,
                descending: false,
                after: (-1, -1),
                limit,
            };
            let texts = match within {
                Within::Tenant => &by_use::OF_TENANT[0],
                _ => &by_use::OF_REPOSITORY[0],
            };
            let found: Vec<Entry> = page.within_reach(&mut db, texts, reach, i64::MAX).await.unwrap();
            let found: Vec<_> = found.iter().map(|entry| entry.id).collect();
            assert_eq!(found, [2, 3, 4, 5].map(|place: usize| made[place].id), "{within:?}");
        }
    });
}

#[test]
fn values_take_the_places_of_parameters() {
    let values =
        [Value::Bytes(b"o'x\\\0"), Value::Integer(-1), Value::Optional(None), Value::Optional(Some(b""))];
    assert_eq!(
        with_values("a = ? AND (b > ?) OR c <> ? LIMIT ?", &values),
        "a = x'6f27785c00' AND (b > -1) OR c <> NULL LIMIT x''"
    );
}

/// A prepared statement would read each row that it steps over, once whole rows were read: see `number_of_index`.
#[test]
fn how_far_a_page_reaches_is_asked_without_a_prepared_statement() {
    let Some(database) = new_database() else { return };
    let case = Case::new(database.open());
    for at_ms in 1..=4 {
        block_on(entry(&case, &case.key(&at_ms.to_string()), &NO_FACTS, Trust::Low, at_ms));
    }
    run(async {
        let tenant = TenantName::default();
        let mut connection = MySqlConnection::connect(&database.url).await.unwrap();
        let mut prepared = Vec::new();
        for _ in 0..2 {
            let mut db = TenantConnection::new(&mut connection, &tenant);
            let within = Within::Scope { repository: case.repository.clone(), scope: "main".to_owned() };
            let page = by_use::Page {
                tenant: db.tenant(),
                within: &within,
                descending: false,
                after: (-1, -1),
                limit: 3,
            };
            let found: Vec<Entry> = page.both(&mut db, &by_use::OF_SCOPE[0], i64::MAX).await.unwrap();
            let uses: Vec<_> = found.iter().map(|entry| entry.last_used_ms).collect();
            assert_eq!(uses, [1, 2, 3]);
            let asked = sqlx::raw_sql("SHOW SESSION STATUS LIKE 'Com_stmt_prepare'");
            let row = asked.fetch_one(&mut connection).await.unwrap();
            prepared.push(row.get::<String, _>(1));
        }
        assert_eq!(prepared, ["2", "2"], "the rows of each trust, and nothing else");
    });
}
