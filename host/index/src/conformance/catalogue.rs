//! Promises about what operators ask.

use larder_common::TenantName;

use super::{Case, attachment, unique};
use crate::{
    Attachment, Durability, Entry, EntryOrder, EntryUses, IndexError, MatchKind, Within,
    catalogue::{ACCESS_KEY_DIGEST_BYTES, AccessKey, AccessRole, EntryFilter, browse, count},
};

const ORDERS: [EntryOrder; 3] = [EntryOrder::Created, EntryOrder::LastUsed, EntryOrder::Size];

/// Makes an entry of this size, last used then.
async fn entry(case: &Case, slot: [&str; 3], size_bytes: u64, used_ms: u64) -> Entry {
    let entry = fresh(case, slot, size_bytes).await;
    case.index.touch_entries(&[EntryUses::once(entry.id, used_ms)]).await.unwrap();
    Entry { last_used_ms: used_ms, ..entry }
}

/// An entry that was never used.
async fn fresh(case: &Case, [scope, version, key]: [&str; 3], size_bytes: u64) -> Entry {
    let upload = case.reserve(&case.slot(scope, version, key), 1_000).await;
    let attachment = Attachment { size_bytes, ..attachment(1) };
    case.index.attach(upload.id, &attachment, None, 1_000).await.unwrap();
    let made = case.index.finalize(upload.id, &attachment, &Durability::Durable, 1_000).await;
    made.unwrap().expect("the upload was there")
}

/// Makes entries in several places, with equal sizes and times among them; a third has low trust by its
/// scope, where trust is not stored.
async fn entries(case: &Case) -> Vec<Entry> {
    let mut made = Vec::new();
    for number in 0..13_u64 {
        let scope = ["main", "refs/pull/7/merge", "other"][usize::try_from(number % 3).unwrap()];
        let version = if number % 4 == 0 { "w" } else { "v" };
        let key = format!("{}-{number}", if number % 2 == 0 { "Even" } else { "odd" });
        made.push(entry(case, [scope, version, &key], number % 5 + 10, 2_000 + number * 7 % 4).await);
    }
    made
}

fn sorted(mut entries: Vec<Entry>, order: EntryOrder, descending: bool) -> Vec<Entry> {
    entries.sort_by_key(|entry| match order {
        EntryOrder::Created => (0, entry.id),
        EntryOrder::LastUsed => (entry.last_used_ms, entry.id),
        EntryOrder::Size => (entry.size_bytes, entry.id),
    });
    if descending {
        entries.reverse();
    }
    entries
}

async fn scanned(case: &Case, order: EntryOrder, descending: bool, limit: usize) -> Vec<Entry> {
    let (mut own, mut after) = (Vec::new(), None);
    loop {
        let page = case.index.scan_entries(order, descending, after, limit).await.unwrap();
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return own };
        after = Some(order.place(last));
        own.extend(page.into_iter().filter(|entry| entry.slot.repository == case.repository));
    }
}

pub(crate) async fn entries_are_scanned_in_each_order_both_ways(case: &Case) {
    let made = entries(case).await;
    case.index.set_quarantined(&[made[3].id], Some(5)).await.unwrap();
    for order in ORDERS {
        for descending in [false, true] {
            let expected = sorted(made.clone(), order, descending);
            for limit in [40, 41] {
                let found = scanned(case, order, descending, limit).await;
                assert_eq!(found, expected, "{order:?} {descending} {limit}");
            }
        }
    }
    assert_eq!(case.index.scan_entries(EntryOrder::Size, true, None, 0).await.unwrap(), []);
}

pub(crate) async fn a_scan_starts_behind_any_place(case: &Case) {
    let made = entries(case).await;
    for order in ORDERS {
        for descending in [false, true] {
            let expected = sorted(made.clone(), order, descending);
            for (at, before) in expected.iter().enumerate().take(expected.len() - 1) {
                let after = Some(order.place(before));
                let mut page = case.index.scan_entries(order, descending, after, 500).await.unwrap();
                page.retain(|entry| entry.slot.repository == case.repository);
                let found = page.first().map(|entry| entry.id);
                assert_eq!(found, Some(expected[at + 1].id), "{order:?} {descending}");
            }
        }
    }
}

