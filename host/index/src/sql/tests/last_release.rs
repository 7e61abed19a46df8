//! An index of the last release: fault 4.

use std::{sync::Barrier, thread};

use super::{Database, Filling};
use crate::{
    EntryDetails, EntryId, KeyRule, UploadId,
    conformance::{Case, block_on},
    last_release::{
        has_its_secret, is_changed_back, is_changed_to_bytes, is_of_any_case, is_of_bytes,
        its_uploads_can_be_finished, keeps_the_newest, the_newest_stays_in_each_tenant,
    },
};

/// Fault 4.
pub(in crate::sql) fn is_brought_to_any_case(database: &Database) {
    (database.make_old)(&database.url);
    for _ in 0..2 {
        block_on(is_of_any_case(&*database.open()));
    }
    let index = database.open();
    block_on(has_its_secret(&*index));
    block_on(its_uploads_can_be_finished(&*index));
}

/// Fault 4.
pub(in crate::sql) fn is_unchanged_for_bytes(database: &Database) {
    (database.make_old)(&database.url);
    block_on(is_of_bytes(&*database.open_for(KeyRule::Bytes)));
    block_on(is_of_any_case(&*database.rewrite_for(KeyRule::AnyCase)));
}

/// Fault 4.
pub(in crate::sql) fn can_be_changed_and_changed_back(database: &Database) {
    (database.make_old)(&database.url);
    drop(database.open());
    block_on(is_changed_to_bytes(&*database.rewrite_for(KeyRule::Bytes)));
    block_on(is_changed_back(&*database.rewrite_for(KeyRule::AnyCase)));
}

/// Fault 4.
pub(in crate::sql) fn an_interrupted_rewrite_is_completed(database: &Database) {
    (database.make_old)(&database.url);
    // Of two colliding rows, one is deleted and the other is not rewritten yet.
    drop(database.open_for(KeyRule::Bytes));
    database.execute("UPDATE properties SET value = 'changing' WHERE name = 'keys'");
    database.execute("DELETE FROM entries WHERE id = 2");
    block_on(keeps_the_newest(&*database.open()));
}

/// Fault 4.
pub(in crate::sql) fn many_rows_are_rewritten_in_pages(database: &Database) {
    let case = Case::new(database.open_for(KeyRule::Bytes));
    let filling = Filling { repository: &case.repository, count: 5_000, older: "OLD-", newer: "new-" };
    (database.fill)(&database.url, &filling);
    drop(case.index);
    let index = database.rewrite_for(KeyRule::AnyCase);
    let case = Case { index, repository: case.repository };
    assert_eq!(block_on(case.prefix("old-")).as_deref(), Some("OLD-0002500"));
    assert_eq!(block_on(case.exact("old-0000001")).as_deref(), Some("OLD-0000001"));
    assert_eq!(block_on(case.prefix("NEW-")).as_deref(), Some("new-0005000"));
    assert_eq!(block_on(case.index.list_entries(EntryId(0), 10_000)).unwrap().len(), 5_000);
}

/// From each schema that there was.
pub(in crate::sql) fn without_facts_it_serves_all_that_it_has(database: &Database) {
    for migrations in 1..database.migrations {
        let Some(database) = (database.another)() else { return };
        (database.make_schema)(&database.url, migrations);
        // No server of its time has opened it, so its keys are still those of its first rule.
        let index = database.rewrite_for(KeyRule::AnyCase);
        block_on(crate::last_release::has_no_facts(&*index));
    }
}

pub(in crate::sql) fn is_all_of_the_default_tenant(database: &Database) {
    (database.make_old)(&database.url);
    block_on(crate::last_release::is_all_of_the_default_tenant(&*database.open()));
}

/// Several replicas migrate it at once.
pub(in crate::sql) fn may_be_opened_concurrently(database: &Database) {
    const MANY: usize = 8;
    (database.make_old)(&database.url);
    let start = Barrier::new(MANY);
    thread::scope(|scope| {
        for _ in 0..MANY {
            scope.spawn(|| {
                start.wait();
                block_on(is_of_any_case(&*database.open()));
            });
        }
    });
}

/// A replica of the release before works on while others are replaced. Its statements name no tenant.
pub(in crate::sql) fn statements_of_the_release_before_work_on(database: &Database) {
    (database.make_old)(&database.url);
    let index = database.open();
    database.of_release_before.iter().for_each(|statement| database.execute(statement));
    let entries = block_on(index.list_entries(EntryId(0), 100)).unwrap();
    let made = entries.last().unwrap();
    assert_eq!((&*made.slot.key, made.size_bytes), ("by-the-release-before", 5));
    let details = block_on(index.entry_details(&[made.id])).unwrap();
    assert_eq!(
        details,
        [EntryDetails {
            id: made.id,
            facts: None,
            uses: None,
            trust: None,
            quarantined_ms: None,
            digest: None
        }]
    );
    let other = index.tenant(&larder_common::TenantName::parse("other").unwrap()).unwrap();
    assert_eq!(block_on(other.get_entry(made.id)).unwrap(), None);
    assert_eq!(block_on(other.list_uploads(UploadId(0), 100)).unwrap(), []);
}

pub(in crate::sql) fn of_each_tenant_the_newest_stays(database: &Database) {
    the_newest_stays_in_each_tenant(|rule| database.rewrite_for(rule));
}
