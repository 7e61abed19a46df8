//! What a room promises.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::future::Future;

use futures_util::FutureExt;

use super::*;

const WAIT: Duration = Duration::from_millis(50);

/// A reserve of 10 for each connection, and a pool of 100, of which one connection may have 40.
fn room() -> Room {
    Room::new(Kind::Bodies, RoomBounds { reserve: 10, pool: 100, pool_per_connection: 40, wait: WAIT })
}

fn client(room: &Room) -> Arc<Client> {
    Arc::new(Client::new([room; KINDS]))
}

fn taken(room: &Room) -> u32 {
    room.usage().taken
}

fn is_waiting<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    future.now_or_never().is_none()
}

#[test]
fn what_was_taken_is_given_back() {
    let room = room();
    let client = client(&room);
    let all: Vec<_> = [5, 5, 30, 10].map(|amount| room.try_take(&client, amount).unwrap()).into();
    assert_eq!((all.len(), taken(&room)), (4, 40));
    assert!(room.try_take(&client, 1).is_none());
    drop(all);
    assert_eq!(taken(&room), 0);
    assert!(room.try_take(&client, 10).is_some_and(|held| held.pool.is_none()));
}

/// Fault 7: whatever others take, a connection has its reserve.
#[test]
fn a_reserve_is_there_when_the_pool_is_empty() {
    let room = room();
    let others: Vec<_> = (0..3).map(|_| client(&room)).collect();
    let held: Vec<_> = others.iter().filter_map(|other| room.try_take(other, 40)).collect();
    assert_eq!((held.len(), taken(&room)), (2, 80));
    let last = room.try_take(&others[2], 20).unwrap();
    let newcomer = client(&room);
    assert!(room.try_take(&newcomer, 11).is_none());
    assert!(room.try_take(&newcomer, 10).is_some());
    drop(last);
}

#[test]
fn one_connection_gets_its_part_of_the_pool_and_no_more() {
    let room = room();
    let greedy = client(&room);
    let held: Vec<_> = std::iter::from_fn(|| room.try_take(&greedy, 11)).collect();
    assert_eq!((held.len(), taken(&room)), (3, 33));
    assert!(room.try_take(&client(&room), 40).is_some());
}

#[test]
fn who_wants_more_than_a_connections_part_gets_all_of_that() {
    let room = room();
    let held = room.try_take(&client(&room), 1_000_000).unwrap();
    assert_eq!((taken(&room), room.largest()), (40, 40));
    drop(held);
    assert_eq!(taken(&room), 0);
}

#[tokio::test]
async fn those_who_wait_are_served_in_their_order() {
    let room = room();
    let clients: Vec<_> = (0..4).map(|_| client(&room)).collect();
    let first = room.try_take(&clients[0], 40).unwrap();
    let second = room.try_take(&clients[1], 40).unwrap();
    let mut large = Box::pin(room.take(&clients[2], 40));
    assert!(is_waiting(&mut large));
    let mut small = Box::pin(room.take(&clients[3], 15));
    assert!(is_waiting(&mut small), "it passed the one that waits");
    assert_eq!(room.usage().waiting, 2);
    drop(first);
    let large = large.now_or_never().unwrap().unwrap();
    let small = small.now_or_never().unwrap().unwrap();
    assert_eq!((taken(&room), room.usage().waiting), (95, 0));
    drop((second, large, small));
    assert_eq!(taken(&room), 0);
}

#[tokio::test]
async fn waiting_has_an_end() {
    let room = room();
    let clients: Vec<_> = (0..3).map(|_| client(&room)).collect();
    let held: Vec<_> = clients.iter().filter_map(|client| room.try_take(client, 40)).collect();
    let began = std::time::Instant::now();
    assert!(room.take(&clients[2], 40).await.is_err());
    assert!(began.elapsed() >= WAIT);
    assert_eq!((room.usage().refused, room.usage().waiting), (1, 0));
    drop(held);
    assert!(room.take(&clients[2], 40).await.is_ok());
}

#[tokio::test]
async fn one_that_is_gone_holds_up_nobody() {
    let room = room();
    let clients: Vec<_> = (0..4).map(|_| client(&room)).collect();
    let held: Vec<_> = clients[..2].iter().map(|client| room.try_take(client, 40).unwrap()).collect();
    let mut gone = Box::pin(room.take(&clients[2], 40));
    assert!(is_waiting(&mut gone));
    drop(gone);
    assert!(room.try_take(&clients[3], 20).is_some());
    drop(held);
    assert_eq!((taken(&room), room.usage().waiting), (0, 0));
}

#[test]
fn what_grows_is_given_back_whole() {
    let room = room();
    let client = client(&room);
    let mut held = room.try_take(&client, 4).unwrap();
    for amount in [6, 20, 20] {
        held.absorb(room.try_take(&client, amount).unwrap());
    }
    assert_eq!(taken(&room), 40);
    drop(held);
    assert_eq!(taken(&room), 0);
    assert!(room.try_take(&client, 10).is_some_and(|held| held.pool.is_none()));
}
