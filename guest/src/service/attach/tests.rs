#![expect(clippy::unwrap_used, reason = "tests")]

use crate::fake::{FakeHost, FakeRequest, Fault, block_on};
use crate::ports::{Host, IndexError};

const LIST: &str = "<BlockList><Latest>a</Latest></BlockList>";

/// A host with an upload in which block `a` is staged, and the upload's URL.
fn staged() -> (FakeHost, String) {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    let created = host.send(FakeRequest::call("CreateCacheEntry", "t", r#"{"key":"k","version":"v"}"#));
    let url = created.member("signed_upload_url");
    host.send(FakeRequest::new("PUT", &format!("{url}&comp=block&blockid=a")).body("hello"));
    (host, url)
}

fn commit(host: &FakeHost, url: &str) -> u16 {
    host.send(FakeRequest::new("PUT", &format!("{url}&comp=blocklist")).body(LIST)).status
}

fn finalize(host: &FakeHost) -> u16 {
    let message = r#"{"key":"k","version":"v","size_bytes":5}"#;
    host.send(FakeRequest::call("FinalizeCacheEntryUpload", "t", message)).status
}

#[test]
fn a_repeated_commit_overtaken_by_the_finalize_keeps_the_entrys_object() {
    let (host, url) = staged();
    let first = url.clone();
    host.before("index.attach", move |host| {
        assert_eq!(commit(host, &first), 201);
        assert_eq!(finalize(host), 200);
    });
    assert_eq!(commit(&host, &url), 201);
    assert_eq!((host.entries().len(), host.objects().len()), (1, 1));
    assert!(host.objects().contains_key(&host.entries()[0].object));
}

#[test]
fn a_put_overtaken_by_the_finalize_is_a_409_and_leaves_no_object() {
    let (host, url) = staged();
    let first = url.clone();
    host.before("index.attach", move |host| {
        assert_eq!(commit(host, &first), 201);
        assert_eq!(finalize(host), 200);
    });
    assert_eq!(host.send(FakeRequest::new("PUT", &url).body("other")).status, 409);
    assert_eq!(host.objects().into_values().collect::<Vec<_>>(), [b"hello"]);
}

#[test]
fn content_of_an_abandoned_upload_is_removed() {
    let (host, url) = staged();
    host.before("index.attach", |host| {
        assert!(block_on(host.abandon(host.uploads()[0].id)).unwrap());
    });
    assert_eq!(commit(&host, &url), 409);
    assert!(host.objects().is_empty() && host.entries().is_empty());
}

#[test]
fn nothing_is_removed_while_the_index_is_unavailable() {
    let (host, url) = staged();
    host.before("index.attach", |host| {
        assert!(block_on(host.abandon(host.uploads()[0].id)).unwrap());
    });
    host.fail("index.find", Fault::Index(IndexError::Unavailable("x".into())));
    assert_eq!(commit(&host, &url), 503);
    assert_eq!(host.objects().len(), 1);
}

#[test]
fn too_large_content_is_kept_if_finalized_concurrently() {
    let (host, url) = staged();
    assert_eq!(commit(&host, &url), 201);
    host.configure(|settings| settings.max_entry_bytes = Some(1));
    host.before("index.abandon", |host| assert_eq!(finalize(host), 200));
    assert_eq!(commit(&host, &url), 413);
    assert!(host.objects().contains_key(&host.entries()[0].object));
}
