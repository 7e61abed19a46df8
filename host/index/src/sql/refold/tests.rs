#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{KeyChange, StoredKey, Superseded, changed_keys, plan_rewrite};
use crate::{keys::KeyRule, sql::digest};

const PLACE: &[u8] = b"place";

fn stored(id: i64, key: &str, rule: KeyRule) -> StoredKey {
    StoredKey {
        id,
        place: PLACE.to_vec(),
        slot: digest::slot(PLACE, &rule.compared(key)),
        key: key.as_bytes().to_vec(),
        folded: rule.folded(key).map(String::into_bytes),
    }
}

/// Fault 4.
#[test]
fn only_what_is_compared_otherwise_is_changed() {
    for (from, to) in [(KeyRule::Bytes, KeyRule::AnyCase), (KeyRule::AnyCase, KeyRule::Bytes)] {
        let page = [stored(1, "deps", from), stored(2, "Deps-2", from), stored(3, "ÄÖ", from)];
        let expected = stored(2, "Deps-2", to);
        let compared = to.compared("Deps-2").as_bytes().to_vec();
        let change = KeyChange { id: 2, slot: expected.slot, folded: expected.folded, compared };
        assert_eq!(changed_keys(&page, to), [change], "{to:?}");
        assert_eq!(changed_keys(&page, from), []);
    }
    let no_text = StoredKey { key: vec![b'A', 0xff], ..stored(1, "A", KeyRule::Bytes) };
    assert_eq!(changed_keys(&[no_text], KeyRule::AnyCase), []);
}

/// Fault 4.
#[test]
fn of_those_that_come_to_one_slot_the_newest_stays() {
    let page: Vec<_> = [(1, "KEY"), (2, "Key"), (5, "Other"), (6, "OTHER"), (9, "Alone")]
        .map(|(id, key)| stored(id, key, KeyRule::Bytes))
        .into();
    let changes = changed_keys(&page, KeyRule::AnyCase);
    let slot = |key: &str| digest::slot(PLACE, key);
    // One holder is on a later page and newer, the other on an earlier page and older.
    let holders = [(7, slot("key")), (3, slot("other"))];
    let plan = plan_rewrite(changes, &holders);
    let gone = [(1, "key"), (2, "key"), (3, "other"), (5, "other")];
    let gone = gone.map(|(id, compared)| Superseded { id, compared: compared.as_bytes().to_vec() });
    assert_eq!(plan.delete, gone);
    assert_eq!(plan.rewrite.iter().map(|change| change.id).collect::<Vec<_>>(), [6, 9]);
}
