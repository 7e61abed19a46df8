use super::{ABANDONED_AFTER_MS, review_entries, review_uploads};
use crate::fake::{FakeHost, NOW_MS};
use crate::ports::{Candidate, Content, Entry, Host, Settings, Slot, Upload};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn settings(unused_entry_ms: Option<u64>) -> Settings {
    Settings { unused_entry_ms, ..FakeHost::new().settings() }
}

fn slot() -> Slot {
    Slot { repository: "1".into(), scope: "main".into(), version: "v".into(), key: "k".into() }
}

fn entry(id: u64, created_ms: u64, used_ms: u64, content: Content) -> Candidate {
    let entry = Entry { id, slot: slot(), object: "o".into(), size_bytes: 1, created_ms, used_ms };
    Candidate { entry, content }
}

fn upload(id: u64, active_ms: u64) -> Upload {
    Upload {
        id,
        name: "u".into(),
        slot: slot(),
        owner: "t".into(),
        created_ms: 0,
        active_ms,
        attachment: None,
    }
}

#[test]
fn broken_entries_go_and_all_others_stay_where_no_age_is_set() {
    let candidates = [
        entry(1, 0, 0, Content::Whole),
        entry(2, NOW_MS, NOW_MS, Content::Broken),
        entry(3, 0, 0, Content::Unknown),
    ];
    assert_eq!(review_entries(&settings(None), NOW_MS, candidates), [2]);
}

#[test]
fn entries_go_when_they_are_unused_for_longer_than_set() {
    let week = 7 * DAY_MS;
    let edge = NOW_MS - week;
    let candidates = [
        entry(1, 0, edge, Content::Whole),
        entry(2, 0, edge - 1, Content::Whole),
        entry(3, edge, 0, Content::Whole),
        entry(4, edge - 1, 0, Content::Whole),
        entry(5, edge - 1, edge - 1, Content::Unknown),
        entry(6, NOW_MS, NOW_MS, Content::Unknown),
        entry(7, NOW_MS + DAY_MS, 0, Content::Whole),
    ];
    assert_eq!(review_entries(&settings(Some(week)), NOW_MS, candidates), [2, 4, 5]);
}

#[test]
fn uploads_go_when_no_byte_came_for_an_hour() {
    let edge = NOW_MS - ABANDONED_AFTER_MS;
    let uploads =
        [upload(1, edge), upload(2, edge - 1), upload(3, NOW_MS - 30_000), upload(4, NOW_MS + DAY_MS)];
    assert_eq!(review_uploads(&settings(None), NOW_MS, uploads), [2]);
}

#[test]
fn uploads_stay_as_long_as_they_do_not_yield_to_others() {
    let settings = Settings { idle_upload_ms: DAY_MS, ..settings(None) };
    let uploads = [upload(1, NOW_MS - DAY_MS), upload(2, NOW_MS - DAY_MS - 1)];
    assert_eq!(review_uploads(&settings, NOW_MS, uploads), [2]);
}
