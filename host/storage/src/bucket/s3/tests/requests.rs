//! What `objects/` relies on, with a real service.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures_util::future;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::bucket;
use crate::{
    StorageError,
    conformance::{assert_not_found, pattern, read},
};

/// Gets a URL with nothing but a socket. Returns status and body.
async fn get(url: &str, range: Option<&str>) -> (u16, Vec<u8>) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let range = range.map(|range| format!("Range: {range}\r\n")).unwrap_or_default();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n{range}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    let head_end = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let status = std::str::from_utf8(&response[9..12]).unwrap().parse().unwrap();
    (status, response.split_off(head_end))
}

#[tokio::test]
async fn signed_urls_are_good_for_what_they_say_and_no_longer() {
    let Some(bucket) = bucket().await else { return };
    let bytes = pattern(100_000, 1);
    bucket.put("objects/x", vec![bytes.clone().into()]).await.unwrap();
    let sign = |lifetime| bucket.presign("objects/x", lifetime);
    let url = sign(Duration::from_secs(60)).await.unwrap().unwrap();
    let (status, body) = get(&url, None).await;
    assert!(status == 200 && body == bytes, "{status}");
    let (status, body) = get(&url, Some("bytes=5-99")).await;
    assert!(status == 206 && body == bytes[5..100], "{status}");
    assert_eq!(get(&url.replace("objects/x", "objects/y"), None).await.0, 403);
    let (front, signature) = url.split_once("X-Amz-Signature=").unwrap();
    let tampered = if signature.starts_with('0') { "1" } else { "0" };
    assert_eq!(get(&format!("{front}X-Amz-Signature={tampered}{}", &signature[1..]), None).await.0, 403);
    let short = sign(Duration::from_secs(1)).await.unwrap().unwrap();
    for _ in 0..100 {
        let (status, _) = get(&short, None).await;
        if status == 403 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a URL is good for longer than it says");
}

#[tokio::test]
async fn of_concurrent_first_stores_one_wins() {
    let Some(bucket) = bucket().await else { return };
    for round in 0..5 {
        let key = format!("uploads/{round}");
        let bodies: Vec<Bytes> = (0..8).map(|n| Bytes::from(format!("{n}"))).collect();
        let puts = bodies.iter().map(|body| bucket.put_new(&key, vec![body.clone()]));
        let won: Vec<bool> = future::try_join_all(puts).await.unwrap();
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        let winner = won.iter().position(|won| *won).unwrap();
        assert_eq!(bucket.read(&key, 10).await.unwrap(), bodies[winner]);
    }
}

#[tokio::test]
async fn listings_and_deletions_page_through_everything() {
    let Some(bucket) = bucket().await else { return };
    let keys: BTreeSet<String> = (0..2100).map(|n| format!("objects/{n:04}")).collect();
    let all: Vec<&String> = keys.iter().collect();
    for some in all.chunks(32) {
        future::try_join_all(some.iter().map(|key| bucket.put(key, vec![Bytes::from_static(b"x")])))
            .await
            .unwrap();
    }
    let mut listed = Vec::new();
    let mut from = None;
    loop {
        let page = bucket.list("objects/", from.as_deref()).await.unwrap();
        assert!(page.items.iter().all(|item| item.size_bytes == 1 && item.modified_ms > 1_600_000_000_000));
        listed.extend(page.items.into_iter().map(|item| item.key));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert!(listed.iter().eq(keys.iter()), "{} listed", listed.len());
    listed.push("objects/not there".to_owned());
    bucket.remove(&listed).await.unwrap();
    assert!(bucket.list("objects/", None).await.unwrap().items.is_empty());
    bucket.remove(&["objects/gone".to_owned()]).await.unwrap();
}

#[tokio::test]
async fn multiparts_are_listed_aborted_and_completed_once() {
    let Some(bucket) = bucket().await else { return };
    let (part, last) = (pattern(5 << 20, 1), pattern(10, 2));
    let id = bucket.begin("objects/x").await.unwrap();
    let other = bucket.begin("objects/y").await.unwrap();
    let two = bucket.put_part("objects/x", &id, 7, vec![last.clone().into()]).await.unwrap();
    let unlisted = bucket.put_part("objects/x", &id, 5, vec![part.clone().into()]).await.unwrap();
    let one = bucket.put_part("objects/x", &id, 3, vec![part.clone().into()]).await.unwrap();
    assert_eq!((one.number, unlisted.number), (3, 5));
    let open = bucket.list_multiparts("objects/", None).await.unwrap();
    let mut found: Vec<_> = open.items.iter().map(|open| (open.key.as_str(), open.id.as_str())).collect();
    found.sort_unstable();
    assert_eq!(found, [("objects/x", id.as_str()), ("objects/y", other.as_str())]);
    assert_not_found(bucket.head("objects/x").await);

    bucket.complete("objects/x", &id, &[one.clone(), two.clone()]).await.unwrap();
    let expected = [&part[..], &last].concat();
    assert_eq!(bucket.head("objects/x").await.unwrap(), expected.len() as u64);
    assert!(
        read(bucket.get("objects/x", expected.len() as u64, None).await.unwrap()).await.unwrap() == expected
    );
    let again = bucket.complete("objects/x", &id, &[one, two]).await;
    assert!(matches!(again, Ok(()) | Err(StorageError::NotFound)), "{again:?}");
    bucket.abort("objects/y", &other).await.unwrap();
    bucket.abort("objects/y", &other).await.unwrap();
    assert!(bucket.list_multiparts("objects/", None).await.unwrap().items.is_empty());
    assert_not_found(bucket.put_part("objects/y", &other, 1, vec![part.into()]).await);
}
