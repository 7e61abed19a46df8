//! Clients that go in the middle, and servers that are killed.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    time::Duration,
};

use larder_tests::{StockOptions, StockServer};

use super::{
    client::{Client, pattern},
    directory,
};

/// Sends the head of a PUT and a part of its body, and goes.
fn cut_short(server: &StockServer, url: &str, announced: usize, sent: &[u8]) {
    let target = url.strip_prefix(&server.base).unwrap_or(url);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nhost: x\r\nx-ms-blob-type: BlockBlob\r\ncontent-length: {announced}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(sent).unwrap();
}

#[tokio::test]
async fn a_body_that_is_cut_short_does_not_count() {
    let data = directory();
    let server = StockServer::start(data.path(), &StockOptions::default());
    let client = Client::of(&server);
    let (whole, half) = (pattern(200_000, 1), pattern(100_000, 2));
    let url = client.reserve("k").await;
    cut_short(&server, &url, 200_000, &half);
    assert_eq!(client.put_block(&url, "a", &whole).await.unwrap().status.as_u16(), 201);
    cut_short(&server, &format!("{url}&comp=block&blockid=YQ%3D%3D"), 200_000, &half);
    cut_short(&server, &format!("{url}&comp=block&blockid=Yg%3D%3D"), 200_000, &half);
    assert_eq!(client.put_list(&url, &["a", "b"]).await.unwrap().status.as_u16(), 400, "b is not there");
    assert!(client.finalize("k", 100_000).await.is_err());
    assert_eq!(client.put_list(&url, &["a"]).await.unwrap().status.as_u16(), 201);
    client.finalize("k", whole.len()).await.unwrap();
    assert_eq!(client.restore("k").await.unwrap(), whole);
    assert_eq!(files(data.path(), "t."), 0, "no body under way is left");
}

/// Names that begin so, in all folders.
fn files(folder: &std::path::Path, prefix: &str) -> usize {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>());
    let count = |entry: &std::fs::DirEntry| {
        let is_it = entry.file_name().to_string_lossy().starts_with(prefix);
        let path = entry.path();
        usize::from(is_it) + if path.is_dir() { files(&path, prefix) } else { 0 }
    };
    entries.unwrap_or_default().iter().map(count).sum()
}

#[tokio::test]
async fn readers_that_go_do_not_disturb_others() {
    let data = directory();
    let server = StockServer::start(data.path(), &StockOptions::default());
    let client = Client::of(&server);
    let content = pattern(20_000_000, 1);
    client.try_save("k", &content, 7).await.unwrap();
    let url = client.url("k").await.unwrap();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let target = url.strip_prefix(&server.base).unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
        stream.read_exact(&mut [0; 5000]).unwrap();
    }
    // Also one that stays idle for longer than an instance without tasks lives.
    let slow = std::thread::spawn({
        let (target, address) = (url.strip_prefix(&server.base).unwrap().to_owned(), server.address);
        move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .write_all(
                    format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
                )
                .unwrap();
            std::thread::sleep(Duration::from_secs(3));
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        }
    });
    assert_eq!(client.restore("k").await.unwrap(), content);
    let all = slow.join().unwrap();
    assert!(all.ends_with(&content), "{} bytes", all.len());
}

/// Kills the server in the middle of saves, again and again. What was acknowledged is there with its
/// content; what was not is absent or whole, and can be saved.
#[tokio::test]
async fn a_killed_server_loses_nothing_that_it_acknowledged() {
    let data = directory();
    let acknowledged: Arc<Mutex<HashMap<String, bool>>> = Arc::default();
    for round in 0..4_u64 {
        let mut server = StockServer::start(data.path(), &StockOptions::default());
        let savers: Vec<_> = (0..6_u64)
            .map(|saver| {
                let (client, acknowledged) = (Client::of(&server), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    for number in 0.. {
                        let key = format!("{round}-{saver}-{number}");
                        let content = content_of(&key);
                        acknowledged.lock().unwrap().insert(key.clone(), false);
                        let blocks = usize::try_from(number % 4).unwrap();
                        if client.try_save(&key, &content, blocks).await.is_err() {
                            return;
                        }
                        acknowledged.lock().unwrap().insert(key, true);
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1500 + 400 * round)).await;
        server.kill();
        for saver in savers {
            saver.await.unwrap();
        }
    }
    let server = StockServer::start(data.path(), &StockOptions::default());
    let client = Client::of(&server);
    let acknowledged = acknowledged.lock().unwrap().clone();
    let (mut kept, mut absent) = (0, Vec::new());
    for (key, was_acknowledged) in &acknowledged {
        match client.restore(key).await {
            Some(content) => {
                assert_eq!(content, content_of(key), "{key}");
                kept += usize::from(*was_acknowledged);
            }
            None => {
                assert!(!was_acknowledged, "{key} was acknowledged and is gone");
                absent.push(key);
            }
        }
        let by_prefix = client.found("none", &[key]).await;
        assert_eq!(by_prefix["ok"], !absent.contains(&key), "{key} is found in both ways or in none");
    }
    assert!(kept >= 20, "too few were saved to prove anything: {kept}");
    assert!(!absent.is_empty(), "no save was under way when the server was killed");
}

fn content_of(key: &str) -> Vec<u8> {
    let seed = key.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    pattern(30_000 + usize::try_from(seed % 90_000).unwrap(), seed)
}
