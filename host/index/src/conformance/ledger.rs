//! Promises about counted bytes.

use larder_storage::{ObjectName, UploadName};

use super::{Case, attachment};
use crate::{
    Area, Attachment, Bound, Caps, Cause, Departure, Durability, Entry, Leaving, LeavingId, Remains,
    Reservation, Room, Trust, Upload,
};

pub(super) const NO_CAPS: Caps = Caps { scope: None, repository: None, tenant: None, server: None };

/// Departs at any time.
const DEPARTURE: Departure = Departure { cause: Cause::Manual, at_ms: 1 };

/// The scope of [`Case::key`].
fn scope(case: &Case) -> Area {
    Area::Scope { repository: case.repository.clone(), scope: "main".to_owned() }
}

fn repository(case: &Case) -> Area {
    Area::Repository(case.repository.clone())
}

/// Returns what is counted in the scope `main` and in the repository, which has no other scopes.
pub(super) async fn counted(case: &Case) -> u64 {
    let bytes = case.index.usage_of(&scope(case)).await.unwrap();
    assert_eq!(case.index.usage_of(&repository(case)).await.unwrap(), bytes);
    bytes
}

pub(super) async fn reserve_room(case: &Case, upload: &Upload, bytes: u64) {
    let room = case.index.reserve_room(&upload.name, bytes, &NO_CAPS).await.unwrap();
    assert_eq!(room, Room::Reserved);
}

/// What is leaving of this case, in order. Others may share the tenant.
pub(super) async fn leaving(case: &Case, ours: &[Remains]) -> Vec<(Remains, u64)> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = case.index.list_leaving(after.clone(), 100).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = Some(last.id.clone());
        let is_ours = |leaving: &Leaving| ours.contains(&leaving.what);
        found.extend(page.into_iter().filter(is_ours).map(|leaving| (leaving.what, leaving.bytes)));
    }
}

fn remains(name: &UploadName, kept: Option<&ObjectName>) -> Remains {
    Remains::Upload { name: name.clone(), kept: kept.cloned() }
}

/// Makes an entry of an upload.
async fn finish(case: &Case, upload: &Upload, content: &Attachment) -> Entry {
    case.index.attach(upload.id, content, None, 1).await.unwrap();
    case.index.finalize(upload.id, content, &Durability::Durable, 1).await.unwrap().unwrap()
}

pub(super) async fn left_upload(case: &Case, name: &UploadName) {
    case.index.left_uploads(std::slice::from_ref(name)).await.unwrap();
}

async fn left_object(case: &Case, object: &ObjectName) {
    case.index.left_objects(std::slice::from_ref(object)).await.unwrap();
}

pub(crate) async fn room_that_is_reserved_is_counted(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    assert_eq!(counted(case).await, 0);
    reserve_room(case, &upload, 10).await;
    reserve_room(case, &upload, 5).await;
    assert_eq!(counted(case).await, 15);
    let nobody = UploadName::parse("0".repeat(32)).unwrap();
    assert_eq!(case.index.reserve_room(&nobody, 1, &NO_CAPS).await.unwrap(), Room::Gone);
    assert_eq!(counted(case).await, 15);
}

pub(crate) async fn what_does_not_fit_changes_nothing(case: &Case) {
    let (one, two) = (case.reserve(&case.key("1"), 1).await, case.reserve(&case.key("2"), 1).await);
    reserve_room(case, &one, 60).await;
    let reserve = async |bytes, caps: Caps| case.index.reserve_room(&two.name, bytes, &caps).await.unwrap();
    let scope = |most| Caps { scope: Some(most), ..NO_CAPS };
    assert_eq!(reserve(41, scope(100)).await, Room::Short { bound: Bound::Scope, bytes: 1 });
    let repository = Caps { repository: Some(90), scope: Some(200), ..NO_CAPS };
    assert_eq!(reserve(100, repository).await, Room::Short { bound: Bound::Repository, bytes: 70 });
    // Others may share the tenant.
    let tenant = reserve(41, Caps { tenant: Some(0), ..NO_CAPS }).await;
    assert!(matches!(tenant, Room::Short { bound: Bound::Tenant, bytes: 41.. }), "{tenant:?}");
    assert_eq!(counted(case).await, 60);
    assert_eq!(reserve(40, scope(100)).await, Room::Reserved, "it fits exactly");
    assert_eq!(counted(case).await, 100);
    assert_eq!(reserve(0, scope(100)).await, Room::Reserved);
    assert_eq!(reserve(1, scope(100)).await, Room::Short { bound: Bound::Scope, bytes: 1 });
}

