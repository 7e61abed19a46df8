//! Tenants: what one has does not exist for another, whatever it asks for.
//!
//! Each case has three tenants, one of them `default`, with the same repository and the same keys.
//! Every call is made by each of them with what belongs to each of the others.

use std::collections::HashSet;

use larder_common::TenantName;
use larder_storage::{ObjectName, UploadName};

use super::{Case, DELETED, attachment, exact, facts::named, prefix, unique};
use crate::{
    AttachOutcome, Attachment, Durability, Entry, EntryDetails, EntryId, EntryUses, IndexError, Reservation,
    Upload, UploadId,
};

const BOOT: &str = "this-boot";

/// More rows than a case has.
const ALL: usize = 100_000;

/// What a tenant has, as it sees it.
#[derive(Debug, PartialEq, Eq)]
struct Belongings {
    entries: Vec<Entry>,
    uploads: Vec<Upload>,
    volatile: Vec<Entry>,
    details: Vec<EntryDetails>,
    secret: Vec<u8>,
    name: Option<String>,
}

/// A tenant with an entry, a volatile entry, an upload, and one with content, in the same slots as all
/// others.
struct Tenant {
    name: TenantName,
    case: Case,
    entry: Entry,
    volatile: Entry,
    upload: Upload,
    attached: Upload,
    content: Attachment,
    secret: String,
}

fn name(text: &str) -> TenantName {
    TenantName::parse(text).unwrap()
}

/// Returns a name that no other case uses.
fn fresh() -> TenantName {
    name(&unique("t"))
}

fn case_of(case: &Case, name: &TenantName) -> Case {
    Case { index: case.index.tenant(name).unwrap(), repository: case.repository.clone() }
}

impl Tenant {
    async fn new(case: &Case, name: TenantName) -> Self {
        let case = case_of(case, &name);
        let entry = case.entry("entry").await;
        let until = Durability::Until { boot: BOOT.to_owned() };
        let volatile = case.entry_at(&case.key("volatile"), &until, 1_000).await;
        let upload = case.reserve(&case.key("upload"), 1_000).await;
        let attached = case.reserve(&case.key("attached"), 1_000).await;
        let content = attachment(7);
        case.index.attach(attached.id, &content, None, 1_000).await.unwrap();
        let secret = format!("secret-{}", case.repository);
        case.index.secret(&secret, name.as_str().as_bytes()).await.unwrap();
        let named = named(&case.repository, &format!("{name}/x"), 1_000);
        case.index.name_repositories(&[named], ALL).await.unwrap();
        Self { name, case, entry, volatile, upload, attached, content, secret }
    }

    /// Everything that it has. The tenant `default` may share its database with other cases.
    async fn belongings(&self) -> Belongings {
        let (index, own) = (&self.case.index, &self.case.repository);
        let mut entries = index.list_entries(EntryId(0), ALL).await.unwrap();
        entries.retain(|entry| entry.slot.repository == *own);
        let mut uploads = index.list_uploads(UploadId(0), ALL).await.unwrap();
        uploads.retain(|upload| upload.slot.repository == *own);
        let mut volatile = index.list_volatile(BOOT, true, EntryId(0), ALL).await.unwrap();
        volatile.retain(|entry| entry.slot.repository == *own);
        let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
        let details = index.entry_details(&ids).await.unwrap();
        assert_eq!(details.len(), entries.len());
        let secret = index.secret(&self.secret, b"lost").await.unwrap();
        let name = index.repository_name(own).await.unwrap();
        Belongings { entries, uploads, volatile, details, secret, name }
    }
}

/// The tenant `default` and two others.
async fn three(case: &Case) -> [Tenant; 3] {
    [
        Tenant::new(case, TenantName::default()).await,
        Tenant::new(case, fresh()).await,
        Tenant::new(case, fresh()).await,
    ]
}

/// Calls `visit` for each tenant with each other one.
async fn each_pair(tenants: &[Tenant], visit: impl AsyncFn(&Tenant, &Tenant)) {
    for own in tenants {
        for other in tenants.iter().filter(|other| other.name != own.name) {
            visit(own, other).await;
        }
    }
}

pub(crate) async fn a_slot_is_free_in_each_tenant(case: &Case) {
    let tenants = three(case).await;
    for tenant in &tenants {
        let found = tenant.case.index.find(&case.repository, "v", &[exact("entry")], &[]).await.unwrap();
        assert_eq!(found.as_ref(), Some(&tenant.entry));
        let found = tenant.case.index.find(&case.repository, "v", &[prefix("ENT")], &[]).await.unwrap();
        assert_eq!(found.as_ref(), Some(&tenant.entry));
        let upload = tenant.case.index.find_upload(&tenant.upload.slot).await.unwrap();
        assert_eq!(upload.as_ref(), Some(&tenant.upload));
    }
    let entries: HashSet<EntryId> = tenants.iter().map(|tenant| tenant.entry.id).collect();
    let uploads: HashSet<UploadId> = tenants.iter().map(|tenant| tenant.upload.id).collect();
    assert_eq!((entries.len(), uploads.len()), (3, 3), "numbers are unique among all tenants");
}