pub(crate) async fn a_key_is_found_in_any_repository(case: &Case) {
    let other = Case { index: case.index.clone(), repository: unique("repository") };
    let key = unique("Key");
    let one = case.entry(&key).await;
    let two = other.entry(&key).await;
    let longer = other.entry(&format!("{key}-more")).await;
    case.index.set_quarantined(&[one.id], Some(5)).await.unwrap();
    let find = async |key: &str, kind, limit| {
        let mut found = case.index.entries_with_key(key, kind, limit).await.unwrap();
        if kind == MatchKind::Prefix {
            found.sort_by_key(|entry| entry.id);
        }
        found
    };
    assert_eq!(find(&key, MatchKind::Exact, 9).await, [two.clone(), one.clone()]);
    assert_eq!(find(&key.to_uppercase(), MatchKind::Exact, 1).await, std::slice::from_ref(&two));
    assert_eq!(find(&key, MatchKind::Prefix, 9).await, [one, two, longer.clone()]);
    assert_eq!(find(&format!("{key}-"), MatchKind::Prefix, 9).await, [longer]);
    assert_eq!(find(&key[..key.len() - 1], MatchKind::Exact, 9).await, []);
}

pub(crate) async fn long_keys_are_found_in_any_repository(case: &Case) {
    let begin = unique("k").repeat(12);
    let [one, two] = ["1", "2"].map(|end| format!("{begin}{end}"));
    let (one, two) = (case.entry(&one).await, case.entry(&two).await);
    let exact = case.index.entries_with_key(&two.slot.key, MatchKind::Exact, 9).await.unwrap();
    assert_eq!(exact, std::slice::from_ref(&two));
    let mut prefix = case.index.entries_with_key(&begin, MatchKind::Prefix, 9).await.unwrap();
    prefix.sort_by_key(|entry| entry.id);
    assert_eq!(prefix, [one, two]);
}

pub(crate) async fn entries_are_counted(case: &Case) {
    let long = "s".repeat(300);
    let scopes = ["main", "other", &format!("{long}1"), &format!("{long}2"), &format!("{long}2")];
    for (number, scope) in scopes.into_iter().enumerate() {
        entry(case, [scope, "v", &format!("k{number}")], 1, 2_000).await;
    }
    let count = async |scope: &str| {
        let (repository, scope) = (case.repository.clone(), scope.to_owned());
        case.index.count_entries(&Within::Scope { repository, scope }).await.unwrap()
    };
    assert_eq!(case.index.count_entries(&Within::Repository(case.repository.clone())).await.unwrap(), 5);
    assert_eq!((count("main").await, count("mai").await), (1, 0));
    assert_eq!((count(&format!("{long}2")).await, count(&long).await), (2, 0));
    assert!(case.index.count_entries(&Within::Tenant).await.unwrap() >= 5);
}

fn filter(repository: &Case) -> EntryFilter {
    EntryFilter { repository: Some(repository.repository.clone()), ..EntryFilter::default() }
}

/// With and without the repository, which decides whether what matches is gathered or scanned.
pub(crate) async fn a_list_is_what_the_filter_selects_in_order(case: &Case) {
    let mut made = entries(case).await;
    for (scope, key) in [("main", "even-fresh"), ("other", "fresh"), ("other", "fresher")] {
        made.push(fresh(case, [scope, "v", key], 3).await);
    }
    let text = |text: &str| Some(text.to_owned());
    let filters = [
        filter(case),
        EntryFilter { never_used: true, ..filter(case) },
        EntryFilter { never_used: true, scope: text("other"), ..filter(case) },
        EntryFilter { scope: text("main"), ..filter(case) },
        EntryFilter { version: text("w"), ..filter(case) },
        EntryFilter { key_prefix: text("eVEN-"), ..filter(case) },
        EntryFilter { key_prefix: text("odd"), scope: text("other"), ..filter(case) },
        EntryFilter { key: text("ODD-7"), ..filter(case) },
        EntryFilter { key: text("odd-8"), ..filter(case) },
        EntryFilter { key_prefix: text(""), version: text("v"), ..filter(case) },
    ];
    for asked in filters {
        let matches = |entry: &&Entry| {
            let (slot, key) = (&entry.slot, entry.slot.key.to_ascii_lowercase());
            (!asked.never_used || entry.last_used_ms == entry.created_ms)
                && asked.scope.as_ref().is_none_or(|scope| *scope == slot.scope)
                && asked.version.as_ref().is_none_or(|version| *version == slot.version)
                && asked.key.as_ref().is_none_or(|asked| asked.to_ascii_lowercase() == key)
                && asked.key_prefix.as_ref().is_none_or(|asked| key.starts_with(&asked.to_ascii_lowercase()))
        };
        let selected: Vec<Entry> = made.iter().filter(matches).cloned().collect();
        assert_eq!(count(&*case.index, &asked).await.unwrap(), selected.len() as u64, "{asked:?}");
        for order in ORDERS {
            for descending in [false, true] {
                let expected = sorted(selected.clone(), order, descending);
                for limit in [2, 100] {
                    let (mut found, mut after) = (Vec::new(), None);
                    loop {
                        let page =
                            browse(&*case.index, &asked, (order, descending), after, limit).await.unwrap();
                        assert!(page.entries.len() <= limit);
                        found.extend(page.entries);
                        match page.next {
                            Some(next) => after = Some(next),
                            None => break,
                        }
                    }
                    assert_eq!(found, expected, "{asked:?} {order:?} {descending} {limit}");
                }
            }
        }
    }
    let none = EntryFilter { repository: text("no such repository"), ..EntryFilter::default() };
    assert_eq!(count(&*case.index, &none).await.unwrap(), 0);
}

