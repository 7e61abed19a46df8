//! Downloads that are not read.

use std::{sync::Arc, time::Duration};

use larder_stress::{
    attack::{
        Crowd, Peer,
        http1::{Script, request},
        http2::Streams,
    },
    client::{Client, content},
    server::{Server, Setup},
    siege::{Bounds, siege},
};

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
const LARGE: usize = 32 << 20;

/// Most memory of the kernel for TCP, of both ends: a quarter of what Linux allows on a machine with 24 GB.
const BOUNDS: Bounds = Bounds { tcp: 512 << 20, ..Bounds::DEFAULT };

/// Returns the URL of an entry that fills every buffer on the way.
async fn large_entry(server: &Server) -> String {
    let attacker = Client::new(server, "666", RESPONSE_TIMEOUT);
    attacker.save("large", content(1, LARGE)).await.unwrap();
    attacker.lookup("large", &[]).await.unwrap().unwrap().url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_on_http1() {
    siege("slow readers, HTTP/1.1", Setup::default(), BOUNDS, async |server| {
        let url = large_entry(server).await;
        let mut crowd = Crowd::against(server.address());
        for number in 0..700 {
            Script::deaf(request(server.address(), "GET", &url, "", b""))
                .join(&mut crowd, Peer::other(number));
        }
        crowd.in_place().await;
        crowd
    })
    .await;
}

/// Fault 9. Windows of zero bytes; pings are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_on_http2() {
    siege("slow readers, HTTP/2", Setup::default(), BOUNDS, async |server| {
        let url = large_entry(server).await;
        let mut crowd = Crowd::against(server.address());
        for number in 0..12 {
            Streams {
                count: 128,
                window: 0,
                requests: Arc::new(vec![http::Request::get(&url).body(()).unwrap()]),
                body: None,
            }
            .join(&mut crowd, Peer::other(number));
        }
        crowd.in_place().await;
        crowd
    })
    .await;
}