pub(crate) async fn nothing_of_another_tenant_is_found(case: &Case) {
    let tenants = three(case).await;
    each_pair(&tenants, async |own, other| {
        let index = &own.case.index;
        assert_eq!(index.get_entry(other.entry.id).await.unwrap(), None);
        let made_of = other.case.index.get_entry_of_upload(other.upload.id).await.unwrap();
        assert_eq!(made_of, None, "it is not finalized");
        assert_eq!(index.get_upload(&other.upload.name).await.unwrap(), None);
        assert_eq!(index.get_upload_by_id(other.upload.id).await.unwrap(), None);
        assert_eq!(index.upload_facts(other.upload.id).await.unwrap(), None);
        assert_eq!(index.entry_details(&[other.entry.id]).await.unwrap(), []);
        assert_eq!(index.find_repositories(&format!("{}/x", other.name)).await.unwrap(), [""; 0]);
        assert_eq!(index.repository_name(&case.repository).await.unwrap(), Some(format!("{}/x", own.name)));
        let names = [other.upload.name.clone(), own.upload.name.clone()];
        let existing: HashSet<UploadName> = [own.upload.name.clone()].into();
        assert_eq!(index.existing_uploads(&names).await.unwrap(), existing);
        let objects = [&other.entry.object, &other.content.object, &own.entry.object, &own.content.object]
            .map(Clone::clone);
        let referenced: HashSet<ObjectName> = objects[2..].iter().cloned().collect();
        assert_eq!(index.referenced_objects(&objects).await.unwrap(), referenced);
        // To skip what another tenant has skips nothing.
        let found = index.find(&case.repository, "v", &[exact("entry")], &[other.entry.id]).await.unwrap();
        assert_eq!(found.as_ref(), Some(&own.entry));
    })
    .await;
}

pub(crate) async fn an_entry_of_an_upload_is_not_found_by_another_tenant(case: &Case) {
    let tenants = three(case).await;
    for tenant in &tenants {
        let Tenant { attached, content, .. } = tenant;
        let made = tenant.case.index.finalize(attached.id, content, &Durability::Durable, 2_000).await;
        assert!(made.unwrap().is_some());
    }
    each_pair(&tenants, async |own, other| {
        assert!(own.case.index.get_entry_of_upload(own.attached.id).await.unwrap().is_some());
        assert_eq!(own.case.index.get_entry_of_upload(other.attached.id).await.unwrap(), None);
    })
    .await;
}

pub(crate) async fn nothing_of_another_tenant_is_changed(case: &Case) {
    let tenants = three(case).await;
    each_pair(&tenants, async |own, other| {
        let before = other.belongings().await;
        change_all(own, other).await;
        assert_eq!(other.belongings().await, before);
    })
    .await;
}

/// Makes each change to what `other` has.
async fn change_all(own: &Tenant, other: &Tenant) {
    let index = &own.case.index;
    assert!(!index.renew(other.upload.id, 1_000, 9_000).await.unwrap());
    let attached = index.attach(other.upload.id, &attachment(3), None, 9_000).await.unwrap();
    assert_eq!(attached, AttachOutcome::Gone);
    let made = index.finalize(other.attached.id, &other.content, &Durability::Durable, 9_000).await;
    assert_eq!(made.unwrap(), None);
    assert!(!index.abandon(other.upload.id).await.unwrap());
    assert!(!index.abandon_idle(other.upload.id, u64::MAX).await.unwrap());
    assert!(!index.delete_entry(other.entry.id, &DELETED).await.unwrap());
    assert!(!index.delete_entry_unused(other.entry.id, u64::MAX, &DELETED).await.unwrap());
    let both = [other.entry.id, other.volatile.id];
    index.touch_entries(&both.map(|id| EntryUses::once(id, 9_000))).await.unwrap();
    assert!(!index.touch_entry(other.entry.id, 9_000).await.unwrap());
    index.cap_last_used(&both, 1).await.unwrap();
    index.mark_durable(&both).await.unwrap();
    let names = [&other.upload.name, &other.attached.name];
    index.touch_uploads(&names.map(|name| (name.clone(), 9_000))).await.unwrap();
}

