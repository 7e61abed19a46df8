//! Uploads (protocol reference, section 3).

use super::session::{Session, base64};

pub async fn the_order_comes_from_the_list_alone(session: &Session) {
    let token = session.main();
    let url = session.reserve(&token, "key").await;
    // Ids of several lengths and kinds. The first block is sent twice, one is not listed, one is
    // listed twice.
    let long = "i".repeat(64);
    for (id, content) in
        [("0001", "old"), ("a/b+c?", "two "), (&long, "three "), ("unlisted", "X"), ("0001", "one ")]
    {
        assert_eq!(session.put_block(&url, id, content.as_bytes()).await.status.as_u16(), 201);
    }
    session.put_list(&url, &["a/b+c?", "0001", &long, "0001"]).await;
    session.finish(&token, "key", 18).await;
    assert_eq!(session.content(&token, "key").await, "two one three one ");
}

pub async fn a_listed_block_that_is_missing_is_refused_and_nothing_changes(session: &Session) {
    let token = session.main();
    let url = session.reserve(&token, "key").await;
    session.put_block(&url, "0001", b"one").await;
    let response = session.put_list(&url, &["0001", "0002"]).await;
    assert_eq!((response.status.as_u16(), response.header("x-ms-error-code")), (400, "InvalidBlockList"));
    assert!(session.finalize(&token, "key", 3).await.status.is_client_error());
    session.put_block(&url, "0002", b"two").await;
    assert_eq!(session.put_list(&url, &["0001", "0002"]).await.status.as_u16(), 201);
    session.finish(&token, "key", 6).await;
    assert_eq!(session.content(&token, "key").await, "onetwo");
}

pub async fn all_three_tags_count_and_white_space_does_not(session: &Session) {
    let token = session.main();
    let url = session.reserve(&token, "key").await;
    for id in ["0001", "0002", "0003"] {
        session.put_block(&url, id, id.as_bytes()).await;
    }
    let (one, two, three) = (base64("0001"), base64("0002"), base64("0003"));
    let list = format!(
        "<BlockList>\n  <Uncommitted>{two}</Uncommitted>\n  <Latest> {one}\n</Latest><!-- a comment -->\n  <Committed>{three}</Committed>\n</BlockList>\n"
    );
    assert_eq!(session.put_xml(&url, &list).await.status.as_u16(), 201);
    session.finish(&token, "key", 12).await;
    assert_eq!(session.content(&token, "key").await, "000200010003");
}

pub async fn an_empty_blob_and_an_empty_list_are_entries(session: &Session) {
    let token = session.main();
    session.save(&token, "blob", b"").await;
    assert_eq!(session.content(&token, "blob").await.len(), 0);
    let url = session.reserve(&token, "list").await;
    assert_eq!(session.put_list(&url, &[]).await.status.as_u16(), 201);
    session.finish(&token, "list", 0).await;
    assert_eq!(session.content(&token, "list").await.len(), 0);
}

pub async fn a_whole_blob_that_is_sent_again_replaces_the_first(session: &Session) {
    let token = session.main();
    let url = session.reserve(&token, "key").await;
    session.put(&url, b"first").await;
    session.put(&url, b"the second").await;
    session.finish(&token, "key", 10).await;
    assert_eq!(session.content(&token, "key").await, "the second");
    assert!(session.put(&url, b"too late").await.status.is_client_error());
    assert!(session.put_block(&url, "0001", b"too late").await.status.is_client_error());
    assert_eq!(session.content(&token, "key").await, "the second");
}

pub async fn a_list_that_is_sent_again_changes_nothing(session: &Session) {
    let token = session.main();
    let url = session.reserve(&token, "key").await;
    session.put_block(&url, "0001", b"one").await;
    for _ in 0..3 {
        assert_eq!(session.put_list(&url, &["0001"]).await.status.as_u16(), 201);
    }
    let id = session.finish(&token, "key", 3).await;
    assert_eq!(session.finish(&token, "key", 3).await, id);
    assert_eq!(session.content(&token, "key").await, "one");
}

pub async fn bad_lists_and_block_ids_are_400_in_xml(session: &Session) {
    let token = session.main();
    let url = session.reserve(&token, "key").await;
    for list in [
        "",
        "<",
        "<BlockList>",
        "<html></html>",
        "<BlockList><Other>x</Other></BlockList>",
        "{\"a\":1}",
        "\0",
    ] {
        assert_eq!(session.put_xml(&url, list).await.status.as_u16(), 400, "{list:?}");
    }
    for query in ["&comp=block", "&comp=block&blockid=", "&comp=nothing"] {
        let response = session.blob(&format!("{url}{query}"), &[], b"content").await;
        assert_eq!(response.status.as_u16(), 400, "{query}");
    }
    let long = "i".repeat(300);
    assert_eq!(session.put_block(&url, &long, b"content").await.status.as_u16(), 400);
    assert!(session.finalize(&token, "key", 7).await.status.is_client_error(), "nothing is stored");
}

pub async fn urls_prove_themselves(session: &Session) {
    let token = session.main();
    let upload = session.reserve(&token, "key").await;
    // Parameters may be added and reordered: the signature does not cover the text.
    let (path, query) = upload.split_once('?').unwrap();
    let parameters: Vec<&str> = query.split('&').rev().collect();
    let reordered = format!("{path}?timeout=30&{}&api-version=2026-02-06", parameters.join("&"));
    assert_eq!(session.put(&reordered, b"content").await.status.as_u16(), 201);
    session.finish(&token, "key", 7).await;
    let download = session.url(&token, "key").await;

    for url in [&upload, &download] {
        let method = if url == &upload { "PUT" } else { "GET" };
        let (path, query) = url.split_once('?').unwrap();
        let signature = query.split("sig=").nth(1).unwrap();
        let flipped = if signature.starts_with('0') { "1" } else { "0" };
        let expiry = query.split("se=").nth(1).unwrap().split('&').next().unwrap();
        for bad in [
            path.to_owned(),
            format!("{path}?se={expiry}"),
            format!("{path}?sig={signature}"),
            format!("{path}?se=1{expiry}&sig={signature}"),
            format!("{path}?se={expiry}&sig={flipped}{}", &signature[1..]),
            format!("{path}?se=1&sig={signature}"),
            format!("{path}1?{query}"),
        ] {
            let response = session.send(method, &bad, &[], "").await;
            assert_eq!(response.status.as_u16(), 403, "{method} {bad}");
            super::session::assert_is_azure_error(&response);
        }
    }
    // A signature for one purpose is not valid for the other.
    let crossed = upload.replace("/upload/", "/download/");
    assert!(session.send("GET", &crossed, &[], "").await.status.is_client_error());
}
