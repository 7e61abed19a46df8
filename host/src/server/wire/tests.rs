#![expect(clippy::unwrap_used, reason = "tests")]

use std::{cell::Cell, future::poll_fn, net::Ipv4Addr};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use super::*;

const OWN: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

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

/// Sends all, in one piece.
async fn send<Idle: Fn() -> bool + Unpin>(wire: &mut Wire<Idle>, text: &str) {
    let sent = poll_fn(|cx| Pin::new(&mut *wire).poll_write(cx, text.as_bytes())).await.unwrap();
    assert_eq!(sent, text.len());
}

/// Content of an entry may look like a refusal.
#[tokio::test]
async fn nothing_of_a_response_is_replaced() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let is_idle = Cell::new(false);
    let mut wire = Wire::new(Stream::Tcp(server), Ipv4Addr::LOCALHOST.into(), || is_idle.get());
    let flush = async |wire: &mut Wire<_>| poll_fn(|cx| Pin::new(&mut *wire).poll_flush(cx)).await.unwrap();

    let ours = ["HTTP/1.1 200 OK\r\nx-ms-request-id: 1\r\ncontent-length: 94\r\n\r\n", OWN, OWN];
    for (number, part) in ours.into_iter().enumerate() {
        send(&mut wire, part).await;
        // The body is gone before its last bytes are sent.
        is_idle.set(number > 0);
        if number < 1 {
            flush(&mut wire).await;
        }
    }
    flush(&mut wire).await;
    send(&mut wire, OWN).await;
    drop(wire);

    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    let refusal = received.strip_prefix(&ours.concat()).unwrap();
    assert!(refusal.contains("application/json"), "{refusal}");
}
