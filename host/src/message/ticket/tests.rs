//! Bodies take their room before they are read, and give it back.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::message::room::{Kind, RoomBounds};

const MIB: u32 = 1024 * 1024;

fn room(kind: Kind, reserve: u32, pool: u32) -> Room {
    let wait = Duration::from_millis(50);
    Room::new(kind, RoomBounds { reserve, pool, pool_per_connection: pool / 2, wait })
}

fn rooms() -> Arc<Rooms> {
    Arc::new(Rooms {
        heads: room(Kind::Heads, 0, MIB),
        waiting: room(Kind::Waiting, 0, MIB),
        messages: room(Kind::Messages, 0, 12 * MIB),
        lists: Room::new(
            Kind::Lists,
            RoomBounds { reserve: 0, pool: 18 * MIB, pool_per_connection: 18 * MIB, wait: Duration::ZERO },
        ),
        bodies: Arc::new(room(Kind::Bodies, 0, 16 * MIB)),
        forwards: Arc::new(room(Kind::Forwards, 0, 4)),
    })
}

fn ticket(rooms: &Arc<Rooms>) -> Ticket {
    Ticket::new(rooms.clone(), Arc::new(rooms.client()), Held::default())
}

#[test]
fn the_longest_body_is_one_that_all_rooms_have_place_for() {
    let mut rooms = Arc::into_inner(rooms()).unwrap();
    assert_eq!(rooms.longest_body(), 8 * u64::from(MIB));
    rooms.lists = room(Kind::Lists, 0, 0);
    assert_eq!(rooms.longest_body(), SHORT_BODY_BYTES);
    rooms.messages = room(Kind::Messages, 0, 24 * 1024);
    assert_eq!(rooms.longest_body(), 1024);
}

#[tokio::test]
async fn an_instance_makes_one_long_list_at_a_time() {
    let rooms = rooms();
    let (first, second) = (ticket(&rooms), ticket(&rooms));
    let made = first.room_for_use(8 * u64::from(MIB)).await.unwrap();
    assert!(second.room_for_use(8 * u64::from(MIB)).await.is_err());
    assert!(second.room_for_use(300).now_or_never().unwrap().is_ok(), "a message waits for a list");
    drop(made);
    assert!(second.room_for_use(8 * u64::from(MIB)).await.is_ok());
}

#[tokio::test]
async fn room_grows_with_the_body() {
    let rooms = rooms();
    let ticket = ticket(&rooms);
    let mut growing = Growing { of: Some((&*rooms.bodies, &ticket.client)), bytes: 0, held: None };
    for (length, taken) in
        [(1000, 1000), (1001, 2000), (2000, 2000), (2001, 4000), (9000, 9000), (9001, 10_000)]
    {
        growing.grow(length, 10_000).await.unwrap();
        assert_eq!(rooms.bodies.usage().taken, taken);
    }
    drop(growing);
    assert_eq!(rooms.bodies.usage().taken, 0);
}

#[tokio::test]
async fn a_pause_counts_only_while_somebody_waits() {
    let rooms = rooms();
    let (first, second, third) = (ticket(&rooms), ticket(&rooms), ticket(&rooms));
    let mut slow = Growing { of: Some((&*rooms.bodies, &first.client)), bytes: 0, held: None };
    slow.reach(8 * u64::from(MIB)).await.unwrap();
    assert!(slow.paused().is_ok());
    let _other = rooms.bodies.try_take(&second.client, 8 * MIB).unwrap();
    let mut waits = Box::pin(rooms.bodies.take(&third.client, 1));
    assert!((&mut waits).now_or_never().is_none());
    assert!(slow.paused().is_err());
    let mut reserved = Growing { held: Some(Held::default()), ..Growing::unbounded() };
    reserved.of = slow.of;
    assert!(reserved.paused().is_ok(), "nobody waits for a reserve");
}

#[tokio::test]
async fn forwards_are_bounded() {
    let rooms = rooms();
    let tickets: Vec<_> = (0..3).map(|_| ticket(&rooms)).collect();
    let mut places = Vec::new();
    for ticket in &tickets[..2] {
        places.push(ticket.forward().await.unwrap());
        places.push(ticket.forward().await.unwrap());
    }
    assert!(tickets[2].forward().await.is_err());
    places.pop();
    assert!(tickets[2].forward().await.is_ok());
}
