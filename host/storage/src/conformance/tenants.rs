//! Promises on tenants: what one has does not exist for another, whatever it asks for.
//!
//! The fixture's storage is that of `default`. Every call is made by each of three tenants, one of them
//! `default`, with what belongs to each of the others.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use larder_common::TenantName;

use super::{Fixture, assert_content, assert_invalid, assert_not_found, id, new_upload, put_block, whole};
use crate::{ObjectName, Storage, UploadName};

/// The most pages that a listing has here.
const MAX_PAGES: usize = 100;

fn name(text: &str) -> TenantName {
    TenantName::parse(text).unwrap()
}

/// Runs the promises of all storages on that of a tenant, beside others that have something.
pub(crate) struct OfATenant<F> {
    inner: F,
    tenant: Option<Arc<dyn Storage>>,
}

const TENANT: &str = "one-of-many";

impl<F: Fixture> OfATenant<F> {
    pub(crate) async fn new(inner: F) -> Self {
        for other in ["default", "one-of-man", "one-of-many-more"] {
            let other = inner.storage().tenant(&name(other)).unwrap();
            other.put(&new_upload(), whole(b"of another tenant")).await.unwrap();
            put_block(&*other, &new_upload(), "a", b"1").await;
            other.settle().await.unwrap();
            other.set_identity("another", false).await.unwrap();
        }
        let tenant = inner.storage().tenant(&name(TENANT)).unwrap();
        Self { inner, tenant: Some(tenant) }
    }
}

#[async_trait]
impl<F: Fixture> Fixture for OfATenant<F> {
    fn storage(&self) -> &dyn Storage {
        &**self.tenant.as_ref().unwrap()
    }

    async fn restart(&mut self) {
        self.storage().settle().await.unwrap();
        self.tenant = None;
        self.inner.restart().await;
        self.tenant = Some(self.inner.storage().tenant(&name(TENANT)).unwrap());
    }

    async fn change_below(&self, folder: &str, object: &ObjectName, change: crate::conformance::Change) {
        self.inner.change_below(&format!("{folder}tenants/{TENANT}/"), object, change).await;
    }
}

/// A tenant with an object and a staged block.
struct Tenant {
    storage: Arc<dyn Storage>,
    object: ObjectName,
    content: Vec<u8>,
    upload: UploadName,
}

impl Tenant {
    async fn new(storage: Arc<dyn Storage>, content: &str) -> Self {
        let content = content.as_bytes().to_vec();
        let object = storage.put(&new_upload(), whole(&content)).await.unwrap().object;
        let upload = new_upload();
        put_block(&*storage, &upload, "a", &content).await;
        storage.settle().await.unwrap();
        Self { storage, object, content, upload }
    }

    async fn has_everything(&self) {
        assert_content(&*self.storage, &self.object, &self.content).await;
        let staged = self.storage.blocks(&self.upload).await.unwrap();
        assert_eq!(staged.len(), 1);
        assert_eq!(objects(&*self.storage).await, [self.object.clone()].into());
        assert_eq!(uploads(&*self.storage).await, [self.upload.clone()].into());
    }
}

/// The tenant `default`, and two whose names are alike.
async fn three(fixture: &impl Fixture) -> [Tenant; 3] {
    let tenant = |text| fixture.storage().tenant(&name(text)).unwrap();
    [
        Tenant::new(tenant("default"), "of the default").await,
        Tenant::new(tenant("a"), "of a").await,
        Tenant::new(tenant("a-b"), "of the other").await,
    ]
}

/// Calls `visit` for each tenant with each other one.
async fn each_pair(tenants: &[Tenant], visit: impl AsyncFn(&Tenant, &Tenant)) {
    for (number, own) in tenants.iter().enumerate() {
        for (_, other) in tenants.iter().enumerate().filter(|(other, _)| *other != number) {
            visit(own, other).await;
        }
    }
}

async fn objects(storage: &dyn Storage) -> BTreeSet<ObjectName> {
    let (mut names, mut from) = (BTreeSet::new(), None);
    for _ in 0..MAX_PAGES {
        let page = storage.list_objects(from.as_deref()).await.unwrap();
        names.extend(page.items.into_iter().map(|item| item.name));
        let Some(next) = page.next else { return names };
        from = Some(next);
    }
    panic!("the listing does not end");
}

