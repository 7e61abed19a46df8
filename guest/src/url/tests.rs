#![expect(clippy::unwrap_used, reason = "tests")]

use super::{UrlError, check_download, check_upload, make_download, make_upload};
use crate::fake::{FakeHost, NOW_MS};
use crate::writer::Writer;

/// A writer with this number.
fn writer(tag: u64) -> Writer {
    Writer::from_tag(tag).unwrap()
}

fn made() -> (FakeHost, String, String) {
    let host = FakeHost::new();
    let url = make_upload(&host, "http://cache.example", "u1", writer(77), NOW_MS + 5000);
    let query = url.split_once('?').unwrap().1.to_owned();
    (host, url, query)
}

fn checked(host: &FakeHost, query: &str) -> Result<Writer, UrlError> {
    check_upload(host, "u1", Some(query), NOW_MS)
}

#[test]
fn a_url_has_three_path_segments_and_a_query_and_no_double_slash() {
    let (host, url, _) = made();
    assert!(
        url.starts_with("http://cache.example/devstoreaccount1/upload/u1?w=77&se=1800000005&sig="),
        "{url}"
    );
    let slashed = make_upload(&host, "http://cache.example/", "u1", writer(77), NOW_MS + 5000);
    assert_eq!(slashed, url);
    let download = make_download(&host, "http://h:1", "7", 1000);
    assert!(download.starts_with("http://h:1/devstoreaccount1/download/7?se=1&sig="), "{download}");
}

#[test]
fn order_encoding_and_other_parameters_do_not_matter() {
    let (host, _, query) = made();
    let (w, rest) = query.split_once('&').unwrap();
    let (se, sig) = rest.split_once('&').unwrap();
    let encoded: String = sig[4..].bytes().map(|byte| format!("%{byte:02x}")).collect();
    for query in [
        query.clone(),
        format!("{sig}&{se}&{w}"),
        format!("comp=block&blockid=a%2Fb&{sig}&timeout=30&{se}&{w}"),
        format!("{query}&comp=blocklist&api-version=2024-11-04"),
        format!("{query}&sig=zz&se=1&w=1"),
        format!("%77={}&%73e={}&sig={encoded}", &w[2..], &se[3..]),
    ] {
        assert_eq!(checked(&host, &query), Ok(writer(77)), "{query}");
    }
}

#[test]
fn a_url_is_valid_for_its_purpose_name_and_time_only() {
    let (host, _, query) = made();
    let query = query.as_str();
    let check = |name, now_ms| check_upload(&host, name, Some(query), now_ms);
    assert_eq!(check("u1", NOW_MS + 5000), Ok(writer(77)));
    assert_eq!(check("u1", NOW_MS + 5001), Err(UrlError::Expired));
    assert_eq!(check("u2", NOW_MS), Err(UrlError::Forged));
    assert_eq!(check_download(&host, "u1", Some(query), NOW_MS), Err(UrlError::Forged));
    let download = make_download(&host, "http://h", "u1", NOW_MS + 5000);
    let query = format!("w=77&{}", download.split_once('?').unwrap().1);
    assert_eq!(check_download(&host, "u1", Some(&query), NOW_MS), Ok(()));
    assert_eq!(checked(&host, &query), Err(UrlError::Forged));
}

#[test]
fn a_changed_or_missing_part_is_rejected() {
    let (host, _, query) = made();
    let sig = query.split_once("&se=1800000005&").unwrap().1;
    for (query, refused) in [
        (format!("w=77&{sig}"), UrlError::Unsigned),
        ("w=77&se=1800000005".to_owned(), UrlError::Unsigned),
        (format!("w=77&se=&{sig}"), UrlError::Unsigned),
        (format!("w=77&se=x&{sig}"), UrlError::Unsigned),
        (format!("w=77&se=99999999999999999999999&{sig}"), UrlError::Unsigned),
        (format!("w=77&se=%ff&{sig}"), UrlError::Unsigned),
        (format!("w=77&se=18446744073709551615&{sig}"), UrlError::Forged),
        (format!("w=77&se=1800000006&{sig}"), UrlError::Forged),
        (format!("{query}0"), UrlError::Forged),
        ("w=77&se=1800000005&sig=".to_owned(), UrlError::Forged),
        // Fault 1: a writer cannot forge another one.
        (format!("se=1800000005&{sig}"), UrlError::Unsigned),
        (format!("w=&se=1800000005&{sig}"), UrlError::Unsigned),
        (format!("w=x&se=1800000005&{sig}"), UrlError::Unsigned),
        (format!("w=76&se=1800000005&{sig}"), UrlError::Forged),
        (String::new(), UrlError::Unsigned),
    ] {
        assert_eq!(checked(&host, &query), Err(refused), "{query}");
    }
    assert_eq!(check_upload(&host, "u1", None, NOW_MS), Err(UrlError::Unsigned));
}

#[test]
fn the_largest_expiry_does_not_overflow() {
    let host = FakeHost::new();
    let url = make_upload(&host, "http://h", "u1", writer(0), u64::MAX);
    let query = url.split_once('?').unwrap().1;
    assert_eq!(check_upload(&host, "u1", Some(query), NOW_MS), Ok(writer(0)));
}
