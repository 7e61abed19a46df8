#![expect(clippy::unwrap_used, reason = "tests")]

use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, NOW_MS};
use crate::ports::{HttpError, IndexError, StorageError};

fn reserved() -> (FakeHost, String) {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    let created = host.send(FakeRequest::call("CreateCacheEntry", "t", r#"{"key":"k","version":"v"}"#));
    (host, created.member("signed_upload_url"))
}

fn put(host: &FakeHost, url: &str, more: &str, body: &str) -> FakeResponse {
    host.send(FakeRequest::new("PUT", &format!("{url}{more}")).body(body))
}

fn list(ids: &[&str]) -> String {
    let ids: String = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
    format!("<?xml version=\"1.0\"?><BlockList>{ids}</BlockList>")
}

/// The content of the upload's attachment.
fn content(host: &FakeHost) -> Option<String> {
    let attachment = host.uploads().first()?.attachment.clone()?;
    host.objects().get(&attachment.object).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[track_caller]
fn assert_refused(answer: &FakeResponse, status: u16, code: &str) {
    assert_eq!((answer.status, answer.header("x-ms-error-code")), (status, code), "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/xml");
    let start = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>");
    assert!(
        answer.text().starts_with(&start) && answer.text().ends_with("</Message></Error>"),
        "{}",
        answer.text()
    );
    assert!(!answer.header("x-ms-request-id").is_empty() && !answer.header("x-ms-version").is_empty());
}

#[track_caller]
fn assert_taken(answer: &FakeResponse) {
    assert_eq!((answer.status, &*answer.text()), (201, ""));
    assert!(!answer.header("x-ms-request-id").is_empty() && !answer.header("x-ms-version").is_empty());
}

#[test]
fn put_blob_is_the_whole_content_and_replaces_everything() {
    let (host, url) = reserved();
    assert_taken(&put(&host, &url, "", "hello"));
    assert_eq!(content(&host).as_deref(), Some("hello"));
    assert_taken(&host.send(FakeRequest::new("PUT", &url).header("x-ms-blob-type", "BlockBlob").body("")));
    assert_eq!((content(&host).as_deref(), host.objects().len()), (Some(""), 1));
}

#[test]
fn blocks_are_assembled_in_the_order_of_the_list_and_a_repeated_one_replaces() {
    let (host, url) = reserved();
    for (id, body) in [("Yg%3D%3D", "b"), ("a/+", "lost"), ("a%2F%2B", "a"), ("unused", "x")] {
        assert_taken(&put(&host, &url, &format!("&comp=block&timeout=30&blockid={id}"), body));
    }
    assert_taken(&put(&host, &url, "&comp=blocklist", &list(&["a/+", "Yg==", "a/+"])));
    assert_eq!(content(&host).as_deref(), Some("aba"));
    assert_taken(&put(&host, &url, "&comp=blocklist", &list(&["a/+", "Yg==", "a/+"])));
    assert_eq!((content(&host).as_deref(), host.objects().len()), (Some("aba"), 1));
    assert_refused(&put(&host, &url, "&comp=blocklist", &list(&["Yg=="])), 400, "InvalidBlockList");
    assert_refused(&put(&host, &url, "&comp=block&blockid=c", "c"), 400, "InvalidInput");
}

#[test]
fn a_body_that_ends_early_changes_nothing() {
    let (host, url) = reserved();
    put(&host, &url, "&comp=block&blockid=a", "good");
    for more in ["&comp=block&blockid=a", ""] {
        let cut = FakeRequest::new("PUT", &format!("{url}{more}")).body("bad").cut_short();
        assert_refused(&host.send(cut), 400, "InvalidInput");
    }
    let cut = FakeRequest::new("PUT", &format!("{url}&comp=blocklist")).body(list(&[])).cut_short();
    assert_refused(&host.send(cut), 400, "InvalidInput");
    assert_eq!((content(&host), host.objects().len()), (None, 0));
    put(&host, &url, "&comp=blocklist", &list(&["a"]));
    assert_eq!(content(&host).as_deref(), Some("good"));
}

#[test]
fn a_bad_url_is_a_403_whatever_else_is_wrong() {
    let (host, url) = reserved();
    let name = &host.uploads()[0].name;
    let path = format!("/devstoreaccount1/upload/{name}");
    let (_, sig) = url.split_once("&sig=").unwrap();
    for target in [
        path.clone(),
        format!("{path}?se=1800003600"),
        format!("{path}?se=1800003601&sig={sig}"),
        format!("{path}?se=1800003600&sig=0{sig}"),
        format!("{path}?se=1800003600&sig={sig}").replace("upload/", "upload/x"),
        format!("{path}?comp=nonsense"),
        format!("{path}/?se=1800003600&sig={sig}"),
        "/devstoreaccount1/upload/".to_owned(),
        format!("/devstoreaccount1/download/{name}?se=1800003600&sig={sig}"),
    ] {
        for method in ["PUT", "GET", "DELETE"] {
            assert_refused(
                &host.send(FakeRequest::new(method, &target).body("x")),
                403,
                "AuthenticationFailed",
            );
        }
    }
    let late = FakeRequest::new("PUT", &url).body("x").at(NOW_MS + 3_600_001);
    assert_refused(&host.send(late), 403, "AuthenticationFailed");
    assert!(!host.take_calls().contains(&"index.get-upload"));
}

#[test]
fn a_finished_upload_is_a_404() {
    let (host, url) = reserved();
    put(&host, &url, "", "hello");
    let message = r#"{"key":"k","version":"v","size_bytes":5}"#;
    assert_eq!(host.send(FakeRequest::call("FinalizeCacheEntryUpload", "t", message)).status, 200);
    assert_refused(&put(&host, &url, "", "x"), 404, "BlobNotFound");
    assert_refused(&put(&host, &url, "&comp=block&blockid=a", "x"), 404, "BlobNotFound");
    assert_refused(&put(&host, &url, "&comp=blocklist", &list(&[])), 404, "BlobNotFound");
    assert_eq!(host.objects().len(), 1);
}

#[test]
fn unsupported_operations_have_errors() {
    let (host, url) = reserved();
    let kind = |kind| host.send(FakeRequest::new("PUT", &url).header("x-ms-blob-type", kind).body(""));
    assert_refused(&kind("PageBlob"), 400, "InvalidHeaderValue");
    for comp in ["lease", "properties", "", "%ff"] {
        assert_refused(&put(&host, &url, &format!("&comp={comp}"), "x"), 400, "InvalidQueryParameterValue");
    }
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        assert_refused(&host.send(FakeRequest::new(method, &url)), 405, "UnsupportedHttpVerb");
    }
}

#[test]
fn block_ids_have_1_to_256_bytes() {
    let (host, url) = reserved();
    let block = |id: &str| put(&host, &url, &format!("&comp=block{id}"), "x");
    assert_refused(&block(""), 400, "MissingRequiredQueryParameter");
    assert_refused(&block("&blockid="), 400, "InvalidQueryParameterValue");
    assert_refused(&block("&blockid=%ff"), 400, "InvalidQueryParameterValue");
    assert_refused(&block(&format!("&blockid={}", "a".repeat(257))), 400, "InvalidQueryParameterValue");
    assert_taken(&block(&format!("&blockid={}", "a".repeat(256))));
    assert_eq!(host.staged(&host.uploads()[0].name), 1);
}

#[test]
fn a_bad_list_commits_nothing() {
    let (host, url) = reserved();
    put(&host, &url, "&comp=block&blockid=a", "x");
    let many: Vec<_> = vec!["a"; 50_001];
    for (body, code) in [
        (String::new(), "InvalidXmlDocument"),
        ("<BlockList>".to_owned(), "InvalidXmlDocument"),
        (list(&["b"]), "InvalidBlockList"),
        (list(&["a", "b"]), "InvalidBlockList"),
        (list(&[""]), "InvalidBlockList"),
        (list(&many), "BlockListTooLong"),
    ] {
        assert_refused(&put(&host, &url, "&comp=blocklist", &body), 400, code);
    }
    let huge = " ".repeat(8 * 1024 * 1024 + 1);
    assert_refused(&put(&host, &url, "&comp=blocklist", &huge), 413, "RequestBodyTooLarge");
    assert_eq!((content(&host), host.objects().len()), (None, 0));
    assert_taken(&put(&host, &url, "&comp=blocklist", &list(&["a"])));
}

#[test]
fn content_over_the_limit_is_rejected_early_if_announced_and_late_otherwise() {
    let (host, url) = reserved();
    host.configure(|settings| settings.max_entry_bytes = Some(3));
    assert_refused(&put(&host, &url, "", "four"), 413, "RequestBodyTooLarge");
    assert_refused(&put(&host, &url, "&comp=block&blockid=a", "four"), 413, "RequestBodyTooLarge");
    assert!(!host.take_calls().iter().any(|call| call.starts_with("storage.")));
    assert_taken(&put(&host, &url, "", "333"));
    let name = host.uploads()[0].name.clone();
    assert_taken(&put(&host, &url, "&comp=block&blockid=a", "22"));
    assert_refused(&put(&host, &url, "&comp=blocklist", &list(&["a", "a"])), 413, "RequestBodyTooLarge");
    assert_eq!((host.uploads().len(), host.staged(&name)), (0, 0));
}

#[test]
fn content_over_the_limit_is_rejected_without_an_announced_length() {
    let (host, url) = reserved();
    host.configure(|settings| settings.max_entry_bytes = Some(3));
    for more in ["", "&comp=block&blockid=a", "&comp=appendblock"] {
        let answer = host.send(FakeRequest::new("PUT", &format!("{url}{more}")).chunked("four"));
        assert_refused(&answer, 413, "RequestBodyTooLarge");
    }
    assert_eq!((host.staged(&host.uploads()[0].name), host.objects().len()), (0, 0));
}

#[test]
fn storage_errors_become_statuses_that_clients_handle() {
    for (error, status, code, retry_after) in [
        (StorageError::NotFound, 404, "BlobNotFound", ""),
        (StorageError::NoSpace, 507, "InsufficientStorage", "121"),
        (StorageError::TooLarge, 413, "RequestBodyTooLarge", ""),
        (StorageError::Unavailable("x".into()), 503, "ServerBusy", "1"),
    ] {
        for (call, more) in [
            ("storage.put", ""),
            ("storage.put-block", "&comp=block&blockid=a"),
            ("storage.commit", "&comp=blocklist"),
        ] {
            let (host, url) = reserved();
            host.fail(call, Fault::Storage(error.clone()));
            let answer = put(&host, &url, more, &list(&[]));
            assert_refused(&answer, status, code);
            assert_eq!(answer.header("retry-after"), retry_after, "{call}");
            host.heal();
            assert_taken(&put(&host, &url, more, &list(&[])));
        }
    }
}

#[test]
fn an_unavailable_index_is_a_503() {
    for call in ["index.get-upload", "index.attach"] {
        let (host, url) = reserved();
        host.fail(call, Fault::Index(IndexError::Unavailable("x".into())));
        let answer = put(&host, &url, "", "x");
        assert_refused(&answer, 503, "ServerBusy");
        assert_eq!((answer.header("retry-after"), host.take_log().len()), ("1", 1));
    }
}

#[test]
fn a_block_list_can_be_retried_after_a_busy_server() {
    let (host, url) = reserved();
    put(&host, &url, "&comp=block&blockid=a", "x");
    host.fail("http.read-body", Fault::Http(HttpError::Busy));
    let answer = put(&host, &url, "&comp=blocklist", &list(&["a"]));
    assert_refused(&answer, 503, "ServerBusy");
    assert_eq!((answer.header("retry-after"), host.take_log().len()), ("1", 0));
    host.heal();
    assert_taken(&put(&host, &url, "&comp=blocklist", &list(&["a"])));
}
