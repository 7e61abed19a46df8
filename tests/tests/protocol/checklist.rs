//! The lines of the protocol reference's checklist (section 7) that no other module covers: each
//! test names its line. Lines that need a server, not only a policy, are in `tests/checklist.rs`.

use serde_json::json;

use super::session::{Session, assert_is_azure_error, base64};

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService";

pub async fn checklist_01_the_api_is_at_the_origins_root(session: &Session) {
    let bearer = format!("Bearer {}", session.main());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let response = session
        .send(
            "POST",
            &format!("{SERVICE}/GetCacheEntryDownloadURL"),
            &headers,
            r#"{"key":"k","version":"v"}"#,
        )
        .await;
    assert_eq!(
        (response.status.as_u16(), response.text()),
        (200, r#"{"ok":false,"signed_download_url":"","matched_key":""}"#)
    );
}

pub async fn checklist_02_every_status_of_a_call_has_a_json_body(session: &Session) {
    let (token, reader) = (session.main(), session.token(&[("refs/heads/main", 1)]));
    session.save(&token, "key", b"x").await;
    let slot = r#"{"key":"key","version":"v"}"#;
    for (call, token, body, status) in [
        ("GetCacheEntryDownloadURL", token.as_str(), slot, 200),
        ("CreateCacheEntry", &token, "<xml>", 400),
        ("CreateCacheEntry", "no token", slot, 401),
        ("CreateCacheEntry", &reader, slot, 403),
        ("FinalizeCacheEntryUpload", &token, r#"{"key":"none","version":"v"}"#, 404),
        ("NoSuchCall", &token, slot, 404),
        ("CreateCacheEntry", &token, slot, 409),
    ] {
        for kind in ["application/json", "application/protobuf"] {
            if kind == "application/protobuf" && ![401, 404].contains(&status) {
                continue;
            }
            let response = session.raw_call(call, token, kind, body).await;
            assert!(response.json().is_object(), "{call}: {}", response.text());
            if kind == "application/json" {
                assert_eq!(response.status.as_u16(), status, "{call}");
            }
        }
    }
}

pub async fn checklist_03_protobuf_in_is_protobuf_out_with_exact_types(session: &Session) {
    super::calls::what_is_saved_is_found_in_protobuf(session).await;
}

pub async fn checklist_04_and_05_snake_case_out_any_case_in_and_ids_as_text(session: &Session) {
    super::calls::what_is_saved_is_found_in_json(session).await;
    let token = session.main();
    let url = session.reserve(&token, "numbers").await;
    session.put(&url, b"12345").await;
    for size in [json!(5), json!("5")] {
        let message = json!({ "key": "numbers", "version": "v", "size_bytes": size });
        let response = session.call("FinalizeCacheEntryUpload", &token, &message).await.json();
        assert!(
            response["entry_id"].as_str().unwrap().bytes().all(|byte| byte.is_ascii_digit()),
            "{response}"
        );
    }
}

pub async fn checklist_06_a_miss_is_ok_false_and_what_exists_is_409(session: &Session) {
    super::calls::a_miss_is_200_with_ok_false(session).await;
    super::calls::a_key_that_exists_is_refused_with_409(session).await;
}

pub async fn checklist_07_the_matched_key_is_the_stored_one(session: &Session) {
    let token = session.main();
    session.save(&token, "index-buildkit-1-0a1b2c3d#12", b"x").await;
    let found = session.matched(&token, "index-buildkit-1-0a1b2c3d#", &[]).await;
    assert_eq!(found.as_deref(), Some("index-buildkit-1-0a1b2c3d#12"));
}

pub async fn checklist_09_and_10_a_blob_put_is_201_with_a_request_id(session: &Session) {
    let token = session.main();
    let url = session.reserve(&token, "key").await;
    // `blob` checks both.
    assert_eq!(session.put(&url, b"x").await.status.as_u16(), 201);
    assert_eq!(session.put_block(&url, "0001", b"x").await.status.as_u16(), 201);
    assert_eq!(session.put_list(&url, &["0001"]).await.status.as_u16(), 201);
    let refused = session.send("PUT", &url.replace("sig=", "sig=0"), &[], "").await;
    assert_is_azure_error(&refused);
    assert!(!refused.header("x-ms-request-id").is_empty());
}

pub async fn checklist_11_ids_of_every_clients_kind_and_order_from_the_list(session: &Session) {
    super::blobs::the_order_comes_from_the_list_alone(session).await;
    let token = session.main();
    // opendal: 16 random bytes; wireit: 4 digits; Azure's for JavaScript: 48 characters; for Go: 64
    // bytes.
    let random: String = "\u{1}\u{7f}ÿ/+=&? é#%01".chars().take(12).collect();
    let go = format!("{}\0\0\0\u{22}{}", "u".repeat(16), "\0".repeat(44));
    for (key, ids) in [
        ("4", ["0000".to_owned(), "0001".to_owned()]),
        ("16", [format!("{random}abcd"), random.clone()]),
        ("48", [format!("{}000000000001", "a-".repeat(18)), format!("{}000000000002", "a-".repeat(18))]),
        ("64", [go.clone(), go.replace('\u{22}', "\u{23}")]),
    ] {
        let url = session.reserve(&token, key).await;
        for (id, content) in ids.iter().zip(["first ", "second"]).rev() {
            assert_eq!(session.put_block(&url, id, content.as_bytes()).await.status.as_u16(), 201, "{key}");
        }
        session.put_list(&url, &[&ids[0], &ids[1]]).await;
        session.finish(&token, key, 12).await;
        assert_eq!(session.content(&token, key).await, "first second", "{key}");
    }
}

pub async fn checklist_12_all_three_tags_are_accepted(session: &Session) {
    super::blobs::all_three_tags_count_and_white_space_does_not(session).await;
    let token = session.main();
    for tag in ["Latest", "Uncommitted", "Committed"] {
        let url = session.reserve(&token, tag).await;
        session.put_block(&url, "0000", b"x").await;
        let list = format!("<BlockList><{tag}>{}</{tag}></BlockList>", base64("0000"));
        assert_eq!(session.put_xml(&url, &list).await.status.as_u16(), 201);
        session.finish(&token, tag, 1).await;
    }
}

pub async fn checklist_13_resent_blocks_replace(session: &Session) {
    let token = session.main();
    let url = session.reserve(&token, "key").await;
    for content in ["first", "again", "last!"] {
        session.put_block(&url, "0000", content.as_bytes()).await;
    }
    session.put_list(&url, &["0000"]).await;
    session.finish(&token, "key", 5).await;
    assert_eq!(session.content(&token, "key").await, "last!");
}

pub async fn checklist_15_and_16_a_whole_blob_may_be_large_or_empty(session: &Session) {
    let token = session.main();
    let large = vec![7; 9 << 20];
    session.save(&token, "large", &large).await;
    assert!(session.content(&token, "large").await == large);
    super::blobs::an_empty_blob_and_an_empty_list_are_entries(session).await;
}

pub async fn checklist_17_and_37_an_upload_url_suits_every_client(session: &Session) {
    let url = session.reserve(&session.main(), "key").await;
    assert!(url.is_ascii());
    let (scheme, rest) = url.split_once("://").unwrap();
    assert!(["http", "https"].contains(&scheme) && !rest.contains("//"), "{url}");
    let (path, query) = rest.split_once('?').expect("a query");
    assert_eq!(path.split('/').count(), 4, "an authority and three segments: {url}");
    assert!(query.split('&').any(|parameter| parameter.starts_with("sig=")), "{url}");
}

pub async fn checklist_18_and_35_signatures_stand_any_order_and_a_token(session: &Session) {
    super::blobs::urls_prove_themselves(session).await;
    let token = session.main();
    session.save(&token, "more", b"x").await;
    let url = session.url(&token, "more").await;
    for token in ["a.b.c", &token] {
        let response = session.send("GET", &url, &[("authorization", &format!("Bearer {token}"))], "").await;
        assert_eq!(response.status.as_u16(), 200);
    }
    // As Go sends it: decoded, sorted and encoded again.
    let (path, query) = url.split_once('?').unwrap();
    let encoded = query.replace("sig=", "s%69g=");
    assert_eq!(session.send("GET", &format!("{path}?{encoded}"), &[], "").await.status.as_u16(), 200);
}

pub async fn checklist_19_both_ranges_are_known_open_ended_too(session: &Session) {
    super::downloads::ranges_are_answered_exactly(session).await;
}

pub async fn checklist_20_downloads_have_a_length_and_no_encoding(session: &Session) {
    super::downloads::nothing_is_compressed_or_chunked(session).await;
}

pub async fn checklist_21_head_and_get_have_an_etag(session: &Session) {
    super::downloads::a_head_has_the_fields_of_a_get(session).await;
}

pub async fn checklist_23_what_is_permanent_is_a_4xx(session: &Session) {
    let token = session.main();
    let upload = session.reserve(&token, "key").await;
    session.put(&upload, b"x").await;
    session.finish(&token, "key", 1).await;
    assert_eq!(session.put(&upload, b"y").await.status.as_u16(), 404, "ended");
    let download = session.url(&token, "key").await;
    for url in [&upload, &download] {
        let expired = format!("{}?se=1&sig=00", url.split('?').next().unwrap());
        let response = session.send(if url == &upload { "PUT" } else { "GET" }, &expired, &[], "").await;
        assert_eq!(response.status.as_u16(), 403);
    }
}

pub async fn checklist_24_finalize_is_idempotent_and_checks_the_size(session: &Session) {
    super::calls::finalize_is_idempotent_and_checks_the_size(session).await;
}

pub async fn checklist_25_of_concurrent_creates_one_wins_and_a_retry_gets_the_same_upload(session: &Session) {
    super::calls::a_retry_of_a_create_gets_the_same_upload_and_nobody_else_does(session).await;
}

/// Fault 26: otherwise it would be forwarded to the upstream with the caller's token.
pub async fn checklist_33_what_is_no_upstreams_is_answered_here(session: &Session) {
    let bearer = format!("Bearer {}", session.main());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let prefixed = format!("/x{SERVICE}/CreateCacheEntry");
    for path in [prefixed.as_str(), "/metrics", "/favicon.ico", "/robots.txt"] {
        for method in ["GET", "POST"] {
            let response = session.send(method, path, &headers, r#"{"key":"k","version":"v"}"#).await;
            assert_eq!(
                (response.status.as_u16(), &response.json()["code"]),
                (404, &json!("bad_route")),
                "{path}"
            );
            assert_eq!(response.header("content-type"), "application/json");
            let text = if path == prefixed { "without a path" } else { "/health" };
            assert!(response.json()["msg"].as_str().unwrap().contains(text), "{}", response.text());
        }
    }
}

pub async fn checklist_30_keys_and_versions_are_opaque(session: &Session) {
    super::matching::keys_are_compared_byte_for_byte_but_for_their_case(session).await;
    let token = session.main();
    let long = "k".repeat(512);
    session.save(&token, &long, b"x").await;
    assert_eq!(session.matched(&token, &long, &[]).await.as_deref(), Some(long.as_str()));
    let message = json!({ "key": "sccache/a/b", "version": "sccache-v0.10.0-mine: ü" });
    let created = session.call("CreateCacheEntry", &token, &message).await;
    assert_eq!(created.status.as_u16(), 200);
}

pub async fn checklist_31_the_newest_with_a_prefix_wins_however_fast_they_come(session: &Session) {
    let token = session.main();
    for number in 1..=12 {
        session.save(&token, &format!("index-b-1-00000000#{number}"), b"x").await;
        let found = session.matched(&token, "index-b-1-00000000#", &[]).await;
        assert_eq!(found, Some(format!("index-b-1-00000000#{number}")));
    }
}
