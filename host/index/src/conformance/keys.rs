//! Promises of an index that compares keys in any case: fault 4.

use super::{Case, attachment, exact, probe};
use crate::{Durability, MatchKind, Reservation, Slot};

pub(crate) async fn keys_match_in_any_case_and_keep_their_own(case: &Case) {
    case.entry("macOS-13-Deps").await;
    for asked in ["macOS-13-Deps", "macos-13-deps", "MACOS-13-DEPS"] {
        assert_eq!(case.exact(asked).await.as_deref(), Some("macOS-13-Deps"), "{asked}");
    }
    assert_eq!(case.exact("macos-13-dep").await, None);
    assert_eq!(case.exact("macos_13-deps").await, None);
}

pub(crate) async fn a_prefix_matches_in_any_case(case: &Case) {
    case.entry("macOS-13-Deps").await;
    for asked in ["macOS-", "MACOS-13", "macos-13-deps", "m", ""] {
        assert_eq!(case.prefix(asked).await.as_deref(), Some("macOS-13-Deps"), "{asked}");
    }
    assert_eq!(case.prefix("macos-14").await, None);
}

pub(crate) async fn the_newest_with_a_prefix_is_found_whatever_its_case(case: &Case) {
    // Many keys, and some among them that sort elsewhere byte for byte.
    for number in 0..300 {
        let start = ["Linux-", "linux-", "LINUX-"][number % 3];
        case.entry(&format!("{start}{number:03}")).await;
    }
    case.entry("LinuxOther").await;
    let probes = [probe("main", "lInUx-", MatchKind::Prefix)];
    let newest = case.index.find(&case.repository, "v", &probes, &[]).await.unwrap().expect("an entry");
    assert_eq!(newest.slot.key, "LINUX-299");
    let before = case.find(&[probe("main", "linux-", MatchKind::Prefix)], &[newest.id]).await;
    assert_eq!(before.as_deref(), Some("linux-298"));
}

pub(crate) async fn only_letters_of_ascii_have_a_case(case: &Case) {
    let keys = ["straße", "STRASSE", "İ", "i", "ı", "Ä", "ä", "\u{212a}", "k", "[", "{", "@", "`"];
    for key in keys {
        case.entry(key).await;
    }
    for key in keys {
        assert_eq!(case.exact(key).await.as_deref(), Some(key), "{key}");
        assert_eq!(case.prefix(key).await.as_deref(), Some(key), "{key}");
    }
    assert_eq!(case.exact("I").await.as_deref(), Some("i"));
    assert_eq!(case.exact("strasse").await.as_deref(), Some("STRASSE"));
    assert_eq!(case.exact("STRAßE").await.as_deref(), Some("straße"));
}

pub(crate) async fn a_slot_is_reserved_in_any_case(case: &Case) {
    let upload = case.reserve(&case.key("Key"), 1_000).await;
    let again = case
        .index
        .reserve(&case.key("kEY"), "o", &crate::NO_FACTS, crate::Trust::Full, 2_000, 1_000)
        .await
        .unwrap();
    assert_eq!(again, Reservation::Upload(upload));
    // A displaced slot is reserved with the key of the new request.
    let again = case
        .index
        .reserve(&case.key("kEY"), "o", &crate::NO_FACTS, crate::Trust::Full, 2_000, 1_001)
        .await
        .unwrap();
    assert!(matches!(&again, Reservation::Reserved(upload) if upload.slot.key == "kEY"), "{again:?}");
    let entry = case.entry("Other").await;
    let taken = case
        .index
        .reserve(&case.key("OTHER"), "o", &crate::NO_FACTS, crate::Trust::Full, 2_000, 2_000)
        .await
        .unwrap();
    assert_eq!(taken, Reservation::Entry(entry));
}

pub(crate) async fn an_upload_is_found_in_any_case_and_becomes_an_entry_of_its_own(case: &Case) {
    let (upload, content) = (case.reserve(&case.key("Key"), 1).await, attachment(1));
    case.index.attach(upload.id, &content, None, 1).await.unwrap();
    let found = case.index.find_upload(&case.key("KEY")).await.unwrap().expect("the upload");
    assert_eq!((found.id, &*found.slot.key), (upload.id, "Key"));
    let entry = case.index.finalize(found.id, &content, &Durability::Durable, 2).await.unwrap().unwrap();
    assert_eq!(entry.slot.key, "Key");
    assert_eq!(case.index.find_upload(&case.key("key")).await.unwrap(), None);
    assert_eq!(case.exact("key").await.as_deref(), Some("Key"));
}

pub(crate) async fn long_keys_match_in_any_case(case: &Case) {
    // Longer than the part of a key that a database server's index has.
    let (one, two) = (format!("{}Ä1", "K".repeat(400)), format!("{}ä1", "K".repeat(400)));
    case.entry(&one).await;
    case.entry(&two).await;
    assert_eq!(case.exact(&one.to_ascii_lowercase()).await.as_ref(), Some(&one));
    assert_eq!(case.prefix(&two.to_ascii_lowercase()[..300]).await.as_ref(), Some(&two));
    assert_eq!(case.prefix(&one.to_ascii_lowercase()).await.as_ref(), Some(&one));
    assert_eq!(case.prefix(&"k".repeat(401)).await, None);
}

pub(crate) async fn scopes_versions_and_repositories_are_case_sensitive(case: &Case) {
    let mut other = case.slot("s", "v", "k");
    other.repository.push('X');
    let lower = Slot { repository: other.repository.to_lowercase(), ..other.clone() };
    let slots = [
        case.slot("s", "v", "k"),
        case.slot("S", "v", "k"),
        case.slot("s", "V", "k"),
        case.slot("sv", "", "k"),
        case.slot("", "", ""),
        other,
        lower,
    ];
    for slot in &slots {
        assert_eq!(&case.reserve(slot, 1).await.slot, slot);
    }
    for slot in &slots {
        let upload = case.index.find_upload(slot).await.unwrap().expect("the upload");
        assert_eq!(&upload.slot, slot);
    }
    case.entry("key").await;
    assert_eq!(case.find(&[probe("Main", "key", MatchKind::Exact)], &[]).await, None);
    let probes = [exact("key")];
    let found = case.index.find(&case.repository, "V", &probes, &[]).await;
    assert_eq!(found.unwrap(), None);
}
