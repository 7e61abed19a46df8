//! Departed entries whose objects were removed from the storage.

use super::open;
use crate::conformance::{block_on, whole_tenant::the_earliest_departed_are_forgotten};

#[test]
fn the_earliest_departed_are_forgotten_but_not_what_may_be_stored() {
    let opened = open();
    block_on(the_earliest_departed_are_forgotten(&opened, |ids| {
        for id in ids {
            let sql = "UPDATE departed SET object = NULL WHERE entry = ?1";
            opened.beside().execute(sql, [id.0.cast_signed()]).unwrap();
        }
    }));
}
