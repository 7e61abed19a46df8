//! The three calls of the cache service (protocol reference, section 1).

use serde_json::json;

use super::session::Session;

/// Fault 30: with all fields, as in GitHub's responses.
pub async fn a_miss_is_200_with_ok_false(session: &Session) {
    let token = session.main();
    assert_eq!(
        session.lookup(&token, "nothing", &["no"]).await,
        json!({ "ok": false, "signed_download_url": "", "matched_key": "" })
    );
    let response = session
        .raw_call("GetCacheEntryDownloadURL", &token, "application/protobuf", &b"\x12\x01k\x22\x01v"[..])
        .await;
    assert_eq!((response.status.as_u16(), response.body.len()), (200, 0));
    assert_eq!(response.header("content-type"), "application/protobuf");
}

pub async fn what_is_saved_is_found_in_json(session: &Session) {
    let token = session.main();
    let id = session.save(&token, "key", b"content").await;
    assert!(id.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(session.matched(&token, "key", &[]).await.as_deref(), Some("key"));
    assert_eq!(&session.content(&token, "key").await[..], b"content");
    // As wireit and go-actions-cache send it.
    let url = session.reserve(&token, "camel").await;
    session.put(&url, b"12345").await;
    let message = json!({ "key": "camel", "version": "v", "sizeBytes": 5, "metadata": null, "unknown": [1] });
    let response = session.call("FinalizeCacheEntryUpload", &token, &message).await;
    assert_eq!(response.json()["ok"], true, "{}", response.text());
    let message = json!({ "key": "cam", "version": "v", "restoreKeys": null });
    assert_eq!(
        session.call("GetCacheEntryDownloadURL", &token, &message).await.json()["matched_key"],
        "camel"
    );
}

pub async fn what_is_saved_is_found_in_protobuf(session: &Session) {
    let token = session.main();
    let call = async |name: &str, body: &'static [u8]| {
        let response = session.raw_call(name, &token, "application/protobuf", body).await;
        assert_eq!(
            (response.status.as_u16(), response.header("content-type")),
            (200, "application/protobuf")
        );
        response.body
    };
    let created = call("CreateCacheEntry", b"\x12\x01k\x1a\x01v").await;
    assert_eq!(&created[..3], b"\x08\x01\x12");
    let url =
        std::str::from_utf8(&created[created.windows(4).position(|w| w == b"http").unwrap()..]).unwrap();
    assert_eq!(session.put(url, b"12345").await.status.as_u16(), 201);
    let finalized = call("FinalizeCacheEntryUpload", b"\x12\x01k\x18\x05\x22\x01v").await;
    assert_eq!(&finalized[..3], b"\x08\x01\x10");
    let found = call("GetCacheEntryDownloadURL", b"\x12\x01k\x22\x01v").await;
    assert!(found.starts_with(b"\x08\x01\x12") && found.ends_with(b"\x1a\x01k"));
}

pub async fn a_key_that_exists_is_refused_with_409(session: &Session) {
    let token = session.main();
    session.save(&token, "key", b"content").await;
    for token in [token, session.token(&[("refs/heads/main", 3), ("other", 1)])] {
        let response = session.create(&token, "key").await;
        assert_eq!((response.status.as_u16(), &response.json()["code"]), (409, &json!("already_exists")));
        assert!(response.json()["msg"].as_str().unwrap().contains("already exists"));
    }
}

/// Fault 1: all processes of a job have one token.
pub async fn of_many_who_create_at_once_one_gets_the_upload(session: &Session) {
    let (token, other) = (session.main(), session.token(&[("refs/heads/main", 3), ("other", 1)]));
    let tokens: Vec<_> = (0..9).map(|number| if number % 3 == 2 { &other } else { &token }).collect();
    let creates = tokens.iter().map(|token| session.create(token, "key"));
    let responses = futures_util::future::join_all(creates).await;
    assert_eq!(responses.iter().filter(|response| response.status.as_u16() == 200).count(), 1);
    for response in responses.iter().filter(|response| response.status.as_u16() != 200) {
        assert_eq!((response.status.as_u16(), &response.json()["code"]), (409, &json!("already_exists")));
    }
    assert_eq!(session.matched(&token, "key", &[]).await, None, "a reservation is no entry");
}

/// Fault 1: a client whose response was lost retries after its back-off, before any bytes have
/// arrived.
pub async fn a_retry_of_a_create_gets_the_same_upload_and_nobody_else_does(session: &Session) {
    let (owner, other) = (session.main(), session.token(&[("refs/heads/main", 3), ("other", 1)]));
    let first = session.reserve(&owner, "key").await;
    assert_eq!(session.create(&owner, "key").await.status.as_u16(), 409, "too soon for a retry");
    session.wait_for_back_off().await;
    assert_eq!(session.create(&other, "key").await.status.as_u16(), 409);
    let again = session.reserve(&owner, "key").await;
    let path = |url: &str| url.split('?').next().unwrap().to_owned();
    assert_eq!(path(&again), path(&first));
    assert_eq!(session.create(&owner, "key").await.status.as_u16(), 409);
    // The client that retried is the writer; the first response is no longer valid.
    assert_eq!(session.put(&first, b"old").await.status.as_u16(), 409);
    assert_eq!(session.put_block(&first, "0000", b"old").await.status.as_u16(), 409);
    assert_eq!(session.put_block(&again, "0000", b"new").await.status.as_u16(), 201);
    session.wait_for_back_off().await;
    assert_eq!(session.create(&owner, "key").await.status.as_u16(), 409, "bytes have come");
    assert_eq!(session.put_list(&again, &["0000"]).await.status.as_u16(), 201);
    session.finish(&owner, "key", 3).await;
    assert_eq!(session.content(&owner, "key").await, "new");
}

