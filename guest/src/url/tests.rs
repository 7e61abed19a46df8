#![allow(clippy::unwrap_used)]

use super::{Purpose, Refused, check, make};
use crate::fake::{FakeHost, NOW_MS};

fn made() -> (FakeHost, String, String) {
    let host = FakeHost::new();
    let url = make(&host, "http://cache.example", Purpose::Upload, "u1", NOW_MS + 5000);
    let query = url.split_once('?').unwrap().1.to_owned();
    (host, url, query)
}

fn verdict(host: &FakeHost, query: &str) -> Result<(), Refused> {
    check(host, Purpose::Upload, "u1", Some(query), NOW_MS)
}

#[test]
fn a_url_has_three_path_segments_and_a_query_and_no_double_slash() {
    let (host, url, _) = made();
    assert!(url.starts_with("http://cache.example/devstoreaccount1/upload/u1?se=1800000005&sig="), "{url}");
    let slashed = make(&host, "http://cache.example/", Purpose::Upload, "u1", NOW_MS + 5000);
    assert_eq!(slashed, url);
    let download = make(&host, "http://h:1", Purpose::Download, "7", 1000);
    assert!(download.starts_with("http://h:1/devstoreaccount1/download/7?se=1&sig="), "{download}");
}

#[test]
fn order_encoding_and_further_parameters_do_not_matter() {
    let (host, _, query) = made();
    let (se, sig) = query.split_once('&').unwrap();
    let encoded: String = sig[4..].bytes().map(|byte| format!("%{byte:02x}")).collect();
    for query in [
        query.clone(),
        format!("{sig}&{se}"),
        format!("comp=block&blockid=a%2Fb&{sig}&timeout=30&{se}"),
        format!("{query}&comp=blocklist&api-version=2024-11-04"),
        format!("{query}&sig=zz&se=1"),
        format!("%73e={}&sig={encoded}", &se[3..]),
    ] {
        assert_eq!(verdict(&host, &query), Ok(()), "{query}");
    }
}

#[test]
fn a_url_is_good_for_its_own_purpose_name_and_time_only() {
    let (host, _, query) = made();
    let query = query.as_str();
    let check = |purpose, name, now_ms| check(&host, purpose, name, Some(query), now_ms);
    assert_eq!(check(Purpose::Upload, "u1", NOW_MS + 5000), Ok(()));
    assert_eq!(check(Purpose::Upload, "u1", NOW_MS + 5001), Err(Refused::Expired));
    assert_eq!(check(Purpose::Upload, "u2", NOW_MS), Err(Refused::Forged));
    assert_eq!(check(Purpose::Download, "u1", NOW_MS), Err(Refused::Forged));
}

#[test]
fn a_changed_or_missing_part_is_refused() {
    let (host, _, query) = made();
    let sig = query.split_once('&').unwrap().1;
    for (query, refused) in [
        (sig.to_owned(), Refused::Unsigned),
        ("se=1800000005".to_owned(), Refused::Unsigned),
        (format!("se=&{sig}"), Refused::Unsigned),
        (format!("se=x&{sig}"), Refused::Unsigned),
        (format!("se=99999999999999999999999&{sig}"), Refused::Unsigned),
        (format!("se=%ff&{sig}"), Refused::Unsigned),
        (format!("se=18446744073709551615&{sig}"), Refused::Forged),
        (format!("se=1800000006&{sig}"), Refused::Forged),
        (format!("{query}0"), Refused::Forged),
        ("se=1800000005&sig=".to_owned(), Refused::Forged),
        (String::new(), Refused::Unsigned),
    ] {
        assert_eq!(verdict(&host, &query), Err(refused), "{query}");
    }
    assert_eq!(check(&host, Purpose::Upload, "u1", None, NOW_MS), Err(Refused::Unsigned));
}

#[test]
fn a_url_without_end_does_not_overflow() {
    let host = FakeHost::new();
    let url = make(&host, "http://h", Purpose::Upload, "u1", u64::MAX);
    let query = url.split_once('?').unwrap().1;
    assert_eq!(check(&host, Purpose::Upload, "u1", Some(query), NOW_MS), Ok(()));
}
