//! Opening an index of the last release that compared keys byte for byte: the tests that are the
//! same for every driver. Fault 4.
//!
//! Each driver makes such an index with the migrations of that release and the rows that its server
//! wrote for these saves, in this order: `macOS-13-deps`, `Linux-Build`, `linux-build`;
//! `LINUX-BUILD` of another version; `plain`, `Ünï-KEY`, `Taken`. The uploads in progress are:
//! `Upload-A`; `upload-a` and `taken`, both with content; `Single-Up`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Durability, EntryId, Index, MatchKind, Probe, Reservation, Slot, UploadId};

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
        let again = index.reserve(&slot(asked), "o", 1, 0).await.unwrap();
        assert!(matches!(again, Reservation::Entry(entry) if entry.slot.key == found), "{asked}");
    }
    assert_eq!(find(index, "ÜNÏ-KEY", MatchKind::Exact).await, None, "not a letter of ASCII");
    let listed = index.list_entries(EntryId(0), 10_000).await.unwrap();
    assert!(listed.iter().all(|entry| entry.owner.is_none()), "nobody knows who reserved them");
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
        let reserved = index.reserve(&slot(key), "o", 1, 0).await.unwrap();
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
