//! Promises about listings and about the sweep's queries.

use std::{collections::HashSet, slice, thread};

use larder_storage::UploadName;

use super::{Case, DELETED, attachment, block_on, object, unique};
use crate::{Durability, Entry, EntryId, Upload, UploadId};

/// Lists all pages and returns the entries of this case.
async fn own_entries(case: &Case, mut after: EntryId, limit: usize) -> Vec<Entry> {
    let mut own = Vec::new();
    loop {
        let page = case.index.list_entries(after, limit).await.unwrap();
        assert!(page.len() <= limit);
        assert!(page.is_sorted_by_key(|entry| entry.id));
        let Some(last) = page.last() else { return own };
        assert!(page[0].id > after, "the page starts too early");
        after = last.id;
        own.extend(page.into_iter().filter(|entry| entry.slot.repository == case.repository));
    }
}

async fn own_uploads(case: &Case, mut after: UploadId, limit: usize) -> Vec<Upload> {
    let mut own = Vec::new();
    loop {
        let page = case.index.list_uploads(after, limit).await.unwrap();
        assert!(page.len() <= limit);
        assert!(page.is_sorted_by_key(|upload| upload.id));
        let Some(last) = page.last() else { return own };
        assert!(page[0].id > after, "the page starts too early");
        after = last.id;
        own.extend(page.into_iter().filter(|upload| upload.slot.repository == case.repository));
    }
}

async fn own_volatile(case: &Case, boot: &str, this_boot: bool, limit: usize) -> Vec<Entry> {
    let (mut own, mut after) = (Vec::new(), EntryId(0));
    loop {
        let page = case.index.list_volatile(boot, this_boot, after, limit).await.unwrap();
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return own };
        assert!(page[0].id > after, "the page starts too early");
        after = last.id;
        own.extend(page.into_iter().filter(|entry| entry.slot.repository == case.repository));
    }
}

async fn some_entries(case: &Case, count: usize) -> Vec<Entry> {
    let mut made = Vec::new();
    for number in 0..count {
        made.push(case.entry(&format!("{}", count - number)).await);
    }
    made
}

pub(crate) async fn entries_are_listed_by_number_in_pages(case: &Case) {
    let made = some_entries(case, 7).await;
    for limit in [1, 3, 7, 100] {
        assert_eq!(own_entries(case, EntryId(made[0].id.0 - 1), limit).await, made);
    }
    assert_eq!(own_entries(case, made[2].id, 2).await, made[3..]);
    assert_eq!(own_entries(case, made[6].id, 2).await, []);
    let past_the_end = case.index.list_entries(EntryId(u64::MAX), usize::MAX).await;
    assert_eq!(past_the_end.unwrap(), []);
}

pub(crate) async fn deleting_while_paging_skips_no_entry(case: &Case) {
    let made = some_entries(case, 9).await;
    let (mut after, mut seen) = (EntryId(made[0].id.0 - 1), Vec::new());
    while seen.len() < made.len() {
        let page = case.index.list_entries(after, 2).await.unwrap();
        after = page.last().expect("more entries").id;
        for entry in page.into_iter().filter(|entry| entry.slot.repository == case.repository) {
            assert!(case.index.delete_entry(entry.id, &DELETED).await.unwrap());
            seen.push(entry);
        }
    }
    assert_eq!(seen, made);
}

pub(crate) async fn uploads_are_listed_by_number_in_pages(case: &Case) {
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(case.reserve(&case.key(&format!("{}", 7 - number)), number).await);
    }
    let content = attachment(5);
    case.index.attach(made[3].id, &content, None, 0).await.unwrap();
    made[3].attachment = Some(content);
    for limit in [1, 3, 100] {
        assert_eq!(own_uploads(case, UploadId(made[0].id.0 - 1), limit).await, made);
    }
    assert_eq!(own_uploads(case, made[4].id, 2).await, made[5..]);
}

pub(crate) async fn a_limit_of_zero_lists_nothing(case: &Case) {
    let boot = unique("boot");
    let until = Durability::Until { boot: boot.clone() };
    case.entry_at(&case.key("1"), &until, 1).await;
    case.reserve(&case.key("2"), 1).await;
    assert_eq!(case.index.list_entries(EntryId(0), 0).await.unwrap(), []);
    assert_eq!(case.index.list_uploads(UploadId(0), 0).await.unwrap(), []);
    let volatile = case.index.list_volatile(&boot, true, EntryId(0), 0).await;
    assert_eq!(volatile.unwrap(), []);
}