pub(crate) async fn a_batch_with_rows_of_several_tenants_changes_ones_own(case: &Case) {
    let tenants = three(case).await;
    let entries: Vec<EntryUses> =
        tenants.iter().map(|tenant| EntryUses::once(tenant.volatile.id, 5_000)).collect();
    let ids: Vec<EntryId> = entries.iter().map(|used| used.id).collect();
    let uploads: Vec<(UploadName, u64)> =
        tenants.iter().map(|tenant| (tenant.upload.name.clone(), 5_000)).collect();
    let own = &tenants[1];
    own.case.index.touch_entries(&entries).await.unwrap();
    own.case.index.touch_uploads(&uploads).await.unwrap();
    own.case.index.mark_durable(&ids).await.unwrap();
    for tenant in &tenants {
        let is_own = tenant.name == own.name;
        let Belongings { entries, uploads, volatile, .. } = tenant.belongings().await;
        let entry = entries.iter().find(|entry| entry.id == tenant.volatile.id).unwrap();
        let upload = uploads.iter().find(|upload| upload.id == tenant.upload.id).unwrap();
        let expected = if is_own { 5_000 } else { 1_000 };
        assert_eq!((entry.last_used_ms, upload.last_activity_ms), (expected, expected));
        assert_eq!(volatile.is_empty(), is_own);
    }
}

pub(crate) async fn an_idle_upload_of_another_tenant_is_not_displaced(case: &Case) {
    let (first, second) = (case_of(case, &fresh()), case_of(case, &fresh()));
    let upload = first.reserve(&first.key("k"), 1).await;
    for other in [&second, case] {
        let reserved = other
            .index
            .reserve(&other.key("k"), "o", &crate::NO_FACTS, crate::Trust::Full, 9_000, 5_000)
            .await
            .unwrap();
        assert!(matches!(reserved, Reservation::Reserved(_)), "{reserved:?}");
    }
    assert_eq!(first.index.get_upload_by_id(upload.id).await.unwrap(), Some(upload));
}

/// Texts that run together the same: tenant and repository, and the tenants themselves.
pub(crate) async fn tenants_with_similar_names_are_different(case: &Case) {
    let end = unique("x");
    let slots = [("a", "b-c"), ("a-b", "c"), ("ab", "-c"), ("a0", "b-c")].map(|(start, repository)| {
        let case = Case {
            index: case.index.tenant(&name(&format!("{start}-{end}"))).unwrap(),
            repository: repository.to_owned(),
        };
        (case.key("k"), case)
    });
    for (slot, case) in &slots {
        case.entry_at(slot, &Durability::Durable, 1).await;
    }
    for (slot, case) in &slots {
        let entries = case.index.list_entries(EntryId(0), ALL).await.unwrap();
        assert_eq!(entries.iter().map(|entry| &entry.slot).collect::<Vec<_>>(), [slot]);
    }
}