async fn uploads(storage: &dyn Storage) -> BTreeSet<UploadName> {
    let (mut names, mut from) = (BTreeSet::new(), None);
    for _ in 0..MAX_PAGES {
        let page = storage.list_uploads(from.as_deref()).await.unwrap();
        names.extend(page.items.into_iter().map(|item| item.name));
        let Some(next) = page.next else { return names };
        from = Some(next);
    }
    panic!("the listing does not end");
}

pub(crate) async fn nothing_of_another_tenant_is_found(fixture: impl Fixture) {
    let tenants = three(&fixture).await;
    each_pair(&tenants, async |own, other| {
        let (storage, size) = (&own.storage, other.content.len() as u64);
        assert_not_found(storage.stat(&other.object).await);
        assert_not_found(storage.open(&other.object, size, None).await.map(drop));
        assert_not_found(storage.open(&other.object, size, Some(1..2)).await.map(drop));
        match storage.presign(&other.object, size, Duration::from_secs(60)).await {
            // Drivers without such URLs do not look.
            Ok(None) => {}
            signed => assert_not_found(signed),
        }
        assert_eq!(storage.blocks(&other.upload).await.unwrap(), []);
        assert_invalid(storage.commit(&other.upload, &[id("a")]).await);
    })
    .await;
    for tenant in &tenants {
        tenant.has_everything().await;
    }
}

pub(crate) async fn nothing_of_another_tenant_is_changed(fixture: impl Fixture) {
    let tenants = three(&fixture).await;
    each_pair(&tenants, async |own, other| {
        own.storage.remove(&other.object).await.unwrap();
        own.storage.discard(&other.upload).await.unwrap();
        let flushed = own.storage.flush(std::slice::from_ref(&other.object)).await;
        assert!(matches!(flushed[..], [Ok(())]), "{flushed:?}");
    })
    .await;
    for tenant in &tenants {
        tenant.has_everything().await;
        let committed = tenant.storage.commit(&tenant.upload, &[id("a")]).await.unwrap();
        assert_content(&*tenant.storage, &committed.object, &tenant.content).await;
    }
}

pub(crate) async fn an_upload_of_one_name_is_one_of_each_tenant(mut fixture: impl Fixture) {
    let names = ["default", "a", "b"].map(name);
    let upload = new_upload();
    let storage_of = |fixture: &_, name| Fixture::storage(fixture).tenant(name).unwrap();
    for name in &names {
        let storage = storage_of(&fixture, name);
        put_block(&*storage, &upload, "a", name.as_str().as_bytes()).await;
        storage.settle().await.unwrap();
    }
    fixture.restart().await;
    for name in &names {
        let storage = storage_of(&fixture, name);
        let stored = storage.commit(&upload, &[id("a")]).await.unwrap();
        assert_content(&*storage, &stored.object, name.as_str().as_bytes()).await;
    }
    let first = storage_of(&fixture, &names[1]);
    first.discard(&upload).await.unwrap();
    assert_eq!(first.blocks(&upload).await.unwrap(), []);
    for name in [&names[0], &names[2]] {
        assert_eq!(storage_of(&fixture, name).blocks(&upload).await.unwrap().len(), 1);
    }
}

/// What a sweep of `default` does to orphans, however many pages.
pub(crate) async fn removing_all_that_is_listed_leaves_other_tenants_alone(fixture: impl Fixture) {
    let [default, one, other] = three(&fixture).await;
    for swept in [&default, &one] {
        for object in objects(&*swept.storage).await {
            swept.storage.remove(&object).await.unwrap();
        }
        for upload in uploads(&*swept.storage).await {
            swept.storage.discard(&upload).await.unwrap();
        }
        assert!(objects(&*swept.storage).await.is_empty());
        assert!(uploads(&*swept.storage).await.is_empty());
    }
    other.has_everything().await;
}

pub(crate) async fn a_cursor_of_another_tenant_shows_nothing_of_it(fixture: impl Fixture) {
    let tenants = three(&fixture).await;
    let other = &tenants[2].storage;
    let puts = stream::iter(0..1_005).map(async |_| other.put(&new_upload(), whole(b"x")).await.unwrap());
    puts.buffer_unordered(16).for_each(async |_| ()).await;
    let cursor = other.list_objects(None).await.unwrap().next.expect("more than a page");
    let all = objects(&**other).await;
    for own in &tenants[..2] {
        // Either refused, or a place in one's own listing.
        if let Ok(page) = own.storage.list_objects(Some(&cursor)).await {
            assert!(page.items.iter().all(|item| !all.contains(&item.name)), "{page:?}");
        }
    }
}