pub(crate) async fn an_entry_is_counted_by_its_size(case: &Case) {
    let entry = case.entry_at(&case.key("k"), &Durability::Durable, 1).await;
    assert_eq!(counted(case).await, entry.size_bytes, "nothing was reserved for it");
    let upload = case.reserve(&case.key("reserved"), 1).await;
    reserve_room(case, &upload, 7).await;
    finish(case, &upload, &attachment(7)).await;
    assert_eq!(counted(case).await, entry.size_bytes + 7);
    assert_eq!(leaving(case, &[remains(&upload.name, None)]).await, []);
}

pub(crate) async fn what_was_reserved_beyond_an_entry_leaves(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    reserve_room(case, &upload, 100).await;
    let content = attachment(30);
    finish(case, &upload, &content).await;
    assert_eq!(counted(case).await, 100);
    let rest = remains(&upload.name, Some(&content.object));
    assert_eq!(leaving(case, std::slice::from_ref(&rest)).await, [(rest.clone(), 70)]);
    for _ in 0..2 {
        left_upload(case, &upload.name).await;
        assert_eq!(counted(case).await, 30);
    }
    assert_eq!(leaving(case, &[rest]).await, []);
}

pub(crate) async fn an_abandoned_upload_is_counted_until_it_has_left(case: &Case) {
    let (one, two) = (case.reserve(&case.key("1"), 1).await, case.reserve(&case.key("2"), 1).await);
    for (upload, bytes) in [(&one, 3), (&two, 4)] {
        reserve_room(case, upload, bytes).await;
    }
    // It is still there.
    left_upload(case, &one.name).await;
    assert_eq!(counted(case).await, 7);
    assert!(case.index.abandon(one.id).await.unwrap());
    assert!(case.index.abandon_idle(two.id, 2).await.unwrap());
    assert_eq!(counted(case).await, 7);
    let both = [remains(&one.name, None), remains(&two.name, None)];
    assert_eq!(leaving(case, &both).await, [(both[0].clone(), 3), (both[1].clone(), 4)]);
    case.index.left_uploads(&[two.name.clone(), one.name.clone(), one.name.clone()]).await.unwrap();
    assert_eq!(counted(case).await, 0);
    assert_eq!(leaving(case, &both).await, []);
}

pub(crate) async fn an_upload_that_reserved_nothing_leaves_nothing(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    case.index.attach(upload.id, &attachment(9), None, 1).await.unwrap();
    case.index.abandon(upload.id).await.unwrap();
    assert_eq!(leaving(case, &[remains(&upload.name, None)]).await, []);
    assert_eq!(counted(case).await, 0);
}

pub(crate) async fn a_displaced_upload_is_counted_until_it_has_left(case: &Case) {
    let idle = case.reserve(&case.key("k"), 1_000).await;
    reserve_room(case, &idle, 11).await;
    let again =
        case.index.reserve(&idle.slot, "o", &crate::NO_FACTS, Trust::Full, 2_000, 1_500).await.unwrap();
    let Reservation::Reserved(upload) = again else { panic!("not reserved: {again:?}") };
    assert_eq!(case.index.reserve_room(&idle.name, 1, &NO_CAPS).await.unwrap(), Room::Gone);
    reserve_room(case, &upload, 4).await;
    assert_eq!(counted(case).await, 15);
    left_upload(case, &idle.name).await;
    assert_eq!(counted(case).await, 4);
}

