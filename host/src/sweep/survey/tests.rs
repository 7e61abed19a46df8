#![expect(clippy::unwrap_used, reason = "tests")]

use larder_index::{Entry, EntryId, Slot};
use larder_storage::ObjectName;

use super::{MAX_ROOTS_PER_PAGE, Survey};
use crate::retention::Selection;

fn entry(id: u64, repository: &str) -> Entry {
    let slot = Slot {
        repository: repository.into(),
        scope: "main".into(),
        version: "v".into(),
        key: id.to_string(),
    };
    Entry {
        id: EntryId(id),
        slot,
        object: ObjectName::parse("object".to_owned()).unwrap(),
        size_bytes: 1,
        created_ms: 1,
        last_used_ms: 1,
        owner: None,
    }
}

fn selection(roots: &[u64], groups: &[(u64, &str)]) -> Selection {
    Selection {
        roots: roots.iter().copied().map(EntryId).collect(),
        groups: groups.iter().map(|(id, group)| (EntryId(*id), (*group).to_owned())).collect(),
    }
}

#[test]
fn newer_members_of_a_group_are_counted_over_all_pages() {
    let mut survey = Survey::default();
    let page: Vec<Entry> = (1..=3).map(|id| entry(id, "1")).collect();
    survey.add(&page, &selection(&[], &[(1, "a"), (2, "b"), (3, "a")]));
    survey.add(&[entry(9, "1")], &selection(&[], &[(9, "a")]));
    let places = survey.take_places();
    let newer = [1, 2, 3, 9, 4].map(|id| places.newer(EntryId(id)));
    assert_eq!(newer, [Some(2), Some(0), Some(1), Some(0), None]);
}

#[test]
fn a_page_gets_the_roots_of_its_repositories() {
    let mut survey = Survey::default();
    let all: Vec<Entry> = [(1, "1"), (2, "2"), (3, "1")].map(|(id, of)| entry(id, of)).into();
    survey.add(&all, &selection(&[1, 2], &[]));
    let roots = survey.roots_for(&[entry(7, "1"), entry(8, "3")]);
    assert_eq!(roots.entries, [entry(1, "1")]);
    assert!(roots.complete);
}

#[test]
fn too_many_roots_are_incomplete() {
    let mut survey = Survey::default();
    let all: Vec<Entry> = (0..=MAX_ROOTS_PER_PAGE as u64).map(|id| entry(id, "1")).collect();
    let ids: Vec<u64> = all.iter().map(|entry| entry.id.0).collect();
    survey.add(&all, &selection(&ids, &[]));
    let roots = survey.roots_for(&[entry(7, "1")]);
    assert_eq!((roots.entries.len(), roots.complete), (MAX_ROOTS_PER_PAGE, false));
    assert!(survey.roots_for(&[entry(7, "2")]).complete);
}
