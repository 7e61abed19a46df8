//! Downloads (protocol reference, section 4).

use super::session::Session;

const CONTENT: &[u8] = b"0123456789abcdefghij";

pub async fn ranges_are_answered_exactly(session: &Session) {
    let token = session.main();
    session.save(&token, "key", CONTENT).await;
    let url = session.url(&token, "key").await;
    for (range, status, content_range, body) in [
        ("bytes=0-0", 206, "bytes 0-0/20", "0"),
        ("bytes=5-9", 206, "bytes 5-9/20", "56789"),
        ("bytes=5-", 206, "bytes 5-19/20", "56789abcdefghij"),
        ("bytes=15-99", 206, "bytes 15-19/20", "fghij"),
        ("bytes=-3", 206, "bytes 17-19/20", "hij"),
        ("bytes=-99", 206, "bytes 0-19/20", "0123456789abcdefghij"),
        ("bytes=20-", 416, "bytes */20", ""),
        ("bytes=99999999999999999999-", 416, "bytes */20", ""),
        ("bytes=-0", 416, "bytes */20", ""),
        ("bytes=9-5", 200, "", "0123456789abcdefghij"),
        ("bytes=a-b", 200, "", "0123456789abcdefghij"),
        ("items=0-1", 200, "", "0123456789abcdefghij"),
    ] {
        for name in ["range", "x-ms-range"] {
            let response = session.send("GET", &url, &[(name, range)], "").await;
            assert_eq!(response.status.as_u16(), status, "{name}: {range}");
            assert_eq!(response.header("content-range"), content_range, "{name}: {range}");
            if status != 416 {
                assert_eq!(response.text(), body, "{name}: {range}");
                assert_eq!(response.header("content-length"), body.len().to_string());
            }
        }
    }
}

pub async fn the_azure_range_wins(session: &Session) {
    let token = session.main();
    session.save(&token, "key", CONTENT).await;
    let url = session.url(&token, "key").await;
    let response =
        session.send("GET", &url, &[("range", "bytes=0-0"), ("x-ms-range", "bytes=18-")], "").await;
    assert_eq!((response.status.as_u16(), response.text()), (206, "ij"));
}

pub async fn a_head_has_the_fields_of_a_get(session: &Session) {
    let token = session.main();
    session.save(&token, "key", CONTENT).await;
    let url = session.url(&token, "key").await;
    let get = session.send("GET", &url, &[], "").await;
    let head = session.send("HEAD", &url, &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    for name in ["content-length", "etag", "last-modified", "accept-ranges", "content-type"] {
        assert!(!head.header(name).is_empty(), "{name}");
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(head.header("content-length"), "20");
}

pub async fn conditions_are_kept(session: &Session) {
    let token = session.main();
    session.save(&token, "key", CONTENT).await;
    let url = session.url(&token, "key").await;
    let etag = session.send("HEAD", &url, &[], "").await.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let list = format!("\"other\", {etag}");
    for (name, value, status) in [
        ("if-match", etag.as_str(), 200),
        ("if-match", &list, 200),
        ("if-match", "*", 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", &list, 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"other\"", 200),
    ] {
        let response = session.send("GET", &url, &[(name, value)], "").await;
        assert_eq!(response.status.as_u16(), status, "{name}: {value}");
    }
}

pub async fn nothing_is_compressed_or_chunked(session: &Session) {
    let token = session.main();
    session.save(&token, "key", &[0; 100_000]).await;
    let url = session.url(&token, "key").await;
    let response = session.send("GET", &url, &[("accept-encoding", "gzip, zstd")], "").await;
    assert_eq!((response.header("content-length"), response.body.len()), ("100000", 100_000));
    for name in ["content-encoding", "transfer-encoding"] {
        assert_eq!(response.header(name), "", "{name}");
    }
    assert_eq!(response.header("content-type"), "application/octet-stream");
}