pub(crate) async fn an_object_that_is_replaced_is_counted_until_it_has_left(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    reserve_room(case, &upload, 30).await;
    let (first, second) = (attachment(10), attachment(20));
    for content in [&first, &second] {
        case.index.attach(upload.id, content, None, 1).await.unwrap();
    }
    let replaced = Remains::Object(first.object.clone());
    assert_eq!(leaving(case, std::slice::from_ref(&replaced)).await, [(replaced.clone(), 10)]);
    assert_eq!(counted(case).await, 30);
    left_object(case, &first.object).await;
    assert_eq!(counted(case).await, 20);
    assert_eq!(leaving(case, &[replaced]).await, []);
    // It is attached, so it has not left.
    left_object(case, &second.object).await;
    let entry = case.index.finalize(upload.id, &second, &Durability::Durable, 1).await.unwrap();
    assert!(entry.is_some());
    left_object(case, &second.object).await;
    assert_eq!(counted(case).await, 20);
}

pub(crate) async fn an_object_that_is_attached_again_does_not_leave(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    reserve_room(case, &upload, 30).await;
    let (first, second) = (attachment(10), attachment(20));
    for content in [&first, &second, &first] {
        case.index.attach(upload.id, content, None, 1).await.unwrap();
    }
    let both = [Remains::Object(first.object.clone()), Remains::Object(second.object.clone())];
    assert_eq!(leaving(case, &both).await, [(both[1].clone(), 20)]);
    assert_eq!(counted(case).await, 30);
    case.index.abandon(upload.id).await.unwrap();
    left_upload(case, &upload.name).await;
    assert_eq!(counted(case).await, 20);
}

pub(crate) async fn a_deleted_entry_is_counted_until_its_object_has_left(case: &Case) {
    let entry = case.entry_at(&case.key("k"), &Durability::Durable, 1).await;
    let other = case.entry_at(&case.key("other"), &Durability::Durable, 1).await;
    assert!(case.index.delete_entry(entry.id, &DEPARTURE).await.unwrap());
    assert!(case.index.delete_entry_unused(other.id, other.last_used_ms, &DEPARTURE).await.unwrap());
    assert_eq!(counted(case).await, 2);
    let (object, gone) = (entry.object.clone(), Remains::Object(entry.object));
    assert_eq!(leaving(case, std::slice::from_ref(&gone)).await, [(gone.clone(), 1)]);
    for _ in 0..2 {
        left_object(case, &object).await;
        assert_eq!(counted(case).await, 1);
    }
    assert_eq!(leaving(case, &[gone]).await, []);
    left_object(case, &other.object).await;
    assert_eq!(counted(case).await, 0);
}

pub(crate) async fn what_leaves_is_listed_in_pages(case: &Case) {
    let mut ours = Vec::new();
    for number in 0..5 {
        let upload = case.reserve(&case.key(&number.to_string()), 1).await;
        reserve_room(case, &upload, 1).await;
        case.index.abandon(upload.id).await.unwrap();
        ours.push(remains(&upload.name, None));
        let entry = case.entry_at(&case.key(&format!("e{number}")), &Durability::Durable, 1).await;
        case.index.delete_entry(entry.id, &DEPARTURE).await.unwrap();
        ours.push(Remains::Object(entry.object));
    }
    let (mut after, mut listed, mut ids) = (None, Vec::new(), Vec::<LeavingId>::new());
    loop {
        let page = case.index.list_leaving(after.clone(), 3).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        ids.extend(page.iter().map(|leaving| leaving.id.clone()));
        listed.extend(page.into_iter().map(|leaving| leaving.what).filter(|what| ours.contains(what)));
    }
    assert!(ids.is_sorted());
    assert_eq!(listed.len(), ours.len());
    assert_eq!(case.index.list_leaving(None, 0).await.unwrap(), []);
}

