//! Version 1 (protocol reference, section 2).

use larder_tests::Response;
use serde_json::json;

use super::session::Session;

const API: &str = "/_apis/artifactcache";

/// Sends a request of version 1.
async fn call(session: &Session, token: &str, method: &str, path: &str, body: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json;api-version=6.0-preview.1"),
        ("content-type", "application/json"),
    ];
    let response = session.send(method, &format!("{API}/{path}"), &headers, body.to_owned()).await;
    if response.status.as_u16() == 204 {
        assert!(response.body.is_empty());
    } else {
        assert_eq!(response.header("content-type"), "application/json");
    }
    response
}

pub async fn reserve(session: &Session, token: &str, key: &str) -> u64 {
    let message = json!({ "key": key, "version": "v" }).to_string();
    let response = call(session, token, "POST", "caches", &message).await;
    assert_eq!(response.status.as_u16(), 201, "{}", response.text());
    response.json()["cacheId"].as_u64().expect("a number")
}

pub async fn send(session: &Session, token: &str, id: u64, start: usize, piece: &[u8]) -> u16 {
    let (bearer, range) = (format!("Bearer {token}"), format!("bytes {start}-{}/*", start + piece.len() - 1));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/octet-stream"),
        ("content-range", range.as_str()),
    ];
    let path = format!("{API}/caches/{id}");
    session.send("PATCH", &path, &headers, piece.to_vec()).await.status.as_u16()
}

pub async fn commit(session: &Session, token: &str, id: u64, size: usize) -> u16 {
    let message = json!({ "size": size }).to_string();
    call(session, token, "POST", &format!("caches/{id}"), &message).await.status.as_u16()
}

pub async fn checklist_27_pieces_come_in_parallel_and_in_any_order(session: &Session) {
    let token = session.main();
    let content: Vec<u8> = (0..64_u32 << 10).flat_map(u32::to_le_bytes).collect();
    let id = reserve(session, &token, "key").await;
    let pieces: Vec<(usize, &[u8])> =
        content.chunks(40_000).enumerate().map(|(at, piece)| (at * 40_000, piece)).collect();
    let sends = pieces.iter().rev().map(|(start, piece)| send(session, &token, id, *start, piece));
    let statuses = futures_util::future::join_all(sends).await;
    assert!(statuses.iter().all(|status| *status == 204), "{statuses:?}");
    assert_eq!(send(session, &token, id, 0, &content[..40_000]).await, 204, "sent again");
    assert_eq!(commit(session, &token, id, content.len()).await, 204);
    assert_eq!(commit(session, &token, id, content.len()).await, 204, "a repeat");
    assert_eq!(commit(session, &token, id, 1).await, 409);
    // Both versions share the entries.
    assert_eq!(session.content(&token, "key").await, content);
}

