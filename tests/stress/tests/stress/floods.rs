//! Requests without a token, as many and as large as HTTP/2 allows.

use std::sync::Arc;

use bytes::Bytes;
use larder_stress::{
    attack::{
        BlackHole, Crowd, Peer,
        http2::{Body, Streams, USUAL_WINDOW},
    },
    server::{Server, Setup},
    siege::{Bounds, siege},
};

const CONNECTIONS: usize = 50;
const STREAMS: usize = 128;
const HEAD_BYTES: usize = 31 << 10;

async fn flood(server: &Server, peer: impl Fn(usize) -> Peer) -> Crowd {
    let fill = "x".repeat(HEAD_BYTES);
    let target = format!("{}/anything", server.base());
    let request = http::Request::post(target).header("x-fill", fill).body(()).unwrap();
    let requests = Arc::new(vec![request]);
    let mut crowd = Crowd::against(server.address());
    for number in 0..CONNECTIONS {
        Streams {
            count: STREAMS,
            window: USUAL_WINDOW,
            requests: requests.clone(),
            body: Some(Body { opening: Bytes::from_static(b"{"), drip: Bytes::new() }),
        }
        .join(&mut crowd, peer(number));
    }
    crowd.in_place().await;
    crowd
}

/// Fault 7. Heads of 31 KiB and bodies that never arrive, forwarded to an upstream that never
/// responds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_bodies_for_an_upstream_that_hangs() {
    let upstream = BlackHole::start().await;
    let setup = Setup::default().with("DEFAULT_ACTIONS_RESULTS_URL", &upstream.url);
    siege("flood of heads, an upstream that hangs", setup, Bounds::default(), async |server| {
        flood(server, Peer::other).await
    })
    .await;
}

/// Fault 7. The same without forwarding: each gets a response at once, and the next one follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_bodies_without_an_upstream() {
    siege("flood of heads, no upstream", Setup::default(), Bounds::default(), async |server| {
        flood(server, Peer::other).await
    })
    .await;
}
