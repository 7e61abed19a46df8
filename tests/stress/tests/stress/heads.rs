//! Heads that arrive byte by byte, and silent connections.

use larder_stress::{
    attack::{
        Crowd, Peer,
        http1::{Script, endless_http2_head},
    },
    server::Setup,
    siege::{Bounds, siege},
};

const SLOW: usize = 1_500;

/// Fault 10. More than `max_connections` of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_on_http1() {
    siege("slow heads, HTTP/1.1", Setup::default(), Bounds::default(), async |server| {
        let mut crowd = Crowd::against(server.address());
        for number in 0..SLOW {
            let script = match number % 3 {
                0 => Script::dripping("GET /health HTTP/1.1\r\nhost: x\r\n", "x: y\r\n"),
                1 => Script::dripping("G", "E"),
                _ => Script::once(""),
            };
            script.join(&mut crowd, Peer::other(number));
        }
        crowd.in_place().await;
        crowd
    })
    .await;
}

/// Fault 10. A partial preface keeps no thread busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_on_http2() {
    siege("slow heads, HTTP/2", Setup::default(), Bounds::default(), async |server| {
        let (opening, drip) = endless_http2_head();
        let mut crowd = Crowd::against(server.address());
        for number in 0..SLOW {
            let script = if number % 2 == 0 {
                Script::dripping(opening.clone(), drip.clone())
            } else {
                Script::once("PRI *")
            };
            script.join(&mut crowd, Peer::other(number));
        }
        crowd.in_place().await;
        crowd
    })
    .await;
}