pub(crate) async fn parts_are_listed_by_their_bytes(case: &Case) {
    let long = "s".repeat(300);
    for (scope, bytes) in [("a", 1), ("b", 3), ("c", 2), (&*long, 4)] {
        let upload = case.reserve(&case.slot(scope, "v", "k"), 1).await;
        reserve_room(case, &upload, bytes).await;
    }
    let area = |scope: &str| Area::Scope { repository: case.repository.clone(), scope: scope.to_owned() };
    let listed = case.index.list_usage(&repository(case), 3).await.unwrap();
    assert_eq!(listed[1..], [(area("b"), 3), (area("c"), 2)]);
    // A text that is too long is shortened in the list, and found by the whole.
    let Area::Scope { scope, .. } = &listed[0].0 else { panic!("{listed:?}") };
    assert!(scope.len() < 300 && scope.starts_with(&long[..200]), "{scope}");
    assert_eq!(case.index.usage_of(&area(&long)).await.unwrap(), 4);
    assert_eq!(case.index.usage_of(&repository(case)).await.unwrap(), 10);
    let repositories = case.index.list_usage(&Area::Tenant, usize::MAX).await.unwrap();
    assert!(repositories.contains(&(repository(case), 10)), "{repositories:?}");
    assert!(repositories.is_sorted_by_key(|(_, bytes)| std::cmp::Reverse(*bytes)));
    for area in [area("a"), Area::Server] {
        assert_eq!(case.index.list_usage(&area, 10).await.unwrap(), []);
    }
}

pub(crate) async fn a_scope_in_which_nothing_is_left_is_not_listed(case: &Case) {
    let entry = case.entry_at(&case.slot("gone", "v", "k"), &Durability::Durable, 1).await;
    case.entry_at(&case.slot("there", "v", "k"), &Durability::Durable, 1).await;
    case.index.delete_entry(entry.id, &DEPARTURE).await.unwrap();
    left_object(case, &entry.object).await;
    let there = Area::Scope { repository: case.repository.clone(), scope: "there".to_owned() };
    assert_eq!(case.index.list_usage(&repository(case), 10).await.unwrap(), [(there, 1)]);
}

pub(crate) async fn the_largest_reservations_are_no_error(case: &Case) {
    let upload = case.reserve(&case.key("k"), 1).await;
    for bytes in [u64::MAX, i64::MAX as u64, 1] {
        assert_eq!(case.index.reserve_room(&upload.name, bytes, &NO_CAPS).await.unwrap(), Room::Reserved);
    }
    assert_eq!(counted(case).await, i64::MAX as u64);
    let caps = Caps { scope: Some(u64::MAX), ..NO_CAPS };
    assert_eq!(case.index.reserve_room(&upload.name, u64::MAX, &caps).await.unwrap(), Room::Reserved);
    case.index.abandon(upload.id).await.unwrap();
    left_upload(case, &upload.name).await;
    assert_eq!(counted(case).await, 0);
}

/// Of concurrent reservations exactly as many succeed as fit.
pub(crate) async fn concurrent_reservations_stay_within_the_cap(case: &Case) {
    let mut uploads = Vec::new();
    for number in 0..16 {
        uploads.push(case.reserve(&case.key(&number.to_string()), 1).await);
    }
    let caps = Caps { repository: Some(70), ..NO_CAPS };
    let (index, caps) = (&case.index, &caps);
    let reserved = std::thread::scope(|scope| {
        let calls: Vec<_> = uploads
            .iter()
            .map(|upload| {
                scope.spawn(move || super::block_on(index.reserve_room(&upload.name, 10, caps)).unwrap())
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(reserved.iter().filter(|room| **room == Room::Reserved).count(), 7, "{reserved:?}");
    assert_eq!(counted(case).await, 70);
}
