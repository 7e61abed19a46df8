//! An HTTP proxy for tests. It records its requests and connects all of them to one server.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Most bytes in the head of a request.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A proxy on the loopback interface. Dropping it stops it.
pub struct TestProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl TestProxy {
    /// Starts a proxy that connects every request to `server`, whatever its target.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, seen.clone()));
            }
        });
        Self { address, heads, accepting }
    }

    /// Returns its URL, with a user and a password that must be percent-encoded.
    pub fn url(&self) -> String {
        format!("http://user:p%40ss@{}", self.address)
    }

    /// Returns the heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// The header field for the credentials in [`TestProxy::url`].
pub const AUTHORIZATION: &str = "proxy-authorization: Basic dXNlcjpwQHNz";

async fn pass(mut client: TcpStream, server: SocketAddr, heads: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        head.push(client.read_u8().await.ok()?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let is_tunnel = text.starts_with("CONNECT ");
    heads.lock().unwrap().push(text.to_ascii_lowercase().replace("basic dxnlcjpwqhnz", "Basic dXNlcjpwQHNz"));
    let mut server = TcpStream::connect(server).await.ok()?;
    if is_tunnel {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    } else {
        server.write_all(&head).await.ok()?;
    }
    copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
}

/// Starts a server that sends the same response to all requests. Returns its address.
pub async fn answering(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = vec![0; MAX_HEAD_BYTES];
            let _ = client.read(&mut head).await;
            let length = body.len();
            let response =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            let _ = client.write_all(response.as_bytes()).await;
        }
    });
    address
}
