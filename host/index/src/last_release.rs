//! Opening an index of the last release that compared keys byte for byte: the tests that are the
//! same for every driver. Fault 4.
//!
//! Each driver makes such an index with the migrations of that release and the rows that its server
//! wrote for these saves, in this order: `macOS-13-deps`, `Linux-Build`, `linux-build`;
//! `LINUX-BUILD` of another version; `plain`, `Ünï-KEY`, `Taken`. The uploads in progress are:
//! `Upload-A`; `upload-a` and `taken`, both with content; `Single-Up`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use larder_common::TenantName;

use super::{
    Cause, Departure, Durability, Entry, EntryDetails, EntryId, EntryUses, Facts, Index, KeyRule, MatchKind,
    Probe, Remains, Reservation, Slot, Trust, UploadId, Within,
    conformance::{attachment, block_on},
};

const SCOPE: &str = "refs/heads/main";

fn version() -> String {
    "5f".repeat(32)
}

fn slot(key: &str) -> Slot {
    Slot { repository: "1".to_owned(), scope: SCOPE.to_owned(), version: version(), key: key.to_owned() }
}

async fn find(index: &dyn Index, key: &str, kind: MatchKind) -> Option<String> {
    let probe = Probe { scope: SCOPE.to_owned(), key: key.to_owned(), kind };
    index.find("1", &version(), &[probe], &[]).await.unwrap().map(|entry| entry.slot.key)
}

async fn entries(index: &dyn Index) -> Vec<String> {
    let entries = index.list_entries(EntryId(0), 10_000).await.unwrap();
    entries.into_iter().map(|entry| entry.slot.key).collect()
}

async fn uploads(index: &dyn Index) -> Vec<String> {
    let uploads = index.list_uploads(UploadId(0), 10_000).await.unwrap();
    uploads.into_iter().map(|upload| upload.slot.key).collect()
}

/// Of keys that are now the same, the newest is left. All others are unchanged and match in any
/// case.
pub(super) async fn is_of_any_case(index: &dyn Index) {
    keeps_the_newest(index).await;
    says_what_it_deleted(index).await;
}