pub(crate) async fn volatile_entries_are_listed_by_boot(case: &Case) {
    let (now, before, never) = (unique("boot"), unique("boot"), unique("boot"));
    let until = |boot: &str| Durability::Until { boot: boot.to_owned() };
    let make =
        |key: &'static str, durability| async move { case.entry_at(&case.key(key), &durability, 1).await };
    let one = make("1", until(&now)).await;
    let two = make("2", until(&before)).await;
    make("3", Durability::Durable).await;
    let four = make("4", until(&now)).await;
    for limit in [1, 2, 100] {
        assert_eq!(own_volatile(case, &now, true, limit).await, [one.clone(), four.clone()]);
        assert_eq!(own_volatile(case, &now, false, limit).await, slice::from_ref(&two));
        assert_eq!(own_volatile(case, &never, true, limit).await, []);
    }
    assert_eq!(own_volatile(case, &never, false, 2).await, [one.clone(), two, four.clone()]);
    let after = case.index.list_volatile(&now, true, one.id, 10).await;
    assert_eq!(after.unwrap(), [four]);
}

pub(crate) async fn entries_marked_durable_are_not_volatile(case: &Case) {
    let boot = unique("boot");
    let until = Durability::Until { boot: boot.clone() };
    let one = case.entry_at(&case.key("1"), &until, 1).await;
    let two = case.entry_at(&case.key("2"), &until, 1).await;
    for _ in 0..2 {
        case.index.mark_durable(&[one.id]).await.unwrap();
        assert_eq!(own_volatile(case, &boot, true, 9).await, slice::from_ref(&two));
    }
    assert_eq!(own_volatile(case, "another", false, 9).await, [two]);
    assert_eq!(case.index.get_entry(one.id).await.unwrap(), Some(one));
}

pub(crate) async fn references_are_those_of_entries_and_uploads(case: &Case) {
    let entry = case.entry("entry").await;
    let upload = case.reserve(&case.key("upload"), 1).await;
    let (replaced, attached) = (attachment(1), attachment(1));
    case.index.attach(upload.id, &replaced, None, 1).await.unwrap();
    case.index.attach(upload.id, &attached, None, 1).await.unwrap();
    let deleted = case.entry("deleted").await;
    case.index.delete_entry(deleted.id, &DELETED).await.unwrap();
    let asked = [entry.object.clone(), attached.object.clone(), replaced.object, deleted.object, object()];
    let referenced = case.index.referenced_objects(&asked).await.unwrap();
    assert_eq!(referenced, HashSet::from([entry.object, attached.object]));
    assert!(case.index.referenced_objects(&[]).await.unwrap().is_empty());
}

pub(crate) async fn a_reference_is_never_missed_while_it_moves(case: &Case) {
    let mut moving = Vec::new();
    for number in 0..100 {
        let upload = case.reserve(&case.key(&number.to_string()), 1).await;
        let content = attachment(1);
        case.index.attach(upload.id, &content, None, 1).await.unwrap();
        moving.push((upload.id, content));
    }
    let objects: Vec<_> = moving.iter().map(|(_, content)| content.object.clone()).collect();
    let objects = &objects;
    thread::scope(|scope| {
        let finalizing = scope.spawn(|| {
            block_on(async {
                for (id, content) in &moving {
                    let made = case.index.finalize(*id, content, &Durability::Durable, 2).await;
                    assert!(made.unwrap().is_some());
                }
            });
        });
        scope.spawn(move || {
            block_on(async {
                while !finalizing.is_finished() {
                    let referenced = case.index.referenced_objects(objects).await.unwrap();
                    assert_eq!(referenced.len(), objects.len());
                }
            });
        });
    });
}

pub(crate) async fn existing_uploads_are_those_that_exist(case: &Case) {
    let there = case.reserve(&case.key("1"), 1).await.name;
    let gone = case.reserve(&case.key("2"), 1).await;
    case.index.abandon(gone.id).await.unwrap();
    let never = UploadName::parse("0".repeat(32)).unwrap();
    let asked = [never, gone.name, there.clone()];
    let existing = case.index.existing_uploads(&asked).await.unwrap();
    assert_eq!(existing, HashSet::from([there]));
    assert!(case.index.existing_uploads(&[]).await.unwrap().is_empty());
}
