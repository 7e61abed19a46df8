//! Tenants in one directory.

use larder_common::TenantName;

use super::Temporary;
use crate::{
    Storage,
    conformance::{assert_content, id, new_upload, put_block, unannounced, whole},
    fs::{FsStorage, budget::Budget},
};

fn name(text: &str) -> TenantName {
    TenantName::parse(text).unwrap()
}

/// Number of open files of this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn a_handle_makes_nothing_before_the_first_write() {
    let fixture = Temporary::new();
    let storage = fixture.fs().tenant(&name("a")).unwrap();
    assert!(storage.stat(&crate::ObjectName::parse("p-0").unwrap()).await.is_err());
    assert!(storage.list_objects(None).await.unwrap().items.is_empty());
    assert!(storage.list_uploads(None).await.unwrap().items.is_empty());
    assert_eq!(storage.identity().await.unwrap(), None);
    storage.discard(&new_upload()).await.unwrap();
    assert!(storage.blocks(&new_upload()).await.unwrap().is_empty());
    assert!(!fixture.root.path().join("tenants").exists());
    storage.put(&new_upload(), whole(b"x")).await.unwrap();
    assert!(fixture.root.path().join("tenants/a/objects").is_dir());
    assert!(!fixture.root.path().join("tenants/a/uploads").exists());
}

#[tokio::test]
async fn an_idle_handle_holds_no_descriptor() {
    let fixture = Temporary::new();
    // Other tests open files meanwhile, but not hundreds for long.
    let before = descriptors();
    let handles: Vec<_> =
        (0..2_000).map(|number| fixture.fs().tenant(&name(&format!("t-{number}"))).unwrap()).collect();
    assert!(descriptors() < before + 1_000);
    drop(handles);
}

/// The three ways in which a file is made: a whole object, an upload, and a block of unknown length.
#[tokio::test]
async fn directories_are_made_with_the_first_file_of_each_kind() {
    for kind in 0..3 {
        let fixture = Temporary::new();
        let storage = fixture.fs().tenant(&name("a")).unwrap();
        let upload = new_upload();
        let object = match kind {
            0 => storage.put(&upload, whole(b"x")).await.unwrap().object,
            1 => {
                put_block(&*storage, &upload, "a", b"x").await;
                storage.commit(&upload, &[id("a")]).await.unwrap().object
            }
            _ => {
                storage.put_block(&upload, &id("a"), unannounced(b"x")).await.unwrap();
                storage.commit(&upload, &[id("a")]).await.unwrap().object
            }
        };
        assert_content(&*storage, &object, b"x").await;
        assert!(matches!(storage.flush(&[object]).await[..], [Ok(())]));
    }
}

/// An object of the same name in two tenants: two files.
#[tokio::test]
async fn an_object_of_one_name_is_one_of_each_tenant() {
    let fixture = Temporary::new();
    let [one, other] = ["a", "b"].map(|text| fixture.fs().tenant(&name(text)).unwrap());
    let object = one.put(&new_upload(), whole(b"one")).await.unwrap().object;
    let path = fixture.object_path_below("tenants/b/", &object);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, b"other").unwrap();
    assert_content(&*one, &object, b"one").await;
    assert_content(&*other, &object, b"other").await;
    one.remove(&object).await.unwrap();
    assert!(one.stat(&object).await.is_err());
    assert_content(&*other, &object, b"other").await;
}

#[tokio::test]
async fn a_forgotten_tenant_leaves_no_file_and_no_directory() {
    let fixture = Temporary::new();
    let storage = fixture.fs().tenant(&name("a")).unwrap();
    let upload = new_upload();
    put_block(&*storage, &upload, "a", b"x").await;
    let object = storage.commit(&upload, &[id("a")]).await.unwrap().object;
    storage.set_identity("set", false).await.unwrap();
    storage.discard(&upload).await.unwrap();
    storage.remove(&object).await.unwrap();
    assert!(storage.forget_tenant().await.unwrap());
    assert_eq!(fixture.files("tenants"), Vec::<String>::new());
    assert!(!fixture.root.path().join("tenants/a").exists());
}

/// A file that is not Larder's stays, and so does its directory.
#[tokio::test]
async fn a_tenant_with_a_foreign_file_is_not_forgotten() {
    let fixture = Temporary::new();
    let storage = fixture.fs().tenant(&name("a")).unwrap();
    let object = storage.put(&new_upload(), whole(b"x")).await.unwrap().object;
    storage.remove(&object).await.unwrap();
    std::fs::write(fixture.root.path().join("tenants/a/notes"), b"mine").unwrap();
    assert!(!storage.forget_tenant().await.unwrap());
    assert_eq!(fixture.files("tenants"), ["tenants/a/notes"]);
}

/// What a handle remembers would be wrong, if calls of an earlier one could still change the files.
#[tokio::test]
async fn a_tenant_is_not_opened_again_while_calls_of_an_earlier_handle_run() {
    let fixture = Temporary::new();
    let storage = fixture.fs().of_tenant(&name("a")).unwrap();
    put_block(&storage, &new_upload(), "a", b"x").await;
    let call = std::sync::Arc::clone(&storage.uploads.context().calls);
    drop(storage);
    assert!(fixture.fs().tenant(&name("a")).is_err());
    assert!(fixture.fs().tenant(&name("b")).is_ok());
    drop(call);
    fixture.fs().tenant(&name("a")).unwrap();
}

#[tokio::test]
async fn the_bound_of_remembered_uploads_is_one_for_all_tenants() {
    let fixture = Temporary::new();
    let handles: Vec<_> =
        (0..20).map(|number| fixture.fs().of_tenant(&name(&format!("t-{number}"))).unwrap()).collect();
    for storage in &handles {
        for _ in 0..500 {
            storage.blocks(&new_upload()).await.unwrap();
        }
    }
    let remembered: usize = handles.iter().map(|storage| storage.uploads.count()).sum();
    // Calls give an upload back a moment after they return.
    assert!(remembered <= 8_192 + handles.len() * 10, "{remembered}");
    drop(handles);
    assert_eq!(fixture.fs().uploads.count_in_all(), 0);
}

/// A directory can be opened once, so who has it open must be found.
#[tokio::test]
async fn a_storage_in_use_is_found_again_and_is_closed_with_its_last_use() {
    let root = tempfile::tempdir().unwrap();
    let open = || FsStorage::open(root.path().to_owned(), Budget::new(1 << 20));
    let storage = open().unwrap().of_tenant(&name("a")).unwrap();
    let weak = storage.downgrade();
    let object = storage.put(&new_upload(), whole(b"x")).await.unwrap().object;
    assert!(open().is_err(), "it is in use");
    let again = weak.upgrade().unwrap();
    drop(storage);
    assert_content(&again, &object, b"x").await;
    assert!(again.tenant(&name("b")).is_err(), "it is still that of one tenant");
    drop(again);
    assert!(weak.upgrade().is_none());
    assert_content(&open().unwrap().of_tenant(&name("a")).unwrap(), &object, b"x").await;
}