/// Fault 5: a client with the token of another job.
pub async fn a_finalize_of_somebody_elses_upload_is_refused(session: &Session) {
    let (owner, other) = (session.main(), session.token(&[("refs/heads/main", 3), ("other", 1)]));
    let url = session.reserve(&owner, "key").await;
    session.put(&url, b"content").await;
    assert_eq!(session.finalize(&other, "key", 7).await.status.as_u16(), 409);
    assert_eq!(session.matched(&owner, "key", &[]).await, None);
    session.finish(&owner, "key", 7).await;
}

pub async fn finalize_is_idempotent_and_checks_the_size(session: &Session) {
    let token = session.main();
    assert_eq!(session.finalize(&token, "nothing", 1).await.status.as_u16(), 404);
    let id = session.save(&token, "key", b"content").await;
    assert_eq!(session.finish(&token, "key", 7).await, id);
    assert!(session.finalize(&token, "key", 8).await.status.is_client_error());
    assert_eq!(session.matched(&token, "key", &[]).await.as_deref(), Some("key"));

    let url = session.reserve(&token, "short").await;
    session.put(&url, b"content").await;
    assert_eq!(session.finalize(&token, "short", 8).await.status.as_u16(), 400);
    assert_eq!(session.matched(&token, "short", &[]).await, None);
    session.save(&token, "short", b"once more").await;
}

pub async fn bad_calls_are_400_in_json(session: &Session) {
    let token = session.main();
    let long = json!({ "key": "k".repeat(4000), "version": "v" }).to_string();
    let cases: &[(&str, &str)] = &[
        ("application/json", ""),
        ("application/json", "null"),
        ("application/json", "[]"),
        ("application/json", "{"),
        ("application/json", "{\"key\":1,\"version\":\"v\"}"),
        ("application/json", "{\"key\":\"\",\"version\":\"v\"}"),
        ("application/json", "{\"version\":\"v\"}"),
        ("application/json", "{\"key\":\"k\"}"),
        ("application/json", "{\"key\":\"k\\u0000\",\"version\":\"v\"}"),
        ("application/json", &long),
        ("application/protobuf", "\x12\x05k"),
        ("application/protobuf", "{\"key\":\"k\",\"version\":\"v\"}"),
        ("text/html", "{\"key\":\"k\",\"version\":\"v\"}"),
    ];
    for name in ["CreateCacheEntry", "FinalizeCacheEntryUpload", "GetCacheEntryDownloadURL"] {
        for (kind, body) in cases {
            let response = session.raw_call(name, &token, kind, body.to_string()).await;
            assert_eq!(response.status.as_u16(), 400, "{name} {kind} {body:.40}: {}", response.text());
            assert_eq!(response.header("content-type"), "application/json");
            assert!(response.json()["code"].is_string() && response.json()["msg"].is_string());
        }
    }
    let huge = vec![b' '; 2 << 20];
    let response = session.raw_call("CreateCacheEntry", &token, "application/json", huge).await;
    assert_eq!((response.status.as_u16(), response.header("content-type")), (400, "application/json"));
}

pub async fn unknown_calls_are_bad_routes_in_json(session: &Session) {
    let token = session.main();
    for name in ["DeleteCacheEntry", "ListCacheEntries", "Nothing", ""] {
        let response = session.raw_call(name, &token, "application/json", "{}").await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["code"]),
            (404, &json!("bad_route")),
            "{name}"
        );
        assert_eq!(response.header("content-type"), "application/json");
    }
}

pub async fn a_token_without_write_scope_is_refused_as_each_client_understands(session: &Session) {
    let reader = session.token(&[("refs/heads/main", 1)]);
    let response = session.create(&reader, "key").await;
    assert_eq!((response.status.as_u16(), &response.json()["code"]), (403, &json!("permission_denied")));
    assert!(response.json()["msg"].as_str().unwrap().starts_with("cache write denied:"));

    let bearer = format!("Bearer {reader}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("user-agent", "@actions/cache-6.3.0"),
    ];
    let path = "/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry";
    let response = session.send("POST", path, &headers, "{\"key\":\"key\",\"version\":\"v\"}").await;
    assert_eq!((response.status.as_u16(), &response.json()["ok"]), (200, &json!(false)));
    assert!(response.json()["message"].as_str().unwrap().starts_with("cache write denied:"));

    let writer = session.token(&[("refs/heads/main", 2)]);
    let message = json!({ "key": "key", "version": "v" });
    let response = session.call("GetCacheEntryDownloadURL", &writer, &message).await;
    assert_eq!(response.status.as_u16(), 403);
    assert!(response.json()["msg"].as_str().unwrap().contains("cache read denied:"));
}
