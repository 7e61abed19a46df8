//! Pages in the order of last use, of which rows move while they are read.

use larder_common::TenantName;
use sqlx::{Connection as _, MySqlConnection};

use super::{super::by_use, new_database, run};
use crate::{
    Departure, Entry, EntryUses, NO_FACTS, Trust, Within,
    conformance::{Case, block_on, within::entry},
    sql::tenant::TenantConnection,
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
