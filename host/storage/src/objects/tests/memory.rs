use std::{sync::Arc, time::Duration};

use crate::{StorageError, objects::memory::MemoryBudget};

#[tokio::test]
async fn room_is_given_in_the_order_of_asking_and_never_more_than_there_is() {
    let memory = Arc::new(MemoryBudget::new(10_000, Duration::from_secs(60)));
    let first = memory.acquire(8_000).await.unwrap();
    let large = tokio::spawn({
        let memory = memory.clone();
        async move { memory.acquire(9_000).await.map(drop) }
    });
    while !memory.has_waiters() {
        tokio::task::yield_now().await;
    }
    let mut waiters = memory.waiters();
    // It would fit, but it came later.
    let small = tokio::spawn({
        let memory = memory.clone();
        async move { memory.acquire(1_000).await.map(drop) }
    });
    tokio::time::timeout(Duration::from_secs(60), waiters.changed()).await.unwrap().unwrap();
    assert!(!small.is_finished());
    drop(first);
    large.await.unwrap().unwrap();
    small.await.unwrap().unwrap();
    assert!(memory.peak_bytes() <= 10_240 && memory.held_bytes() == 0);
    // Requests are clamped to the total.
    drop(memory.acquire(1 << 30).await.unwrap());
}

#[tokio::test]
async fn waiting_for_room_ends() {
    let memory = MemoryBudget::new(10_000, Duration::from_millis(20));
    let _all = memory.acquire(10_000).await.unwrap();
    assert!(matches!(memory.acquire(1).await, Err(StorageError::Unavailable { .. })));
    assert!(!memory.has_waiters());
}
