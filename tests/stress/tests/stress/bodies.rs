//! Bodies that arrive byte by byte, and bodies that stop half way.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use larder_stress::{
    attack::{
        Crowd, Peer,
        http1::{Script, request},
        http2::{Body, Streams, USUAL_WINDOW},
    },
    client::{Client, block_url},
    server::{Server, Setup},
    siege::{Bounds, siege},
};

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const ANNOUNCED: usize = 8 << 20;
const CALL: &str = "/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry";
const CALL_BYTES: usize = 256 << 10;
const STREAMS: usize = 128;

/// Returns URLs of uploads that an attacker reserved with its own token.
async fn uploads(server: &Server, count: usize) -> Vec<String> {
    let attacker = Client::new(server, "666", RESPONSE_TIMEOUT);
    let mut urls = Vec::new();
    for number in 0..count {
        urls.push(attacker.create(&format!("attack-{number}")).await.unwrap());
    }
    urls
}

fn length(bytes: usize) -> String {
    format!("content-length: {bytes}\r\n")
}

/// Fault 9. One byte of a block in each of many uploads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_on_http1() {
    siege("slow bodies, HTTP/1.1", Setup::default(), Bounds::default(), async |server| {
        let urls = uploads(server, 800).await;
        let mut crowd = Crowd::against(server.address());
        for (number, url) in urls.iter().enumerate() {
            let (target, kind) = match number % 3 {
                0 => (url.clone(), "x-ms-blob-type: BlockBlob\r\n"),
                1 => (block_url(url, 0), ""),
                _ => (format!("{url}&comp=blocklist"), ""),
            };
            let fields = format!("{kind}{}", length(ANNOUNCED));
            let opening = request(server.address(), "PUT", &target, &fields, b"<");
            Script::dripping(opening, " ").join(&mut crowd, Peer::other(number));
        }
        crowd.in_place().await;
        crowd
    })
    .await;
}

/// Fault 9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_on_http2() {
    siege("slow bodies, HTTP/2", Setup::default(), Bounds::default(), async |server| {
        let urls = uploads(server, 512).await;
        let mut crowd = Crowd::against(server.address());
        for (number, urls) in urls.chunks(STREAMS).enumerate() {
            let target = |url: &String| http::Request::put(block_url(url, 0)).body(()).unwrap();
            Streams {
                count: STREAMS,
                window: USUAL_WINDOW,
                requests: Arc::new(urls.iter().map(target).collect()),
                body: Some(Body { opening: Bytes::from_static(b"x"), drip: Bytes::from_static(b"y") }),
            }
            .join(&mut crowd, Peer::other(number));
        }
        crowd.in_place().await;
        crowd
    })
    .await;
}

/// Faults 7 and 8. Block lists of 8 MiB, of which 7 MiB arrive, on HTTP/1.1 and on HTTP/2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_block_lists() {
    siege("half-sent block lists", Setup::default(), Bounds::default(), async |server| {
        let urls = uploads(server, 232).await;
        let mut half = b"<BlockList>".to_vec();
        half.extend(b"<Latest>MDAwMDAwMDAwMDA=</Latest>".iter().cycle().take(7 << 20));
        let half = Bytes::from(half);
        let list = |url: &String| format!("{url}&comp=blocklist");
        let mut crowd = Crowd::against(server.address());
        for (number, url) in urls[..200].iter().enumerate() {
            let opening = request(server.address(), "PUT", &list(url), &length(ANNOUNCED), b"");
            Script::once(opening).then(half.clone()).join(&mut crowd, Peer::other(number));
        }
        let target = |url: &String| http::Request::put(list(url)).body(()).unwrap();
        Streams {
            count: 32,
            window: USUAL_WINDOW,
            requests: Arc::new(urls[200..].iter().map(target).collect()),
            body: Some(Body { opening: half, drip: Bytes::new() }),
        }
        .join(&mut crowd, Peer::other(0));
        crowd.in_place().await;
        crowd
    })
    .await;
}

/// Faults 7 and 8. Calls of 256 KiB, all but the last byte of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_calls() {
    siege("half-sent calls", Setup::default(), Bounds::default(), async |server| {
        let attacker = Client::new(server, "666", RESPONSE_TIMEOUT);
        let fields = format!(
            "authorization: Bearer {}\r\ncontent-type: application/json\r\n{}",
            attacker.token(),
            length(CALL_BYTES)
        );
        let mut crowd = Crowd::against(server.address());
        let opening = request(server.address(), "POST", CALL, &fields, b"");
        let half = Bytes::from(vec![b' '; CALL_BYTES - 1]);
        for number in 0..900 {
            Script::once(opening.clone()).then(half.clone()).join(&mut crowd, Peer::other(number));
        }
        crowd.in_place().await;
        crowd
    })
    .await;
}
