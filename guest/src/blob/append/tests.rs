use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault};
use crate::ports::{IndexError, StorageError};

fn created() -> (FakeHost, String) {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    let reserved = host.send(FakeRequest::call("CreateCacheEntry", "t", r#"{"key":"k","version":"v"}"#));
    let url = reserved.member("signed_upload_url");
    assert_eq!(create(&host, &url).status, 201);
    (host, url)
}

fn put(host: &FakeHost, url: &str, more: &str, position: Option<&str>, body: &str) -> FakeResponse {
    let request = FakeRequest::new("PUT", &format!("{url}{more}")).header("x-ms-blob-type", "AppendBlob");
    let answer = host.send(match position {
        Some(position) => request.header("x-ms-blob-condition-appendpos", position).body(body),
        None => request.body(body),
    });
    assert!(!answer.header("x-ms-request-id").is_empty() && !answer.header("x-ms-version").is_empty());
    answer
}

fn create(host: &FakeHost, url: &str) -> FakeResponse {
    put(host, url, "", None, "")
}

fn append(host: &FakeHost, url: &str, body: &str) -> FakeResponse {
    put(host, url, "&comp=appendblock", None, body)
}

fn seal(host: &FakeHost, url: &str) -> FakeResponse {
    put(host, url, "&comp=seal", None, "")
}

fn finalize(host: &FakeHost, size: usize) -> FakeResponse {
    let message = format!(r#"{{"key":"k","version":"v","size_bytes":{size}}}"#);
    host.send(FakeRequest::call("FinalizeCacheEntryUpload", "t", &message))
}

/// The content of the only entry.
fn content(host: &FakeHost) -> Option<String> {
    let entries = host.entries();
    assert!(host.objects().len() <= 1);
    let object = &entries.first()?.object;
    host.objects().get(object).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[test]
fn sealed_appends_are_the_content() {
    let (host, url) = created();
    for (at, chunk) in [(0, "one"), (3, "two"), (6, "three")] {
        let answer = append(&host, &url, chunk);
        assert_eq!((answer.status, &*answer.text()), (201, ""));
        assert_eq!(answer.header("x-ms-blob-append-offset"), at.to_string());
    }
    let sealed = seal(&host, &url);
    assert_eq!((sealed.status, sealed.header("x-ms-blob-sealed")), (200, "true"));
    assert_eq!(seal(&host, &url).status, 200, "a repeat");
    assert_eq!(finalize(&host, 11).status, 200);
    assert_eq!(content(&host).as_deref(), Some("onetwothree"));
}

#[test]
fn sealing_is_optional() {
    let (host, url) = created();
    append(&host, &url, "one");
    append(&host, &url, "two");
    assert_eq!(finalize(&host, 6).status, 200);
    assert_eq!(finalize(&host, 6).status, 200, "a repeat");
    assert_eq!(content(&host).as_deref(), Some("onetwo"));
}

#[test]
fn an_empty_sealed_blob_is_an_entry() {
    let (host, url) = created();
    assert_eq!(finalize(&host, 0).status, 400);
    assert_eq!((seal(&host, &url).status, finalize(&host, 0).status), (200, 200));
    assert_eq!(content(&host).as_deref(), Some(""));
}

#[test]
fn a_sealed_blob_takes_no_appends_even_if_created_again() {
    let (host, url) = created();
    append(&host, &url, "old");
    assert_eq!(seal(&host, &url).status, 200);
    for _ in 0..2 {
        let refused = append(&host, &url, "new");
        assert_eq!((refused.status, refused.header("x-ms-error-code")), (400, "InvalidInput"));
        assert_eq!(create(&host, &url).status, 201);
    }
    assert_eq!(finalize(&host, 3).status, 200);
    assert_eq!(content(&host).as_deref(), Some("old"));
}

#[test]
fn a_repeated_append_without_a_position_fails_the_finalize() {
    let (host, url) = created();
    append(&host, &url, "one");
    append(&host, &url, "one");
    assert_eq!(seal(&host, &url).status, 200);
    assert_eq!(finalize(&host, 3).status, 400);
    assert!(host.entries().is_empty() && host.objects().is_empty() && host.uploads().is_empty());
}

#[test]
fn an_append_position_is_checked() {
    let (host, url) = created();
    let at = |position, body| put(&host, &url, "&comp=appendblock", Some(position), body);
    assert_eq!(at("0", "one").status, 201);
    for position in ["0", "2", "4", "x", "-1"] {
        let refused = at(position, "one");
        assert_eq!(
            (refused.status, refused.header("x-ms-error-code")),
            (412, "AppendPositionConditionNotMet"),
            "{position}"
        );
    }
    assert_eq!((at("3", "two").status, finalize(&host, 6).status), (201, 200));
    assert_eq!(content(&host).as_deref(), Some("onetwo"));
}

#[test]
fn concurrent_appends_never_mix() {
    let (host, url) = created();
    let second = url.clone();
    host.before("storage.put-block", move |host| assert_eq!(append(host, &second, "two").status, 201));
    assert_eq!(append(&host, &url, "one").status, 201);
    for answer in [append(&host, &url, "three"), seal(&host, &url)] {
        assert_eq!((answer.status, answer.header("x-ms-error-code")), (400, "InvalidBlockList"));
    }
    assert_eq!(finalize(&host, 6).status, 400);
    assert!(host.entries().is_empty() && host.objects().is_empty() && host.uploads().is_empty());
}

#[test]
fn a_body_that_ends_early_is_not_appended() {
    let (host, url) = created();
    append(&host, &url, "one");
    let cut = FakeRequest::new("PUT", &format!("{url}&comp=appendblock")).body("bad").cut_short();
    assert_eq!(host.send(cut).status, 400);
    assert_eq!(append(&host, &url, "two").header("x-ms-blob-append-offset"), "3");
    assert_eq!(finalize(&host, 6).status, 200);
    assert_eq!(content(&host).as_deref(), Some("onetwo"));
}

#[test]
fn creating_again_starts_over() {
    let (host, url) = created();
    append(&host, &url, "first try");
    assert_eq!(create(&host, &url).status, 201);
    append(&host, &url, "second");
    assert_eq!(finalize(&host, 6).status, 200);
    assert_eq!(content(&host).as_deref(), Some("second"));
}

#[test]
fn it_is_created_empty() {
    let (host, url) = created();
    let without_length = FakeRequest::new("PUT", &url).header("x-ms-blob-type", "AppendBlob");
    assert_eq!(host.send(without_length).status, 201);
    let refused = put(&host, &url, "", None, "content");
    assert_eq!((refused.status, refused.header("x-ms-error-code")), (400, "InvalidHeaderValue"));
}

#[test]
fn a_sealed_blob_takes_no_appends() {
    let (host, url) = created();
    append(&host, &url, "one");
    seal(&host, &url);
    assert_eq!(append(&host, &url, "two").status, 400);
    assert_eq!(finalize(&host, 3).status, 200);
    for answer in [append(&host, &url, "two"), seal(&host, &url), create(&host, &url)] {
        assert_eq!((answer.status, answer.header("x-ms-error-code")), (404, "BlobNotFound"));
    }
}

#[test]
fn the_size_limit_is_enforced() {
    let (host, url) = created();
    host.configure(|settings| settings.max_entry_bytes = Some(5));
    assert_eq!(append(&host, &url, "sixsix").status, 413);
    assert_eq!(append(&host, &url, "four").status, 201);
    assert_eq!(append(&host, &url, "22").status, 413);
    assert_eq!(append(&host, &url, "5").status, 201);
    assert_eq!(finalize(&host, 5).status, 200);
}

#[test]
fn failures_are_as_for_blocks() {
    let (host, url) = created();
    for (error, status, retry_after) in [
        (StorageError::NoSpace, 507, "121"),
        (StorageError::TooLarge, 413, ""),
        (StorageError::Unavailable("x".into()), 503, "1"),
        (StorageError::NotFound, 404, ""),
    ] {
        for call in ["storage.blocks", "storage.put-block"] {
            host.fail(call, Fault::Storage(error.clone()));
            let answer = append(&host, &url, "x");
            assert_eq!((answer.status, answer.header("retry-after")), (status, retry_after), "{call}");
            host.heal();
        }
        host.fail("storage.commit", Fault::Storage(error));
        assert_eq!(seal(&host, &url).status, status);
        host.heal();
    }
    host.fail("index.get-upload", Fault::Index(IndexError::Unavailable("x".into())));
    assert_eq!(
        [create(&host, &url).status, append(&host, &url, "x").status, seal(&host, &url).status],
        [503; 3]
    );
}
