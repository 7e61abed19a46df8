//! Ten thousand idle connections.

use larder_stress::{
    attack::{
        Crowd, Peer,
        http1::{Script, request},
    },
    scale,
    server::{Server, Setup},
    siege::{Bounds, siege},
};

const CONNECTIONS: usize = 10_000;
/// The most resident memory, in bytes, if all connections are admitted: the usual limit is for the
/// usual number.
const RESIDENT_WITH_ALL_BYTES: u64 = 160 << 20;
/// Descriptors that this process needs for itself.
const OWN: usize = 500;

/// Returns as many connections as the hard limit of descriptors allows one process.
fn connections() -> usize {
    CONNECTIONS.min(scale::raise_descriptors().saturating_sub(OWN))
}

/// Every other connection has had a response and is kept alive; the rest never sent a byte.
async fn crowd(server: &Server, peer: impl Fn(usize) -> Peer) -> Crowd {
    let mut crowd = Crowd::against(server.address());
    let asked = request(server.address(), "GET", "/health", "", b"");
    for number in 0..connections() {
        let script = if number % 2 == 0 { Script::once(asked.clone()) } else { Script::once("") };
        script.join(&mut crowd, peer(number));
    }
    crowd.in_place().await;
    crowd
}

/// Fault 10. More connections than are admitted, repeatedly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_where_there_is_room_for_few() {
    let name = format!("{} idle connections, the usual room", connections());
    siege(&name, Setup::default(), Bounds::default(), async |server| crowd(server, Peer::other).await).await;
}

/// Fault 10. All from the healthy client's address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_of_a_neighbour() {
    let name = format!("{} idle connections of a neighbour", connections());
    siege(&name, Setup::default(), Bounds::default(), async |server| {
        crowd(server, |_| Peer::NEIGHBOUR).await
    })
    .await;
}

/// All are admitted, which takes about 8 KiB each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_that_have_room() {
    let name = format!("{} idle connections, room for all", connections());
    let setup = Setup::default().with("LARDER_MAX_CONNECTIONS", &(connections() + OWN));
    let bounds =
        Bounds { descriptors: connections() + OWN, resident: RESIDENT_WITH_ALL_BYTES, ..Bounds::DEFAULT };
    siege(&name, setup, bounds, async |server| crowd(server, Peer::other).await).await;
}