pub(crate) async fn lists_show_what_is_ones_own_from_any_number(case: &Case) {
    let tenants = [Tenant::new(case, fresh()).await, Tenant::new(case, fresh()).await];
    each_pair(&tenants, async |own, other| {
        for after in [0, other.entry.id.0 - 1, other.entry.id.0, u64::MAX] {
            let entries = own.case.index.list_entries(EntryId(after), ALL).await.unwrap();
            let expected = [&own.entry, &own.volatile].into_iter().filter(|entry| entry.id.0 > after);
            assert_eq!(entries.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
        for after in [0, other.upload.id.0 - 1, other.upload.id.0, u64::MAX] {
            let uploads = own.case.index.list_uploads(UploadId(after), ALL).await.unwrap();
            let expected = [own.upload.id, own.attached.id].into_iter().filter(|id| id.0 > after);
            assert_eq!(
                uploads.iter().map(|upload| upload.id).collect::<Vec<_>>(),
                expected.collect::<Vec<_>>()
            );
        }
        for (this_boot, expected) in [(true, vec![own.volatile.clone()]), (false, vec![])] {
            let volatile = own.case.index.list_volatile(BOOT, this_boot, EntryId(0), ALL).await.unwrap();
            assert_eq!(volatile, expected);
        }
    })
    .await;
}

pub(crate) async fn secrets_are_each_tenants_own(case: &Case) {
    let tenants = three(case).await;
    for tenant in &tenants {
        let stored = tenant.case.index.secret(&tenant.secret, b"another").await.unwrap();
        assert_eq!(stored, tenant.name.as_str().as_bytes());
    }
}

pub(crate) async fn the_index_of_a_tenant_returns_that_of_no_other(case: &Case) {
    let own = fresh();
    let index = case.index.tenant(&own).unwrap();
    for other in [fresh(), TenantName::default()] {
        assert!(matches!(index.tenant(&other), Err(IndexError::Unsupported(_))));
    }
    assert!(matches!(index.list_tenants(None, 10).await, Err(IndexError::Unsupported(_))));
    let again = Case { index: index.tenant(&own).unwrap(), repository: case.repository.clone() };
    let entry = again.entry("k").await;
    assert_eq!(index.get_entry(entry.id).await.unwrap(), Some(entry.clone()));
    let default = case.index.tenant(&TenantName::default()).unwrap();
    assert_eq!(default.get_entry(entry.id).await.unwrap(), None);
    assert!(default.tenant(&own).unwrap().get_entry(entry.id).await.unwrap().is_some());
}

pub(crate) async fn a_tenant_is_forgotten_once_it_has_no_rows(case: &Case) {
    let tenants = three(case).await;
    let [default, own, other] = &tenants;
    let index = &own.case.index;
    let kept = [default.belongings().await, other.belongings().await];
    assert!(!index.forget_tenant().await.unwrap(), "it has entries and uploads");
    for entry in [&own.entry, &own.volatile] {
        assert!(index.delete_entry(entry.id, &DELETED).await.unwrap());
    }
    assert!(!index.forget_tenant().await.unwrap(), "it has uploads");
    assert_eq!(index.secret(&own.secret, b"lost").await.unwrap(), own.name.as_str().as_bytes());
    for upload in [&own.upload, &own.attached] {
        assert!(index.abandon(upload.id).await.unwrap());
    }
    for _ in 0..2 {
        assert!(index.forget_tenant().await.unwrap());
    }
    assert_eq!(index.secret(&own.secret, b"fresh").await.unwrap(), b"fresh");
    assert_eq!(index.repository_name(&case.repository).await.unwrap(), None);
    assert_eq!([default.belongings().await, other.belongings().await], kept);
    // The name may be used again.
    assert_eq!(own.case.exact("entry").await, None);
    own.case.entry("entry").await;
    assert_eq!(own.case.exact("entry").await.as_deref(), Some("entry"));
}

pub(crate) async fn the_oldest_names_of_repositories_are_forgotten(case: &Case) {
    let [own, other] = [fresh(), fresh()].map(|name| case_of(case, &name).index);
    let names = [("a", 1_000), ("b", 3_000), ("c", 2_000), ("d", 2_000)];
    let names = names.map(|(repository, named_ms)| named(repository, "octo/x", named_ms));
    other.name_repositories(&names, ALL).await.unwrap();
    own.name_repositories(&names, 3).await.unwrap();
    assert_eq!(own.find_repositories("octo/x").await.unwrap().len(), 3);
    assert_eq!(own.repository_name("a").await.unwrap(), None);
    own.name_repositories(&[named("e", "octo/x", 4_000)], 2).await.unwrap();
    assert_eq!(own.find_repositories("octo/x").await.unwrap(), ["e", "b"]);
    assert_eq!(other.find_repositories("octo/x").await.unwrap().len(), 4);
}

pub(crate) async fn the_default_tenant_is_not_forgotten(case: &Case) {
    assert!(matches!(case.index.forget_tenant().await, Err(IndexError::Unsupported(_))));
    let default = case.index.tenant(&TenantName::default()).unwrap();
    assert!(matches!(default.forget_tenant().await, Err(IndexError::Unsupported(_))));
}

pub(crate) async fn tenants_are_listed_while_they_have_something(case: &Case) {
    let end = unique("listed");
    let [entry, upload, secret, nothing] = ["a", "b", "c", "d"].map(|start| name(&format!("{start}-{end}")));
    let made = case_of(case, &entry).entry("k").await;
    let of_upload = case_of(case, &upload);
    of_upload.reserve(&of_upload.key("k"), 1).await;
    case_of(case, &secret).index.secret("s", b"s").await.unwrap();
    assert_eq!(case_of(case, &nothing).exact("k").await, None);
    let listed = async |page: usize| {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let more = case.index.list_tenants(after.as_ref(), page).await.unwrap();
            let Some(last) = more.last() else { return names };
            assert!(more.len() <= page);
            after = Some(last.clone());
            names.extend(more.into_iter().filter(|name| name.as_str().ends_with(&end)));
        }
    };
    let expected = [entry.clone(), upload.clone(), secret.clone()];
    assert_eq!(listed(1_000).await, expected);
    assert_eq!(listed(1).await, expected);
    let index = case_of(case, &entry).index;
    index.delete_entry(made.id, &DELETED).await.unwrap();
    assert_eq!(listed(1_000).await, expected[1..]);
    assert_eq!(case.index.list_tenants(None, 0).await.unwrap(), []);
}
