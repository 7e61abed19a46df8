#![expect(clippy::unwrap_used, reason = "tests")]

use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, NOW_MS, block_on};
use crate::ports::{Host, IndexError, StorageError, Stored};

/// A host with an upload of token `t` that has `content`.
fn uploaded(content: &str) -> (FakeHost, String) {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host.allow("other", &["main=rw"]);
    let created = host.send(FakeRequest::call("CreateCacheEntry", "t", r#"{"key":"k","version":"v"}"#));
    let url = created.member("signed_upload_url");
    assert_eq!(host.send(FakeRequest::new("PUT", &url).body(content)).status, 201);
    (host, url)
}

fn finalize(host: &FakeHost, token: &str, size: &str) -> FakeResponse {
    let message = format!(r#"{{"key":"k","version":"v","size_bytes":{size}}}"#);
    host.send(FakeRequest::call("FinalizeCacheEntryUpload", token, &message))
}

fn refusal(answer: &FakeResponse) -> (u16, String) {
    (answer.status, answer.member("code"))
}

#[test]
fn an_upload_of_the_right_size_becomes_an_entry() {
    let (host, _) = uploaded("hello");
    let answer = finalize(&host, "t", "\"5\"");
    let entries = host.entries();
    assert_eq!(answer.text(), format!(r#"{{"ok":true,"entry_id":"{}","message":""}}"#, entries[0].id));
    assert_eq!((entries[0].size_bytes, host.uploads().len()), (5, 0));
    assert!(host.take_calls().contains(&"storage.discard"));
}

#[test]
fn a_repeated_finalize_returns_the_same_entry() {
    let (host, _) = uploaded("hello");
    let first = finalize(&host, "t", "5");
    assert_eq!(finalize(&host, "t", "5").body, first.body);
    assert_eq!(refusal(&finalize(&host, "other", "5")), (409, "already_exists".to_owned()));
    assert_eq!(refusal(&finalize(&host, "t", "6")), (409, "already_exists".to_owned()));
    assert_eq!((host.entries().len(), host.objects().len()), (1, 1));
}

#[test]
fn afterwards_the_slot_is_taken_even_for_its_saver() {
    let (host, _) = uploaded("hello");
    finalize(&host, "t", "5");
    let again = host.send(FakeRequest::call("CreateCacheEntry", "t", r#"{"key":"k","version":"v"}"#));
    assert_eq!(refusal(&again), (409, "already_exists".to_owned()));
}

#[test]
fn an_empty_upload_becomes_an_entry_also_when_its_size_is_left_out() {
    let (host, _) = uploaded("");
    let message = r#"{"key":"k","version":"v"}"#;
    assert_eq!(host.send(FakeRequest::call("FinalizeCacheEntryUpload", "t", message)).status, 200);
    assert_eq!(host.entries()[0].size_bytes, 0);
}

#[test]
fn an_upload_of_another_size_is_abandoned() {
    let (host, url) = uploaded("hello");
    host.send(FakeRequest::new("PUT", &format!("{url}&comp=block&blockid=a")).body("x"));
    assert_eq!(refusal(&finalize(&host, "t", "6")), (400, "invalid_argument".to_owned()));
    assert_eq!((host.entries().len(), host.uploads().len(), host.objects().len()), (0, 0, 0));
    assert_eq!(refusal(&finalize(&host, "t", "6")), (404, "not_found".to_owned()));
}

#[test]
fn an_upload_of_another_owner_is_left_alone() {
    let (host, _) = uploaded("hello");
    assert_eq!(refusal(&finalize(&host, "other", "6")), (409, "already_exists".to_owned()));
    assert_eq!((host.uploads().len(), host.objects().len()), (1, 1));
    assert_eq!(finalize(&host, "t", "5").status, 200);
}

#[test]
fn a_concurrently_finalized_upload_keeps_its_object() {
    let (host, _) = uploaded("hello");
    host.before("index.abandon", |host| {
        assert_eq!(finalize(host, "t", "5").status, 200);
    });
    assert_eq!(finalize(&host, "t", "6").status, 400);
    assert_eq!((host.entries().len(), host.objects().len()), (1, 1));
}

#[test]
fn without_content_nothing_is_finalized_and_the_upload_stays() {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host.send(FakeRequest::call("CreateCacheEntry", "t", r#"{"key":"k","version":"v"}"#));
    for size in ["0", "5"] {
        assert_eq!(refusal(&finalize(&host, "t", size)), (400, "invalid_argument".to_owned()));
    }
    assert_eq!(host.uploads().len(), 1);
}

#[test]
fn without_an_upload_there_is_nothing_to_finalize() {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    assert_eq!(refusal(&finalize(&host, "t", "5")), (404, "not_found".to_owned()));
    // An entry with a longer key or in another scope does not match.
    host.add_entry("main", "v", "k2", b"hello");
    host.add_entry("pr", "v", "k", b"hello");
    assert_eq!(refusal(&finalize(&host, "t", "5")), (404, "not_found".to_owned()));
    assert_eq!(refusal(&finalize(&host, "t", "-5")), (400, "invalid_argument".to_owned()));
}

#[test]
fn without_a_writable_scope_it_is_denied() {
    let (host, _) = uploaded("hello");
    host.allow("reader", &["main=r"]);
    let answer = finalize(&host, "reader", "5");
    assert_eq!(refusal(&answer), (403, "permission_denied".to_owned()));
    assert!(answer.member("msg").starts_with("cache write denied:"));
}

#[test]
fn concurrently_replaced_content_is_finalized() {
    let (host, url) = uploaded("hello");
    host.before("index.finalize", move |host| {
        assert_eq!(host.send(FakeRequest::new("PUT", &url).body("HELLO")).status, 201);
    });
    assert_eq!(finalize(&host, "t", "5").status, 200);
    let objects = host.objects();
    assert_eq!(objects.get(&host.entries()[0].object).map(Vec::as_slice), Some(&b"HELLO"[..]));
    assert_eq!(objects.len(), 1);
}

#[test]
fn concurrent_calls_get_the_same_entry() {
    let (host, _) = uploaded("hello");
    host.before("index.finalize", |host| {
        assert_eq!(finalize(host, "t", "5").status, 200);
    });
    let answer = finalize(&host, "t", "5");
    assert_eq!((answer.status, answer.member("entry_id")), (200, host.entries()[0].id.to_string()));
}

/// Fault 3: it is transient, so it is not a 404.
#[test]
fn content_that_keeps_changing_is_unavailable() {
    let (host, _) = uploaded("hello");
    for round in 0..10 {
        host.before("index.finalize", move |host| {
            let (id, object) = (host.uploads()[0].id, format!("object-x{round}"));
            block_on(host.attach(id, Stored { object, size_bytes: 5 }, 0)).unwrap();
        });
    }
    assert_eq!(refusal(&finalize(&host, "t", "5")), (503, "unavailable".to_owned()));
    assert_eq!(host.uploads().len(), 1);
}

/// Fault 5: a saver that was idle for so long that its slot was taken.
#[test]
fn a_displaced_owner_does_not_finalize_another_owners_upload() {
    let (host, _) = uploaded("hello");
    let taken = FakeRequest::call("CreateCacheEntry", "other", r#"{"key":"k","version":"v"}"#);
    let url = host.send(taken.at(NOW_MS + 60_002)).member("signed_upload_url");
    assert_eq!(host.send(FakeRequest::new("PUT", &url).body("HELLO")).status, 201);
    assert_eq!(refusal(&finalize(&host, "t", "5")), (409, "already_exists".to_owned()));
    assert_eq!((host.entries().len(), host.uploads().len()), (0, 1));
    assert_eq!(finalize(&host, "other", "5").status, 200);
    // Nor another owner's entry.
    assert_eq!(refusal(&finalize(&host, "t", "5")), (409, "already_exists".to_owned()));
    assert_eq!(finalize(&host, "other", "5").status, 200);
}

/// Fault 5: entries of a release that did not store owners.
#[test]
fn an_entry_without_an_owner_is_matched_by_size() {
    let host = FakeHost::new();
    host.allow("t", &["main=rw"]);
    host.add_entry("main", "v", "k", b"hello");
    assert_eq!(finalize(&host, "t", "5").status, 200);
    assert_eq!(refusal(&finalize(&host, "t", "6")), (409, "already_exists".to_owned()));
}

#[test]
fn a_failed_cleanup_does_not_fail_the_call() {
    let (host, _) = uploaded("hello");
    host.fail("storage.discard", Fault::Storage(StorageError::Unavailable("x".into())));
    assert_eq!(finalize(&host, "t", "5").status, 200);
    assert_eq!(host.take_log().len(), 1);
}

#[test]
fn an_index_that_does_not_answer_is_unavailable() {
    for (call, size) in [("index.find-upload", "5"), ("index.finalize", "5"), ("index.abandon", "6")] {
        let (host, _) = uploaded("hello");
        host.fail(call, Fault::Index(IndexError::Unavailable("x".to_owned())));
        assert_eq!(refusal(&finalize(&host, "t", size)), (503, "unavailable".to_owned()), "{call}");
        assert_eq!((host.uploads().len(), host.objects().len()), (1, 1), "{call}");
        host.heal();
        assert_eq!(finalize(&host, "t", "5").status, 200, "{call}");
    }
}