fn access_key(name: &str, digest: u8) -> AccessKey {
    AccessKey {
        name: name.to_owned(),
        role: AccessRole::Read,
        tenant: None,
        digest: [digest; ACCESS_KEY_DIGEST_BYTES],
        created_ms: 7,
    }
}

pub(crate) async fn an_access_key_is_kept_until_it_is_removed(case: &Case) {
    let (one, two) = (unique("key-a"), unique("key-b"));
    let own = async || {
        let mut keys = case.index.list_access_keys().await.unwrap();
        assert!(keys.is_sorted_by_key(|key| key.name.clone()));
        keys.retain(|key| key.name == one || key.name == two);
        keys
    };
    let of_tenant = AccessKey {
        role: AccessRole::Admin,
        tenant: Some(TenantName::parse("blue").unwrap()),
        ..access_key(&two, 0xff)
    };
    assert!(case.index.add_access_key(&access_key(&one, 1)).await.unwrap());
    assert!(case.index.add_access_key(&of_tenant).await.unwrap());
    assert!(!case.index.add_access_key(&access_key(&two, 3)).await.unwrap(), "the name is taken");
    assert_eq!(own().await, [access_key(&one, 1), of_tenant.clone()]);
    assert!(case.index.remove_access_key(&one).await.unwrap());
    assert!(!case.index.remove_access_key(&one).await.unwrap());
    assert_eq!(own().await, [of_tenant]);
    assert!(case.index.remove_access_key(&two).await.unwrap());
}

pub(crate) async fn access_keys_are_not_a_tenants(case: &Case) {
    let tenant = case.index.tenant(&TenantName::parse(&unique("t")).unwrap()).unwrap();
    let unsupported = |error| matches!(error, IndexError::Unsupported(_));
    assert!(tenant.add_access_key(&access_key("k", 1)).await.is_err_and(unsupported));
    assert!(tenant.remove_access_key("k").await.is_err_and(unsupported));
    assert!(tenant.list_access_keys().await.is_err_and(unsupported));
}

pub(crate) async fn lists_and_counts_are_each_tenants_own(case: &Case) {
    let tenant = |_| case.index.tenant(&TenantName::parse(&unique("t")).unwrap()).unwrap();
    let [one, two] = [(), ()].map(tenant).map(|index| Case { index, repository: case.repository.clone() });
    let (first, second) = (one.entry("k").await, two.entry("k").await);
    for (case, own, other) in [(&one, &first, &second), (&two, &second, &first)] {
        for order in ORDERS {
            for descending in [false, true] {
                let from_start = case.index.scan_entries(order, descending, None, 9).await.unwrap();
                assert_eq!(from_start, std::slice::from_ref(own));
                let after = Some(order.place(other)).filter(|place| (place.1 < own.id) != descending);
                let behind = case.index.scan_entries(order, descending, after, 9).await.unwrap();
                assert_eq!(behind, std::slice::from_ref(own));
            }
        }
        let keys = case.index.entries_with_key("k", MatchKind::Prefix, 9).await.unwrap();
        assert_eq!(keys, std::slice::from_ref(own));
        assert_eq!(case.index.entries_with_key("k", MatchKind::Exact, 9).await.unwrap(), keys);
        assert_eq!(case.index.count_entries(&Within::Tenant).await.unwrap(), 1);
        assert_eq!(case.index.count_entries(&Within::Repository(case.repository.clone())).await.unwrap(), 1);
    }
}

/// Where the database is a server, what a call took is given back, and the connection is kept.
pub(crate) async fn connections_are_known_where_there_are_any(case: &Case) {
    case.index.count_entries(&Within::Tenant).await.unwrap();
    let Some(connections) = case.index.connections() else { return };
    assert!(connections.open >= 1, "{connections:?}");
    assert_eq!(connections.waiting, 0);
}