pub(crate) async fn each_tenant_has_its_own_identity(mut fixture: impl Fixture) {
    let names = ["default", "a", "b"];
    for text in names {
        let storage = fixture.storage().tenant(&name(text)).unwrap();
        assert_eq!(storage.identity().await.unwrap(), None);
        assert_eq!(storage.set_identity(&format!("of-{text}"), false).await.unwrap(), format!("of-{text}"));
    }
    fixture.restart().await;
    let replaced = fixture.storage().tenant(&name("a")).unwrap();
    assert_eq!(replaced.set_identity("new", true).await.unwrap(), "new");
    for (text, expected) in names.into_iter().zip(["of-default", "new", "of-b"]) {
        let storage = fixture.storage().tenant(&name(text)).unwrap();
        assert_eq!(storage.identity().await.unwrap().as_deref(), Some(expected));
    }
}

pub(crate) async fn the_storage_of_a_tenant_returns_that_of_no_other(fixture: impl Fixture) {
    let own = fixture.storage().tenant(&name("a")).unwrap();
    for other in ["b", "default"] {
        assert_invalid(own.tenant(&name(other)).map(drop));
    }
    let again = own.tenant(&name("a")).unwrap();
    let object = again.put(&new_upload(), whole(b"x")).await.unwrap().object;
    assert_content(&*own, &object, b"x").await;
    let default = fixture.storage().tenant(&TenantName::default()).unwrap();
    assert_not_found(default.stat(&object).await);
    assert_content(&*default.tenant(&name("a")).unwrap(), &object, b"x").await;
}

pub(crate) async fn handles_of_a_tenant_share_its_uploads(fixture: impl Fixture) {
    let [one, other] = [(); 2].map(|()| fixture.storage().tenant(&name("a")).unwrap());
    let upload = new_upload();
    put_block(&*one, &upload, "a", b"1").await;
    put_block(&*other, &upload, "b", b"2").await;
    drop(one);
    put_block(&*other, &upload, "c", b"3").await;
    let ids = ["a", "b", "c"].map(id);
    let stored = other.commit(&upload, &ids).await.unwrap();
    assert_content(&*other, &stored.object, b"123").await;
}

pub(crate) async fn a_tenant_is_forgotten_once_it_has_nothing(mut fixture: impl Fixture) {
    let [default, own, other] = three(&fixture).await;
    for tenant in [&default, &own, &other] {
        tenant.storage.set_identity("set", false).await.unwrap();
    }
    assert!(!own.storage.forget_tenant().await.unwrap(), "it has an object and an upload");
    own.storage.remove(&own.object).await.unwrap();
    assert!(!own.storage.forget_tenant().await.unwrap(), "it has an upload");
    assert_eq!(own.storage.identity().await.unwrap().as_deref(), Some("set"));
    own.storage.discard(&own.upload).await.unwrap();
    for _ in 0..2 {
        assert!(own.storage.forget_tenant().await.unwrap());
    }
    assert_eq!(own.storage.identity().await.unwrap(), None);
    for kept in [&default, &other] {
        kept.has_everything().await;
        assert_eq!(kept.storage.identity().await.unwrap().as_deref(), Some("set"));
    }
    // The name may be used again, also by the same handle.
    let again = Tenant::new(Arc::clone(&own.storage), "again").await;
    again.has_everything().await;
    drop((default, own, other, again.storage));
    fixture.restart().await;
    let after = fixture.storage().tenant(&name("a")).unwrap();
    assert_content(&*after, &again.object, b"again").await;
}

pub(crate) async fn a_tenant_that_never_had_anything_is_forgotten(fixture: impl Fixture) {
    let storage = fixture.storage().tenant(&name("a")).unwrap();
    assert!(objects(&*storage).await.is_empty());
    assert!(uploads(&*storage).await.is_empty());
    assert!(storage.forget_tenant().await.unwrap());
}

pub(crate) async fn the_default_tenant_is_not_forgotten(fixture: impl Fixture) {
    fixture.storage().set_identity("set", false).await.unwrap();
    assert_invalid(fixture.storage().forget_tenant().await);
    assert_invalid(fixture.storage().tenant(&TenantName::default()).unwrap().forget_tenant().await);
    assert_eq!(fixture.storage().identity().await.unwrap().as_deref(), Some("set"));
}