pub async fn checklist_28_a_miss_is_204_and_what_exists_is_409_with_a_type_key(session: &Session) {
    let token = session.main();
    assert_eq!(
        call(session, &token, "GET", "cache?keys=key%2Cother&version=v", "").await.status.as_u16(),
        204
    );
    session.save(&token, "key/#1", b"content").await;
    let found = call(session, &token, "GET", "cache?keys=none%2Ckey%2F&version=v", "").await;
    assert_eq!(found.status.as_u16(), 200);
    let found = found.json();
    assert_eq!(
        (&found["cacheKey"], &found["scope"], &found["cacheVersion"]),
        (&json!("key/#1"), &json!("refs/heads/main"), &json!("v"))
    );
    assert!(found["creationTime"].as_str().unwrap().ends_with('Z'));
    let archive = session.send("GET", found["archiveLocation"].as_str().unwrap(), &[], "").await;
    assert_eq!((archive.status.as_u16(), archive.text()), (200, "content"));
    let taken = call(session, &token, "POST", "caches", r#"{"key":"key/#1","version":"v"}"#).await;
    assert_eq!(taken.status.as_u16(), 409);
    assert!(taken.json()["typeKey"].as_str().unwrap().contains("AlreadyExists"));
    assert!(
        taken.json()["message"].as_str().unwrap().starts_with("Cache already exists. Scope: refs/heads/main")
    );
    assert!(reserve(session, &token, "free").await > 0);
}

pub async fn checklist_29_the_list_for_debugging_is_answered(session: &Session) {
    let response = call(session, &session.main(), "GET", "caches?key=key", "").await;
    assert_eq!(response.json(), json!({ "totalCount": 0, "artifactCaches": [] }));
}

/// Fault 31.
pub async fn a_list_of_keys_is_a_lookup_under_either_name(session: &Session) {
    let token = session.main();
    session.save(&token, "key-1", b"content").await;
    for path in ["cache", "caches"] {
        let found = call(session, &token, "GET", &format!("{path}?keys=no%2Ckey-&version=v"), "").await;
        assert_eq!((found.status.as_u16(), &found.json()["cacheKey"]), (200, &json!("key-1")), "{path}");
        let missed = call(session, &token, "GET", &format!("{path}?keys=no&version=v"), "").await;
        assert_eq!(missed.status.as_u16(), 204, "{path}");
    }
}

/// Fault 32: actions/cache 1.2 sends none.
pub async fn a_version_may_be_left_out(session: &Session) {
    let token = session.main();
    let reserved = call(session, &token, "POST", "caches", r#"{"key":"key"}"#).await;
    assert_eq!(reserved.status.as_u16(), 201, "{}", reserved.text());
    let id = reserved.json()["cacheId"].as_u64().unwrap();
    assert_eq!(send(session, &token, id, 0, b"old").await, 204);
    assert_eq!(commit(session, &token, id, 3).await, 204);
    for query in ["keys=key", "keys=key&version="] {
        let found = call(session, &token, "GET", &format!("cache?{query}"), "").await;
        assert_eq!((found.status.as_u16(), &found.json()["cacheVersion"]), (200, &json!("")), "{query}");
    }
    let other = call(session, &token, "GET", "cache?keys=key&version=v", "").await;
    assert_eq!(other.status.as_u16(), 204);
}

/// Fault 1.
pub async fn of_many_who_reserve_at_once_one_gets_the_upload(session: &Session) {
    let token = session.main();
    let reserves = (0..8).map(|_| call(session, &token, "POST", "caches", r#"{"key":"key","version":"v"}"#));
    let responses = futures_util::future::join_all(reserves).await;
    assert_eq!(responses.iter().filter(|response| response.status.as_u16() == 201).count(), 1);
    for response in responses.iter().filter(|response| response.status.as_u16() != 201) {
        assert_eq!(response.status.as_u16(), 409);
        assert!(response.json()["typeKey"].as_str().unwrap().contains("AlreadyExists"));
    }
}

/// Fault 1: two clients save archives of the same length in chunks of the same ranges. Whichever
/// succeeds, the entry has the bytes of only one.
pub async fn a_retry_of_a_reservation_has_a_number_of_its_own(session: &Session) {
    let token = session.main();
    let first = reserve(session, &token, "key").await;
    session.wait_for_back_off().await;
    let again = reserve(session, &token, "key").await;
    assert_ne!(first, again);
    assert_eq!(send(session, &token, again, 0, b"NEW").await, 204);
    assert_eq!(send(session, &token, first, 0, b"old").await, 409);
    assert_eq!(send(session, &token, first, 3, b"end").await, 409);
    assert_eq!(send(session, &token, again, 3, b"END").await, 204);
    assert_eq!(commit(session, &token, first, 6).await, 409);
    assert_eq!(commit(session, &token, again, 6).await, 204);
    assert_eq!(commit(session, &token, again, 6).await, 204, "a repeat");
    assert_eq!(session.content(&token, "key").await, "NEWEND");
}

pub async fn pieces_that_do_not_make_the_whole_are_refused(session: &Session) {
    let token = session.main();
    for (pieces, size) in [
        (&[(0, "ab"), (3, "d")][..], 4),
        (&[(0, "abc"), (2, "cd")], 4),
        (&[(0, "abcd")], 3),
        (&[(0, "abcd")], 5),
    ] {
        let id = reserve(session, &token, "key").await;
        for (start, piece) in pieces {
            assert_eq!(send(session, &token, id, *start, piece.as_bytes()).await, 204);
        }
        assert_eq!(commit(session, &token, id, size).await, 400);
        assert_eq!(session.matched(&token, "key", &[]).await, None);
    }
    // The slot is free for another attempt.
    let id = reserve(session, &token, "key").await;
    assert_eq!(send(session, &token, id, 0, b"right").await, 204);
    assert_eq!(commit(session, &token, id, 5).await, 204);
    assert_eq!(session.content(&token, "key").await, "right");
}

pub async fn an_upload_is_of_its_repository_and_scope(session: &Session) {
    let token = session.main();
    let id = reserve(session, &token, "key").await;
    assert_eq!(send(session, &token, id, 0, b"mine").await, 204);
    for stranger in [
        session.token_of("another-repository", &[("refs/heads/main", 3)]),
        session.token(&[("refs/pull/1/merge", 3), ("refs/heads/main", 1)]),
    ] {
        assert_eq!(send(session, &stranger, id, 0, b"evil").await, 404);
        assert_eq!(commit(session, &stranger, id, 4).await, 404);
    }
    assert_eq!(commit(session, &token, id, 4).await, 204);
    assert_eq!(session.content(&token, "key").await, "mine");
}

pub async fn it_is_found_behind_any_path(session: &Session) {
    let bearer = format!("Bearer {}", session.main());
    for prefix in ["/a-secret-of-acts", "/two/segments", "/"] {
        let path = format!("{prefix}{API}/cache?keys=key&version=v");
        let response = session.send("GET", &path, &[("authorization", &bearer)], "").await;
        assert_eq!(response.status.as_u16(), 204, "{path}");
        let response = session.send("GET", &path, &[], "").await;
        assert_eq!(response.status.as_u16(), 401, "a path is no credential");
        assert!(response.json()["message"].is_string());
    }
}

pub async fn checklist_36_denials_begin_with_the_words_that_clients_look_for(session: &Session) {
    let reader = session.token(&[("refs/heads/main", 1)]);
    let denied = call(session, &reader, "POST", "caches", r#"{"key":"k","version":"v"}"#).await;
    assert_eq!(denied.status.as_u16(), 403);
    assert!(denied.json()["message"].as_str().unwrap().starts_with("cache write denied:"));
    let denied = session.create(&reader, "k").await;
    assert!(denied.json()["msg"].as_str().unwrap().starts_with("cache write denied:"));
    let writer = session.token(&[("refs/heads/main", 2)]);
    let denied = call(session, &writer, "GET", "cache?keys=k&version=v", "").await;
    assert_eq!(denied.status.as_u16(), 403);
    assert!(denied.json()["message"].as_str().unwrap().contains("cache read denied:"));
}
