#![expect(clippy::unwrap_used, reason = "tests")]

use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, NOW_MS};
use crate::ports::{IndexError, Level, StorageError};

/// A host with one entry of this content, its id, and a URL for it.
fn stored(content: &str) -> (FakeHost, u64, String) {
    let host = FakeHost::new();
    host.allow("t", &["main=r"]);
    let id = host.add_entry("main", "v", "k", content.as_bytes());
    let found = host.send(FakeRequest::call("GetCacheEntryDownloadURL", "t", r#"{"key":"k","version":"v"}"#));
    host.take_calls();
    (host, id, found.member("signed_download_url"))
}

fn get(host: &FakeHost, url: &str, headers: &[(&str, &str)]) -> FakeResponse {
    let request = FakeRequest::new("GET", url);
    host.send(headers.iter().fold(request, |request, (name, value)| request.header(name, value)))
}

#[test]
fn a_download_has_everything_that_a_client_needs() {
    let (host, _, url) = stored("0123456789");
    let answer = get(&host, &url, &[]);
    assert_eq!((answer.status, &*answer.text()), (200, "0123456789"));
    for (name, value) in [
        ("content-length", "10"),
        ("content-type", "application/octet-stream"),
        ("accept-ranges", "bytes"),
        // Fault 27: a proxy must not compress.
        ("cache-control", "no-transform"),
        ("last-modified", "Fri, 15 Jan 2027 07:59:59 GMT"),
        ("x-ms-blob-type", "BlockBlob"),
        ("x-ms-version", "2021-08-06"),
        ("x-ms-request-id", "00000000-0000-4000-8000-000000000002"),
        ("content-encoding", ""),
        ("content-range", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let tag = answer.header("etag");
    assert!(tag.starts_with("\"0x") && tag.ends_with('"') && tag.len() == 20, "{tag}");
    assert_eq!(get(&host, &url, &[]).header("etag"), tag);
    assert_eq!(host.take_calls(), ["index.get-entry", "storage.open"].repeat(2));
}

#[test]
fn a_head_has_the_same_header_fields_and_no_body() {
    let (host, _, url) = stored("0123456789");
    let without_id = |mut answer: FakeResponse| {
        answer.headers.retain(|(name, _)| name != "x-ms-request-id");
        answer.headers.sort();
        (answer.status, answer.headers)
    };
    let head = host.send(FakeRequest::new("HEAD", &url).header("range", "bytes=0-0"));
    assert!(head.body.is_empty());
    assert_eq!(without_id(head), without_id(get(&host, &url, &[])));
    assert_eq!(host.take_calls(), ["index.get-entry", "storage.stat", "index.get-entry", "storage.open"]);
}

#[test]
fn ranges_are_served_and_the_azure_header_wins() {
    let (host, _, url) = stored("0123456789");
    for (headers, body, range) in [
        (&[("range", "bytes=2-4")][..], "234", "bytes 2-4/10"),
        (&[("range", "bytes=8-")], "89", "bytes 8-9/10"),
        (&[("range", "bytes=-3")], "789", "bytes 7-9/10"),
        (&[("x-ms-range", "bytes=5-")], "56789", "bytes 5-9/10"),
        (&[("range", "bytes=0-0"), ("x-ms-range", "bytes=1-1")], "1", "bytes 1-1/10"),
        (&[("range", "bytes=0-99")], "0123456789", "bytes 0-9/10"),
    ] {
        let answer = get(&host, &url, headers);
        assert_eq!((answer.status, &*answer.text()), (206, body), "{headers:?}");
        assert_eq!(answer.header("content-range"), range);
        assert_eq!(answer.header("content-length"), body.len().to_string());
    }
    for header in ["bytes=0-1,3-4", "bytes=4-2", "items=0-1", "nonsense"] {
        assert_eq!(get(&host, &url, &[("range", header)]).status, 200, "{header}");
    }
}

#[test]
fn a_range_after_the_end_is_a_416_that_names_the_size() {
    for (content, total) in [("0123456789", "bytes */10"), ("", "bytes */0")] {
        let (host, _, url) = stored(content);
        let answer = get(&host, &url, &[("range", "bytes=10-")]);
        assert_eq!((answer.status, answer.header("x-ms-error-code")), (416, "InvalidRange"));
        assert_eq!(answer.header("content-range"), total);
        assert_eq!(answer.header("content-type"), "application/xml");
    }
}

#[test]
fn an_empty_blob_is_a_200_of_length_0() {
    let (host, _, url) = stored("");
    let answer = get(&host, &url, &[]);
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, "0", 0));
    assert_eq!(get(&host, &url, &[("range", "bytes=0-0")]).status, 416);
}

#[test]
fn conditions_are_evaluated() {
    let (host, _, url) = stored("0123456789");
    let tag = get(&host, &url, &[]).header("etag").to_owned();
    let weak = format!("W/{tag}");
    for (name, value, status) in [
        ("if-match", &*tag, 200),
        ("if-match", "*", 200),
        ("if-match", "\"x\"", 412),
        ("if-match", &*weak, 412),
        ("if-none-match", "\"x\"", 200),
        ("if-none-match", &*tag, 304),
        ("if-none-match", &*weak, 304),
        ("if-none-match", "*", 304),
    ] {
        assert_eq!(get(&host, &url, &[(name, value)]).status, status, "{name}: {value}");
        let head = host.send(FakeRequest::new("HEAD", &url).header(name, value));
        assert_eq!(head.status, status, "{name}: {value}");
    }
    let unchanged = get(&host, &url, &[("if-none-match", &tag)]);
    assert_eq!((unchanged.header("etag"), unchanged.body.len()), (&*tag, 0));
    assert_eq!(get(&host, &url, &[("if-match", "\"x\""), ("range", "bytes=99-")]).status, 412);
    for (value, status) in
        [(&*tag, 206), ("Fri, 15 Jan 2027 07:59:59 GMT", 206), (&*weak, 200), ("\"x\"", 200)]
    {
        let answer = get(&host, &url, &[("range", "bytes=1-2"), ("if-range", value)]);
        assert_eq!(answer.status, status, "{value}");
    }
}

#[test]
fn each_entry_has_its_own_tag() {
    let (host, _, url) = stored("same");
    let other = host.add_entry("main", "v", "k2", b"same");
    let found =
        host.send(FakeRequest::call("GetCacheEntryDownloadURL", "t", r#"{"key":"k2","version":"v"}"#));
    let second = found.member("signed_download_url");
    assert!(second.contains(&format!("/{other}?")));
    assert_ne!(get(&host, &url, &[]).header("etag"), get(&host, &second, &[]).header("etag"));
}

#[test]
fn a_bad_url_is_a_403_without_host_calls() {
    let (host, id, url) = stored("x");
    let (_, query) = url.split_once('?').unwrap();
    for target in [
        format!("/devstoreaccount1/download/{id}"),
        format!("/devstoreaccount1/download/{}?{query}", id + 1),
        format!("/devstoreaccount1/download/0{id}?{query}"),
        format!("/devstoreaccount1/download/x?{query}"),
        format!("/devstoreaccount1/download/?{query}"),
        format!("/devstoreaccount1/download/{id}?{query}0"),
        format!("/devstoreaccount1/upload/{id}?{query}"),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let answer = host.send(FakeRequest::new(method, &target));
            assert_eq!(
                (answer.status, answer.header("x-ms-error-code")),
                (403, "AuthenticationFailed"),
                "{target}"
            );
        }
    }
    assert_eq!(host.send(FakeRequest::new("GET", &url).at(NOW_MS + 3_600_001)).status, 403);
    assert!(host.take_calls().is_empty());
    assert_eq!(host.send(FakeRequest::new("POST", &url)).status, 405);
}

#[test]
fn a_stale_entry_is_a_404_with_one_warning() {
    for keep_bytes in [None, Some(2)] {
        for method in ["GET", "HEAD"] {
            let (host, id, url) = stored("0123456789");
            host.damage(id, keep_bytes);
            let answer = host.send(FakeRequest::new(method, &url));
            assert_eq!((answer.status, answer.header("x-ms-error-code")), (404, "BlobNotFound"));
            assert_eq!(answer.header("content-type"), "application/xml");
            let log = host.take_log();
            assert_eq!((log.len(), log[0].level), (1, Level::Warn));
            assert_eq!(host.entries().len(), 1, "a read deletes nothing");
        }
    }
}

#[test]
fn a_deleted_entry_is_a_404() {
    use crate::ports::Host;
    let (host, id, url) = stored("x");
    crate::fake::block_on(host.delete_entry(id, crate::ports::Cause::Manual, 0)).unwrap();
    assert_eq!(get(&host, &url, &[]).status, 404);
    assert!(host.take_log().is_empty());
}

#[test]
fn transient_failures_are_a_503_and_bugs_a_500() {
    for (call, fault, status, retry_after) in [
        ("index.get-entry", Fault::Index(IndexError::Unavailable("x".into())), 503, "1"),
        ("storage.open", Fault::Storage(StorageError::Unavailable("x".into())), 503, "1"),
        ("storage.open", Fault::Storage(StorageError::Invalid("x".into())), 500, "121"),
    ] {
        let (host, _, url) = stored("x");
        host.fail(call, fault);
        let answer = get(&host, &url, &[]);
        assert_eq!((answer.status, answer.header("retry-after")), (status, retry_after), "{call}");
        assert_eq!(host.take_log().len(), 1);
    }
}
