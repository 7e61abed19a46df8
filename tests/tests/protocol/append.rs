//! Append blobs, as the Nix client sends them (protocol reference, 3.2).

use super::session::Session;

async fn put(session: &Session, url: &str, more: &str, body: &[u8]) -> u16 {
    let headers = [("x-ms-blob-type", "AppendBlob"), ("content-type", "application/octet-stream")];
    let response = session.send("PUT", &format!("{url}{more}"), &headers, body.to_vec()).await;
    assert!(!response.header("x-ms-request-id").is_empty());
    response.status.as_u16()
}

pub async fn checklist_32_what_is_appended_is_the_content_sealed_or_not(session: &Session) {
    let token = session.main();
    for (key, sealed) in [("sealed", true), ("open", false)] {
        let url = session.reserve(&token, key).await;
        assert_eq!(put(session, &url, "", b"").await, 201);
        for piece in ["one ", "two ", "three"] {
            assert_eq!(put(session, &url, "&comp=appendblock", piece.as_bytes()).await, 201);
        }
        if sealed {
            assert_eq!(put(session, &url, "&comp=seal", b"").await, 200);
            assert_eq!(put(session, &url, "&comp=seal", b"").await, 200, "a repeat");
        }
        session.finish(&token, key, 13).await;
        assert_eq!(session.content(&token, key).await, "one two three");
    }
}

pub async fn an_append_that_is_sent_twice_is_refused_or_right(session: &Session) {
    let token = session.main();
    let url = session.reserve(&token, "twice").await;
    put(session, &url, "", b"").await;
    for _ in 0..2 {
        assert_eq!(put(session, &url, "&comp=appendblock", b"same").await, 201);
    }
    assert_eq!(session.finalize(&token, "twice", 4).await.status.as_u16(), 400);
    assert_eq!(session.matched(&token, "twice", &[]).await, None);

    let url = session.reserve(&token, "position").await;
    put(session, &url, "", b"").await;
    for status in [201, 412] {
        let headers = [("x-ms-blob-type", "AppendBlob"), ("x-ms-blob-condition-appendpos", "0")];
        let response = session.send("PUT", &format!("{url}&comp=appendblock"), &headers, "same").await;
        assert_eq!(response.status.as_u16(), status);
    }
    session.finish(&token, "position", 4).await;
    assert_eq!(session.content(&token, "position").await, "same");
}
