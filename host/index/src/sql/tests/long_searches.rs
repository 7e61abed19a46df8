//! Long searches beside other calls.

use std::{thread, time::Duration};

use super::{Database, LIMITS};
use crate::conformance::{Case, block_on};

/// Fault 12.
pub(in crate::sql) fn searches_never_have_all_connections(database: &Database) {
    let case = Case::new(database.open());
    let slot = block_on(case.entry("k")).slot;
    let release = (database.hold_entries)(&database.url);
    thread::scope(|scope| {
        let searches: Vec<_> =
            (0..4 * LIMITS.connections).map(|_| scope.spawn(|| block_on(case.prefix("k")))).collect();
        // All searches have started, and none can complete.
        thread::sleep(Duration::from_millis(300));
        assert_eq!(block_on(case.index.find_upload(&slot)).unwrap(), None);
        assert!(searches.iter().all(|search| !search.is_finished()), "the table is not held");
        release();
        for search in searches {
            assert_eq!(search.join().unwrap().as_deref(), Some("k"));
        }
    });
}
