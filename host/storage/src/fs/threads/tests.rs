#![allow(clippy::unwrap_used)]

use std::sync::mpsc;

use super::*;

const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(60);

/// Fault 11: a hanging file system blocks a bounded number of threads, and all other calls fail.
#[tokio::test]
async fn a_disk_that_hangs_is_unavailable_and_keeps_no_more_threads() {
    let threads = Threads::new(2, SOON);
    let mut held = Vec::new();
    for _ in 0..5 {
        let (release, hang) = mpsc::channel::<()>();
        held.push(release);
        let hung = threads.run(Lane::Queries, "query", move || Ok(hang.recv().is_ok())).await;
        assert!(matches!(hung, Err(StorageError::Unavailable { .. })), "{hung:?}");
    }
    assert_eq!(threads.queries.available_permits(), 0);
    assert_eq!(threads.run(Lane::Transfers, "write", || Ok(7)).await.unwrap(), 7, "another lane goes on");
    drop(held);
    while threads.queries.available_permits() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(threads.run(Lane::Queries, "query", || Ok(7)).await.unwrap(), 7);
}

#[tokio::test]
async fn what_nobody_waits_for_is_done_in_its_turn() {
    let threads = Threads::new(1, LATE);
    let (done, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..3 {
        let done = done.clone();
        threads.in_background(move || done.send(number).unwrap());
    }
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(outcomes.recv().await.unwrap());
    }
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2]);
    threads.run(Lane::Transfers, "write", || Ok(())).await.unwrap();
}
