use std::{sync::Arc, time::Duration};

use crate::{StorageError, objects::room::Room};

#[tokio::test]
async fn room_is_given_in_the_order_of_asking_and_never_more_than_there_is() {
    let room = Arc::new(Room::new(10_000, Duration::from_secs(60)));
    let first = room.take(8_000).await.unwrap();
    let large = tokio::spawn({
        let room = room.clone();
        async move { room.take(9_000).await.map(drop) }
    });
    while !room.is_pressed() {
        tokio::task::yield_now().await;
    }
    // There would be room for it, but it came later.
    let small = tokio::spawn({
        let room = room.clone();
        async move { room.take(1_000).await.map(drop) }
    });
    tokio::time::timeout(Duration::from_secs(60), room.pressed()).await.unwrap();
    assert!(!small.is_finished());
    drop(first);
    large.await.unwrap().unwrap();
    small.await.unwrap().unwrap();
    assert!(room.peak_bytes() <= 10_240 && room.held_bytes() == 0);
    // More than there is in total is the total.
    drop(room.take(1 << 30).await.unwrap());
}

#[tokio::test]
async fn waiting_for_room_ends() {
    let room = Room::new(10_000, Duration::from_millis(20));
    let _all = room.take(10_000).await.unwrap();
    assert!(matches!(room.take(1).await, Err(StorageError::Unavailable { .. })));
    assert!(!room.is_pressed());
}