/// The same, where what is deleted was not recorded.
pub(super) async fn keeps_the_newest(index: &dyn Index) {
    let expected = ["macOS-13-deps", "linux-build", "LINUX-BUILD", "plain", "Ünï-KEY", "Taken"];
    assert_eq!(entries(index).await, expected);
    assert_eq!(uploads(index).await, ["upload-a", "Single-Up"]);
    for (asked, found) in [
        ("MACOS-13-DEPS", "macOS-13-deps"),
        ("Linux-Build", "linux-build"),
        ("PLAIN", "plain"),
        ("Ünï-key", "Ünï-KEY"),
        ("taken", "Taken"),
    ] {
        assert_eq!(find(index, asked, MatchKind::Exact).await.as_deref(), Some(found), "{asked}");
        let start = &asked[..asked.len() - 1];
        assert_eq!(find(index, start, MatchKind::Prefix).await.as_deref(), Some(found), "{start}");
        let again =
            index.reserve(&slot(asked), "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0).await.unwrap();
        assert!(matches!(again, Reservation::Entry(entry) if entry.slot.key == found), "{asked}");
    }
    assert_eq!(find(index, "ÜNÏ-KEY", MatchKind::Exact).await, None, "not a letter of ASCII");
    let listed = index.list_entries(EntryId(0), 10_000).await.unwrap();
    assert!(listed.iter().all(|entry| entry.owner.is_none()), "nobody knows who reserved them");
}

/// Of entries whose keys have become the same, the older one has departed; its object is listed for
/// removal, and counted until then.
async fn says_what_it_deleted(index: &dyn Index) {
    let departed = index.find_departed("1", "linux-BUILD", MatchKind::Exact, 9).await.unwrap();
    let keys: Vec<_> = departed.iter().map(|gone| (&*gone.slot.key, &gone.departure.cause)).collect();
    assert_eq!(keys, [("Linux-Build", &Cause::Superseded)]);
    let leaving = index.list_leaving(None, 1_000).await.unwrap();
    for gone in &departed {
        let object = Remains::Object(gone.object.clone().expect("it may be stored"));
        assert!(leaving.iter().any(|leaving| leaving.what == object), "{object:?} in {leaving:?}");
    }
    assert_eq!(index.recount().await.unwrap(), 0);
}

/// An upload that was in progress becomes an entry.
pub(super) async fn its_uploads_can_be_finished(index: &dyn Index) {
    let upload = index.find_upload(&slot("UPLOAD-A")).await.unwrap().expect("the upload");
    let content = upload.attachment.clone().expect("its content");
    let made = index.finalize(upload.id, &content, &Durability::Durable, upload.last_activity_ms + 1).await;
    let entry = made.unwrap().expect("an entry");
    assert_eq!((entry.slot.key, entry.owner), ("upload-a".to_owned(), Some(upload.owner)));
    assert!(entry.id > EntryId(7), "a number was used again");
    assert_eq!(find(index, "Upload-A", MatchKind::Exact).await.as_deref(), Some("upload-a"));
}

/// Of what was made before there were facts they are absent, and uses are not known. What is made
/// from now on has them.
pub(super) async fn has_no_facts(index: &dyn Index) {
    is_of_any_case(index).await;
    let entries = index.list_entries(EntryId(0), 100).await.unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    let absent =
        |id| EntryDetails { id, facts: None, uses: None, trust: None, quarantined_ms: None, digest: None };
    let expected: Vec<_> = ids.iter().copied().map(absent).collect();
    assert_eq!(index.entry_details(&ids).await.unwrap(), expected);
    let last_used_ms = entries[0].last_used_ms + 1;
    index.touch_entries(&[EntryUses::once(ids[0], last_used_ms)]).await.unwrap();
    assert_eq!(index.entry_details(&ids).await.unwrap(), expected, "the uses before are not known");
    assert_eq!(index.get_entry(ids[0]).await.unwrap().unwrap().last_used_ms, last_used_ms);
    let upload = index.find_upload(&slot("UPLOAD-A")).await.unwrap().unwrap();
    assert_eq!(index.upload_facts(upload.id).await.unwrap(), None);
    orders_all_that_it_has(index, &entries).await;
    its_uploads_can_be_finished(index).await;
    let made = index.get_entry_of_upload(upload.id).await.unwrap().unwrap();
    let details = index.entry_details(&[made.id]).await.unwrap();
    assert_eq!(details, [EntryDetails { uses: Some(0), ..absent(made.id) }]);
    let facts = Facts::try_from(&[("run_id", "7")][..]).unwrap();
    let reserved = index.reserve(&slot("new"), "o", &facts, crate::Trust::Full, 1, 0).await.unwrap();
    let Reservation::Reserved(upload) = reserved else { panic!("not reserved: {reserved:?}") };
    assert_eq!(index.upload_facts(upload.id).await.unwrap(), Some(facts));
}

/// What has no stored trust is ordered by last use, held back, and deleted like all else.
async fn orders_all_that_it_has(index: &dyn Index, entries: &[Entry]) {
    let repository = Within::Repository("1".to_owned());
    let ordered = async |trust| index.least_recent(&repository, trust, None, 100).await.unwrap();
    let mut expected: Vec<_> = index.list_entries(EntryId(0), 100).await.unwrap();
    expected.sort_by_key(|entry| (entry.last_used_ms, entry.id));
    assert_eq!(expected.len(), entries.len());
    assert_eq!(ordered(None).await, expected);
    assert_eq!(ordered(Some(Trust::Full)).await, expected, "no scope is a pull request's");
    assert_eq!(ordered(Some(Trust::Low)).await, []);
    let near = index.list_near("1", "PLAIN", MatchKind::Exact, 9).await.unwrap();
    assert_eq!(near.iter().map(|near| &*near.entry.slot.key).collect::<Vec<_>>(), ["plain"]);
    let plain = near[0].entry.id;
    assert_eq!(index.set_quarantined(&[plain], Some(1)).await.unwrap(), 1);
    assert_eq!(find(index, "plain", MatchKind::Exact).await, None);
    assert_eq!(find(index, "plain", MatchKind::Prefix).await, None);
    assert_eq!(index.set_quarantined(&[plain], None).await.unwrap(), 1);
    assert_eq!(find(index, "plain", MatchKind::Prefix).await.as_deref(), Some("plain"));
    let departure = Departure { cause: Cause::Age, at_ms: 7 };
    assert!(index.delete_entry(plain, &departure).await.unwrap());
    let departed = index.find_departed("1", "plain", MatchKind::Exact, 9).await.unwrap();
    assert_eq!((departed[0].uses, departed[0].trust, &departed[0].departure), (None, None, &departure));
    let uploads = index.uploads_in_scope("1", SCOPE, UploadId(0), 9).await.unwrap();
    assert_eq!(uploads.iter().map(|upload| upload.trust).collect::<Vec<_>>(), [Trust::Full; 2]);
}

/// Compared byte for byte, everything is unchanged.
pub(super) async fn is_of_bytes(index: &dyn Index) {
    let expected =
        ["macOS-13-deps", "Linux-Build", "linux-build", "LINUX-BUILD", "plain", "Ünï-KEY", "Taken"];
    assert_eq!(entries(index).await, expected);
    assert_eq!(uploads(index).await, ["Upload-A", "upload-a", "taken", "Single-Up"]);
    for key in ["macOS-13-deps", "Linux-Build", "linux-build", "plain", "Ünï-KEY", "Taken"] {
        assert_eq!(find(index, key, MatchKind::Exact).await.as_deref(), Some(key));
        assert_eq!(find(index, key, MatchKind::Prefix).await.as_deref(), Some(key));
    }
    assert_eq!(find(index, "LINUX-BUILD", MatchKind::Exact).await, None);
    assert_eq!(find(index, "macos", MatchKind::Prefix).await, None);
}

/// An any-case index is opened for bytes: keys that differ by case are different again.
pub(super) async fn is_changed_to_bytes(index: &dyn Index) {
    assert_eq!(find(index, "macOS-13-deps", MatchKind::Exact).await.as_deref(), Some("macOS-13-deps"));
    assert_eq!(find(index, "MACOS-13-DEPS", MatchKind::Exact).await, None);
    assert_eq!(find(index, "MACOS", MatchKind::Prefix).await, None);
    for key in ["MACOS-13-DEPS", "single-up"] {
        let reserved =
            index.reserve(&slot(key), "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0).await.unwrap();
        assert!(matches!(reserved, Reservation::Reserved(_)), "{reserved:?}");
    }
}

/// It is changed back: uploads in the slot of an entry, or of a newer upload, are deleted.
pub(super) async fn is_changed_back(index: &dyn Index) {
    assert_eq!(uploads(index).await, ["upload-a", "single-up"]);
    assert_eq!(find(index, "MACOS-13-DEPS", MatchKind::Exact).await.as_deref(), Some("macOS-13-deps"));
}

/// Secrets are kept, so URLs stay valid.
pub(super) async fn has_its_secret(index: &dyn Index) {
    assert_ne!(index.secret("url-signing-key", b"fresh").await.unwrap(), b"fresh");
}

/// All rows are those of the tenant `default`; their slots are free for another.
pub(super) async fn is_all_of_the_default_tenant(index: &dyn Index) {
    assert_eq!(index.list_tenants(None, 10).await.unwrap(), [TenantName::default()]);
    let default = index.tenant(&TenantName::default()).unwrap();
    is_of_any_case(&*default).await;
    has_its_secret(&*default).await;
    let other = index.tenant(&TenantName::parse("other").unwrap()).unwrap();
    assert_eq!(entries(&*other).await, Vec::<String>::new());
    assert_eq!(uploads(&*other).await, Vec::<String>::new());
    for listed in index.list_entries(EntryId(0), 100).await.unwrap() {
        assert_eq!(other.get_entry(listed.id).await.unwrap(), None);
        let reserved =
            other.reserve(&listed.slot, "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0).await.unwrap();
        assert!(matches!(reserved, Reservation::Reserved(_)), "{reserved:?}");
    }
    assert_eq!(other.secret("url-signing-key", b"fresh").await.unwrap(), b"fresh");
    is_of_any_case(index).await;
    has_its_secret(index).await;
}

/// Opened for another rule, the newest row of each slot stays, in each tenant.
pub(super) fn the_newest_stays_in_each_tenant(open: impl Fn(KeyRule) -> Arc<dyn Index>) {
    block_on(make_spellings(&*open(KeyRule::Bytes)));
    block_on(has_the_newest_spellings(&*open(KeyRule::AnyCase)));
}

const TENANTS: [&str; 3] = ["default", "a", "b"];

fn tenant(index: &dyn Index, name: &str) -> Arc<dyn Index> {
    index.tenant(&TenantName::parse(name).unwrap()).unwrap()
}

/// Makes entries and an upload whose keys differ by their case only, in an index for bytes.
async fn make_spellings(index: &dyn Index) {
    for (at, name) in TENANTS.iter().enumerate() {
        let tenant = tenant(index, name);
        // The last tenant's newest is another spelling than that of the others.
        let keys = if at == 2 { ["KEY", "key"] } else { ["key", "KEY"] };
        for key in keys {
            let Reservation::Reserved(upload) =
                tenant.reserve(&slot(key), "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0).await.unwrap()
            else {
                panic!("the slot is taken")
            };
            let content = attachment(1);
            tenant.attach(upload.id, &content, None, 1).await.unwrap();
            tenant.finalize(upload.id, &content, &Durability::Durable, 1).await.unwrap().unwrap();
        }
        // In the slot of an entry, for this tenant only.
        let reserved =
            tenant.reserve(&slot("Key"), "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0).await.unwrap();
        assert!(matches!(reserved, Reservation::Reserved(_)), "{reserved:?}");
    }
    tenant(index, "c").reserve(&slot("Key"), "o", &crate::NO_FACTS, crate::Trust::Full, 1, 0).await.unwrap();
}

async fn has_the_newest_spellings(index: &dyn Index) {
    for (name, expected) in TENANTS.iter().zip(["KEY", "KEY", "key"]) {
        let tenant = tenant(index, name);
        assert_eq!(entries(&*tenant).await, [expected], "{name}");
        assert_eq!(uploads(&*tenant).await, Vec::<String>::new(), "{name}");
    }
    assert_eq!(uploads(&*tenant(index, "c")).await, ["Key"]);
}
