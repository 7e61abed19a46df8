#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::Writer;
use crate::ports::{Slot, Upload};

fn upload(created_ms: u64) -> Upload {
    let slot = Slot { repository: "1".into(), scope: "s".into(), version: "v".into(), key: "k".into() };
    Upload {
        id: 1,
        name: "u".into(),
        slot,
        owner: "t".into(),
        created_ms,
        last_activity_ms: created_ms,
        attachment: None,
    }
}

#[test]
fn the_first_writers_blocks_have_the_clients_ids_and_others_have_their_own() {
    let (first, again) = (Writer::of_reservation(&upload(1_000)), Writer::of_renewal(&upload(47_000)));
    assert_eq!((first.block_id("id".into()), again.block_id("id".into())), ("id".into(), "2f.id".into()));
    assert_eq!(first.own_id("MDAw"), Some("MDAw"));
    assert_eq!(again.own_id("2f.v1:0:5"), Some("v1:0:5"));
    for other in ["v1:0:5", "2e.v1:0:5", "x.v1:0:5", "2f"] {
        assert_eq!(again.own_id(other), None, "{other}");
    }
}

#[test]
fn invalid_tags_have_no_writer() {
    assert!(Writer::from_tag(0).is_some() && Writer::from_tag((1 << 20) - 1).is_some());
    assert_eq!((Writer::from_tag(1 << 20), Writer::from_tag(u64::MAX)), (None, None));
}

#[test]
fn numbers_beyond_a_double_are_never_used() {
    let writer = Writer::of_renewal(&upload(u64::MAX));
    assert!(writer.number((1 << 33) - 1).is_some_and(|number| number < 1 << 53));
    assert_eq!((writer.number(1 << 33), writer.number(u64::MAX)), (None, None));
}

proptest! {
    /// Fault 1.
    #[test]
    fn tags_and_numbers_round_trip(id in 1..1_u64 << 33, created_ms in any::<u64>(), is_again: bool) {
        let upload = upload(created_ms);
        let writer = if is_again { Writer::of_renewal(&upload) } else { Writer::of_reservation(&upload) };
        prop_assert_eq!(Writer::from_tag(writer.tag()), Some(writer));
        let number = writer.number(id).unwrap();
        prop_assert!(number > 0 && number < 1 << 53);
        prop_assert_eq!(Writer::of_number(number), (id, writer));
        prop_assert!(writer.is_current(&upload));
    }

    /// Fault 1.
    #[test]
    fn two_writers_of_an_upload_never_share_a_block(
        created_ms in 0..u64::MAX / 2,
        apart_ms in 1000..3_600_000_u64,
        id in "\\PC{1,20}",
    ) {
        let (before, after) = (upload(created_ms), upload(created_ms + apart_ms));
        let again = Writer::of_renewal(&after);
        for earlier in [Writer::of_reservation(&before), Writer::of_renewal(&before)] {
            prop_assert!(!earlier.is_current(&after) && !again.is_current(&before));
            prop_assert_ne!(earlier.tag(), again.tag());
            prop_assert_ne!(earlier.number(7), again.number(7));
            prop_assert_ne!(earlier.block_id(id.as_str().into()), again.block_id(id.as_str().into()));
        }
        let block_id = again.block_id(id.as_str().into());
        prop_assert_eq!(again.own_id(&block_id), Some(id.as_str()));
    }
}
