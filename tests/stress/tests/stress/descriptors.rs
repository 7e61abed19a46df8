//! A server with few descriptors, and clients that hold some of them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use larder_stress::{
    attack::{
        BlackHole, Crowd, Peer,
        http1::{Script, request},
        http2::{Body, Streams, USUAL_WINDOW},
    },
    client::{Client, content},
    server::{Server, Setup},
    siege::{Bounds, siege},
};

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Descriptors that must stay free: for accepting, for files of the index, for the log.
const SPARE: usize = 8;

/// Faults 6 and 9: stalled forwards, responses that are not read, a block of one byte in each of
/// many uploads, and idle connections.
async fn everything(server: &Server) -> Crowd {
    let attacker = Client::new(server, "666", RESPONSE_TIMEOUT);
    attacker.save("large", content(1, 8 << 20)).await.unwrap();
    let large = attacker.lookup("large", &[]).await.unwrap().unwrap().url;
    for number in 0..600 {
        let url = attacker.create(&format!("attack-{number}")).await.unwrap();
        // Refused or not: only the effect on others matters.
        let _ = attacker.put_block(&url, 0, Bytes::from_static(b"x")).await;
    }
    let mut crowd = Crowd::against(server.address());
    let forwarded = http::Request::post(format!("{}/anything", server.base())).body(()).unwrap();
    let taken = http::Request::get(&large).body(()).unwrap();
    for number in 0..9 {
        let stalled = Streams {
            count: 128,
            window: USUAL_WINDOW,
            requests: Arc::new(vec![forwarded.clone()]),
            body: Some(Body { opening: Bytes::from_static(b"{"), drip: Bytes::new() }),
        };
        let deaf = Streams { count: 128, window: 0, requests: Arc::new(vec![taken.clone()]), body: None };
        stalled.join(&mut crowd, Peer::other(number));
        deaf.join(&mut crowd, Peer::other(number));
    }
    let asked = request(server.address(), "GET", "/health", "", b"");
    for number in 0..1_100 {
        Script::once(asked.clone()).join(&mut crowd, Peer::other(number));
    }
    crowd.in_place().await;
    crowd
}

async fn with_a_limit_of(descriptors: usize) {
    let upstream = BlackHole::start().await;
    let setup = Setup { descriptors: Some(descriptors), ..Setup::default() }
        .with("DEFAULT_ACTIONS_RESULTS_URL", &upstream.url);
    let bounds = Bounds { descriptors: descriptors - SPARE, ..Bounds::default() };
    siege(&format!("all at once with {descriptors} descriptors"), setup, bounds, everything).await;
}

/// Faults 6 and 9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_256_descriptors() {
    with_a_limit_of(256).await;
}

/// Faults 6 and 9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_1024_descriptors() {
    with_a_limit_of(1024).await;
}
