#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::Ipv4Addr;

use super::*;

fn refusal(head: &str) -> Option<Refusal> {
    Refusal::in_place_of(head.as_bytes(), Ipv4Addr::LOCALHOST.into())
}

#[test]
fn an_empty_refusal_gets_a_body_in_json() {
    for (line, code) in [
        ("400 Bad Request", "malformed"),
        ("414 URI Too Long", "invalid_argument"),
        ("431 Request Header Fields Too Large", "invalid_argument"),
    ] {
        let own = format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\ndate: today\r\n\r\n");
        let refusal = refusal(&own).unwrap();
        assert_eq!(refusal.replaced_bytes, own.len());
        let (head, body) = refusal.response.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {line}\r\ncontent-type: application/json\r\n")),
            "{head}"
        );
        assert!(head.contains(&format!("content-length: {}\r\ndate: today", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], code);
        assert!(body["msg"].is_string());
    }
}

#[test]
fn other_bytes_are_sent_as_they_are() {
    for bytes in [
        "",
        "HTTP/1.1 4",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\nx-ms-request-id: 1\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nbody",
    ] {
        assert!(refusal(bytes).is_none(), "{bytes}");
    }
    assert!(
        Refusal::in_place_of(b"HTTP/1.1 400 \xff\r\ncontent-length: 0\r\n\r\n", Ipv4Addr::LOCALHOST.into())
            .is_none()
    );
}
