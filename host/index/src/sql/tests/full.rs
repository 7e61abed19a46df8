//! The server's disk is full.

use super::Database;
use crate::{
    IndexError,
    conformance::{Case, block_on},
};

/// Fault 13.
pub(in crate::sql) fn a_full_disk_is_not_an_outage(database: &Database) {
    let case = Case::new(database.open());
    for statement in database.fill_the_disk {
        database.execute(statement);
    }
    let refused =
        block_on(case.index.reserve(&case.key("k"), "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0));
    assert!(matches!(refused, Err(IndexError::NoSpace { .. })), "{refused:?}");
    assert_eq!(block_on(case.exact("k")), None);
}
