#![expect(clippy::unwrap_used, reason = "tests")]

mod failures;

use proptest::prelude::*;
use serde_json::json;

use crate::fake::{FakeHost, FakeRequest, FakeResponse, Fault, NOW_MS, claims};
use crate::ports::{AuthError, HttpError, IndexError, StorageError};

const API: &str = "/_apis/artifactcache";

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.allow("t", &["pr=rw", "main=r"]);
    host.allow("other", &["pr=rw"]);
    host.allow("main", &["main=rw"]);
    host
}

fn get(host: &FakeHost, token: &str, call: &str) -> FakeResponse {
    host.send(FakeRequest::new("GET", &format!("{API}/{call}")).token(token))
}

fn reserve(host: &FakeHost, token: &str, message: &str) -> FakeResponse {
    host.send(FakeRequest::new("POST", &format!("{API}/caches")).token(token).body(message))
}

fn reserved(host: &FakeHost) -> u64 {
    let answer = reserve(host, "t", r#"{"key":"k","version":"v"}"#);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["cacheId"].as_u64().unwrap()
}

fn chunk(id: u64, range: &str) -> FakeRequest {
    FakeRequest::new("PATCH", &format!("{API}/caches/{id}")).token("t").header("content-range", range)
}

/// Sends the bytes of `content` from `start` on, without a length, as `@actions/cache` does.
fn send(host: &FakeHost, id: u64, start: usize, content: &[u8]) -> FakeResponse {
    let range = format!("bytes {start}-{}/*", start + content.len() - 1);
    host.send(chunk(id, &range).chunked(content))
}

fn commit(host: &FakeHost, id: u64, size: usize) -> FakeResponse {
    let path = format!("{API}/caches/{id}");
    host.send(FakeRequest::new("POST", &path).token("t").body(format!(r#"{{"size":{size}}}"#)))
}

#[track_caller]
fn assert_refused(answer: &FakeResponse, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.member("message").is_empty(), "{}", answer.text());
    assert!(!answer.member("typeKey").is_empty() && !answer.member("typeName").is_empty());
    assert_eq!(answer.json()["errorCode"], 0);
}

#[track_caller]
fn assert_done(answer: &FakeResponse) {
    assert_eq!((answer.status, &*answer.text()), (204, ""));
}

/// The content of the only entry.
fn content(host: &FakeHost) -> Vec<u8> {
    let entries = host.entries();
    assert_eq!((entries.len(), host.objects().len()), (1, 1));
    host.objects().remove(&entries[0].object).unwrap()
}

fn assert_nothing_is_stored(host: &FakeHost) {
    assert!(host.entries().is_empty() && host.objects().is_empty());
}

#[test]
fn a_save_in_chunks_out_of_order_is_found() {
    let host = host();
    let id = reserved(&host);
    assert_done(&send(&host, id, 6, b"world"));
    assert_done(&send(&host, id, 5, b" "));
    assert_done(&send(&host, id, 0, b"hello"));
    assert_done(&commit(&host, id, 11));
    assert_eq!((content(&host), host.uploads().len()), (b"hello world".to_vec(), 0));
    let found = get(&host, "t", "cache?keys=k&version=v");
    assert_eq!(found.status, 200);
    assert_eq!(found.header("content-type"), "application/json");
    let location = found.member("archiveLocation");
    let expected = json!({
        "cacheKey": "k", "scope": "pr", "cacheVersion": "v", "creationTime": "2027-01-15T08:00:00.000Z",
        "archiveLocation": location,
    });
    assert_eq!((found.json(), NOW_MS), (expected, 1_800_000_000_000));
    assert_eq!(host.send(FakeRequest::new("GET", &location)).text(), "hello world");
}

#[test]
fn both_versions_have_the_same_entries() {
    let host = host();
    let id = reserved(&host);
    send(&host, id, 0, b"one");
    commit(&host, id, 3);
    let found = host.send(FakeRequest::call("GetCacheEntryDownloadURL", "t", r#"{"key":"k","version":"v"}"#));
    assert_eq!(found.member("matched_key"), "k");
    host.add_entry("main", "v", "from version 2", b"two");
    assert_eq!(get(&host, "t", "cache?keys=from+version+2&version=v").member("cacheKey"), "from version 2");
    assert_refused(&reserve(&host, "main", r#"{"key":"from version 2","version":"v"}"#), 409);
}

#[test]
fn each_key_is_matched_exactly_then_as_a_prefix() {
    let host = host();
    for key in ["a-1", "a-2", "b+c d"] {
        host.add_entry("main", "v", key, b"x");
    }
    for (keys, found) in [
        ("a-1", "a-1"),
        ("a-", "a-2"),
        ("no%2Ca-", "a-2"),
        ("no,a-1,b", "a-1"),
        ("b%2Bc%20d", "b+c d"),
        ("b%2Bc+d", "b+c d"),
        // Fault 4: case does not matter.
        ("A-1", "a-1"),
        ("no,B%2BC", "b+c d"),
    ] {
        assert_eq!(
            get(&host, "t", &format!("cache?keys={keys}&version=v")).member("cacheKey"),
            found,
            "{keys}"
        );
    }
    for query in ["keys=b+c&version=v", "keys=a-1&version=V", "version=v&keys=no"] {
        assert_done(&get(&host, "t", &format!("cache?{query}")));
    }
    for query in ["", "version=v", "keys=&version=v", "keys=%ff&version=v", "keys=a&version=%ff"] {
        assert_refused(&get(&host, "t", &format!("cache?{query}")), 400);
    }
}

#[test]
fn the_debug_list_is_empty() {
    let answer = get(&host(), "t", "caches?key=k");
    assert_eq!(answer.json(), json!({ "totalCount": 0, "artifactCaches": [] }));
    assert_refused(&get(&host(), "nobody", "caches?key=k"), 401);
}

/// Fault 31: some released clients send lookups this way.
#[test]
fn a_list_with_keys_is_a_lookup() {
    let host = host();
    host.add_entry("main", "v", "a-1", b"x");
    for path in ["cache", "caches"] {
        let found = get(&host, "t", &format!("{path}?keys=no%2Ca-&version=v"));
        assert_eq!((found.status, &*found.member("cacheKey")), (200, "a-1"), "{path}");
        assert_done(&get(&host, "t", &format!("{path}?keys=no&version=v")));
        assert_refused(&get(&host, "t", &format!("{path}?keys=&version=v")), 400);
        assert_refused(&get(&host, "nobody", &format!("{path}?keys=a-1&version=v")), 401);
    }
}

/// Fault 32: actions/cache 1.2 sends no version.
#[test]
fn an_entry_without_a_version_matches_only_lookups_without_one() {
    for message in [r#"{"key":"k"}"#, r#"{"key":"k","version":""}"#, r#"{"key":"k","version":null}"#] {
        let host = host();
        let answer = reserve(&host, "t", message);
        assert_eq!(answer.status, 201, "{message}: {}", answer.text());
        let id = answer.json()["cacheId"].as_u64().unwrap();
        assert_refused(&reserve(&host, "other", r#"{"key":"k"}"#), 409);
        assert_done(&send(&host, id, 0, b"old"));
        assert_done(&commit(&host, id, 3));
        for query in ["cache?keys=k", "cache?keys=k&version=", "caches?keys=k"] {
            let found = get(&host, "t", query);
            assert_eq!((found.status, &*found.member("cacheVersion")), (200, ""), "{query}");
        }
        assert_done(&get(&host, "t", "cache?keys=k&version=v"));
        host.add_entry("pr", "v", "other", b"x");
        assert_done(&get(&host, "t", "cache?keys=other"));
    }
}

/// Fault 1: all processes of a job share a token.
#[test]
fn one_of_many_concurrent_reservations_gets_the_upload_even_with_one_token() {
    let host = host();
    let pretty = "{\n  \"key\": \"k\",\n  \"version\": \"v\",\n  \"cacheSize\": 123,\n  \"other\": null\n}";
    let first = reserve(&host, "t", pretty);
    assert!(first.json()["cacheId"].as_u64().is_some_and(|id| id > 0 && id < 1 << 53));
    for token in ["t", "other", "t"] {
        let taken = reserve(&host, token, pretty);
        assert_refused(&taken, 409);
        assert_eq!(taken.member("message"), "Cache already exists. Scope: pr, Key: k, Version: v");
        assert!(taken.member("typeKey").contains("AlreadyExists"));
    }
}

/// Reserves the slot this long after the first reservation.
fn reserve_after(host: &FakeHost, ms: u64) -> FakeResponse {
    let request = FakeRequest::new("POST", &format!("{API}/caches")).token("t").at(NOW_MS + ms);
    host.send(request.body(r#"{"key":"k","version":"v"}"#))
}

/// Fault 1: if it was no retry, two savers with equal sizes hold one upload.
#[test]
fn a_displaced_writer_is_rejected_and_its_bytes_are_ignored() {
    let host = host();
    let before = reserved(&host);
    assert_refused(&reserve_after(&host, 999), 409);
    let again = reserve_after(&host, 1000);
    assert_eq!((again.status, host.uploads().len()), (201, 1));
    let now = again.json()["cacheId"].as_u64().unwrap();
    assert_ne!(before, now);
    assert_done(&send(&host, now, 0, b"new"));
    for refused in [send(&host, before, 0, b"old"), commit(&host, before, 3), commit(&host, before, 0)] {
        assert_refused(&refused, 409);
    }
    assert_done(&send(&host, now, 3, b"end"));
    assert_refused(&reserve_after(&host, 5000), 409);
    assert_done(&commit(&host, now, 6));
    assert_done(&commit(&host, now, 6));
    assert_eq!(content(&host), b"newend");
}

/// Fault 1: the retry reaches another server while a chunk is in transit here.
#[test]
fn a_chunk_in_transit_during_a_renewal_is_ignored() {
    let host = host();
    let before = reserved(&host);
    host.before("storage.put-block", |host| {
        let now = reserve_after(host, 1000).json()["cacheId"].as_u64().unwrap();
        assert_done(&send(host, now, 4, b"tail"));
    });
    assert_done(&send(&host, before, 0, b"head"));
    assert_refused(&commit(&host, before, 8), 409);
    let upload = &host.uploads()[0];
    let now = crate::writer::Writer::of_renewal(upload).number(upload.id).unwrap();
    host.before("storage.blocks", move |host| assert_done(&send(host, now, 0, b"HEAD")));
    assert_done(&commit(&host, now, 8));
    assert_eq!(content(&host), b"HEADtail");
}

#[test]
fn a_failed_reservation_has_a_reason() {
    let host = host();
    host.configure(|settings| settings.max_entry_bytes = Some(100));
    for message in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"version":"v"}"#,
        r#"{"key":"k","version":1}"#,
        r#"{"key":"","version":"v"}"#,
        r#"{"key":"k","version":"v","cacheSize":101}"#,
        r#"{"key":"k","version":"v","cacheSize":-1}"#,
        &json!({ "key": "k".repeat(513), "version": "v" }).to_string(),
    ] {
        assert_refused(&reserve(&host, "t", message), 400);
    }
    assert!(host.uploads().is_empty());
    host.allow("reader", &["pr=r"]);
    let denied = reserve(&host, "reader", r#"{"key":"k","version":"v"}"#);
    assert_refused(&denied, 403);
    assert!(denied.member("message").starts_with("cache write denied:"));
    host.allow("writer", &["pr=w"]);
    let denied = get(&host, "writer", "cache?keys=k&version=v");
    assert_refused(&denied, 403);
    assert!(denied.member("message").contains("cache read denied:"));
}

#[test]
fn a_repeated_chunk_replaces_the_earlier_one() {
    let host = host();
    let id = reserved(&host);
    assert_done(&send(&host, id, 0, b"old"));
    assert_done(&send(&host, id, 3, b"end"));
    assert_done(&send(&host, id, 0, b"new"));
    assert_done(&commit(&host, id, 6));
    assert_eq!(content(&host), b"newend");
}

#[test]
fn a_chunk_must_match_its_announced_length() {
    let host = host();
    let id = reserved(&host);
    for body in ["12", "1234", ""] {
        host.take_calls();
        assert_refused(&host.send(chunk(id, "bytes 0-2/*").body(body)), 400);
        assert!(!host.take_calls().contains(&"storage.put-block"), "an announced length is known before");
        assert_refused(&host.send(chunk(id, "bytes 0-2/*").chunked(body)), 400);
    }
    assert_refused(&commit(&host, id, 4), 400);
    assert_nothing_is_stored(&host);
    // The right chunk replaces a wrong one.
    let id = reserved(&host);
    assert_refused(&host.send(chunk(id, "bytes 0-2/*").chunked("1234")), 400);
    assert_done(&send(&host, id, 0, b"123"));
    assert_done(&commit(&host, id, 3));
    assert_eq!(content(&host), b"123");
}

#[test]
fn a_chunk_that_ends_early_changes_nothing() {
    let host = host();
    let id = reserved(&host);
    assert_done(&send(&host, id, 0, b"good"));
    assert_refused(&host.send(chunk(id, "bytes 0-3/*").chunked("bad!").cut_short()), 400);
    assert_done(&commit(&host, id, 4));
    assert_eq!(content(&host), b"good");
}

#[test]
fn chunks_with_a_gap_an_overlap_or_a_wrong_size_are_rejected_and_free_the_slot() {
    for (chunks, size) in [
        (&[(0, "ab"), (3, "d")][..], 4),
        (&[(1, "b")], 2),
        (&[(0, "abc"), (2, "cd")], 4),
        (&[(0, "abcd"), (0, "ab"), (2, "cd")], 4),
        (&[(0, "abcd"), (1, "b")], 4),
        (&[(0, "abcd")], 3),
        (&[(0, "abcd")], 5),
        (&[], 1),
    ] {
        let host = host();
        let id = reserved(&host);
        for (start, chunk) in chunks {
            assert_done(&send(&host, id, *start, chunk.as_bytes()));
        }
        assert_refused(&commit(&host, id, size), 400);
        assert_nothing_is_stored(&host);
        assert!(host.uploads().is_empty(), "{chunks:?}: the slot is free again");
        assert_eq!(host.take_log(), []);
    }
}

#[test]
fn a_commit_without_chunks_is_an_empty_entry() {
    let host = host();
    let id = reserved(&host);
    assert_done(&commit(&host, id, 0));
    assert_eq!(content(&host), b"");
}

#[test]
fn a_repeated_commit_changes_nothing() {
    let host = host();
    let id = reserved(&host);
    send(&host, id, 0, b"once");
    for _ in 0..3 {
        assert_done(&commit(&host, id, 4));
    }
    assert_eq!(content(&host), b"once");
    assert_refused(&commit(&host, id, 5), 409);
    assert_refused(&send(&host, id, 0, b"late"), 404);
    assert_eq!(content(&host), b"once");
}

#[test]
fn a_commit_overtaken_by_its_own_repeat_succeeds() {
    for call in ["storage.commit", "index.attach", "index.finalize"] {
        let host = host();
        let id = reserved(&host);
        send(&host, id, 0, b"once");
        host.before(call, move |host| assert_done(&commit(host, id, 4)));
        assert_done(&commit(&host, id, 4));
        assert_eq!(content(&host), b"once", "{call}");
    }
}

#[test]
fn an_upload_belongs_to_its_repository_and_scope() {
    let host = host();
    host.set_token("stranger", Ok(claims("2", "stranger", &["pr=rw"])));
    let id = reserved(&host);
    send(&host, id, 0, b"mine");
    for token in ["stranger", "main"] {
        let chunk = FakeRequest::new("PATCH", &format!("{API}/caches/{id}")).token(token);
        assert_refused(&host.send(chunk.header("content-range", "bytes 0-3/*").body("evil")), 404);
        let done = FakeRequest::new("POST", &format!("{API}/caches/{id}")).token(token);
        assert_refused(&host.send(done.body(r#"{"size":4}"#)), 404);
    }
    // Another token of the same scope may continue.
    let done = FakeRequest::new("POST", &format!("{API}/caches/{id}")).token("other").body(r#"{"size":4}"#);
    assert_done(&host.send(done));
    assert_eq!(content(&host), b"mine");
    // Its existence is not revealed.
    for token in ["stranger", "main"] {
        let done = FakeRequest::new("POST", &format!("{API}/caches/{id}")).token(token);
        assert_refused(&host.send(done.body(r#"{"size":4}"#)), 404);
    }
}

proptest! {
    /// Any chunks in any order: the entry has the client's bytes, or there is none.
    #[test]
    fn an_entry_is_correct_or_absent(
        chunks in proptest::collection::vec((0_usize..12, 1_usize..8, any::<bool>()), 0..12),
        size in 0_usize..14,
    ) {
        let truth = b"0123456789abcdefghij";
        let host = host();
        let id = reserved(&host);
        for (start, length, is_whole) in &chunks {
            let (bytes, range) = (&truth[*start..start + length], format!("bytes {start}-{}/*", start + length - 1));
            let body = if *is_whole { bytes.to_vec() } else { [bytes, b"X"].concat() };
            let answer = host.send(chunk(id, &range).chunked(body));
            prop_assert_eq!(answer.status, if *is_whole { 204 } else { 400 });
        }
        let answer = commit(&host, id, size);
        if answer.status == 204 {
            prop_assert_eq!(content(&host), &truth[..size]);
        } else {
            prop_assert_eq!(answer.status, 400);
            prop_assert!(host.entries().is_empty() && host.objects().is_empty());
        }
    }

    #[test]
    fn any_request_gets_a_json_response(path in "\\PC{0,20}", query in "\\PC{0,40}", body in "\\PC{0,40}") {
        let host = host();
        for method in ["GET", "POST", "PATCH"] {
            for call in ["cache", "caches", "caches/1", &path] {
                let request = FakeRequest::new(method, &format!("{API}/{call}?{query}")).token("t");
                let answer = host.send(request.header("content-range", &body).body(&body));
                prop_assert!([200, 201, 204, 400, 404, 409].contains(&answer.status));
                prop_assert!(answer.status == 204 || answer.json().is_object());
            }
        }
    }
}
