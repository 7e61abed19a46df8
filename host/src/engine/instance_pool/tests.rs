#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_longest_idle_instance_makes_room() {
    let pool = InstancePool::new(2, LONG);
    let (mut first, mut second) = (pool.take().await.unwrap(), pool.take().await.unwrap());
    first.set_idle();
    second.set_idle();
    first.set_busy();
    first.set_idle();
    let ends = async {
        second.must_end().await;
        drop(second);
    };
    let (third, ()) = tokio::join!(pool.take(), ends);
    assert!(third.is_some() && pool.taken() == 2);
    assert!(timeout(Duration::from_millis(50), first.must_end()).await.is_err(), "it need not end");
}

#[tokio::test]
async fn a_busy_instance_is_not_ended_and_who_waits_is_refused() {
    let pool = InstancePool::new(1, LONG);
    let busy = pool.take().await.unwrap();
    assert!(pool.take().await.is_none());
    drop(busy);
    assert!(pool.take().await.is_some());
    assert_eq!(pool.taken(), 0);
}

#[tokio::test]
async fn an_idle_instance_ends_by_itself() {
    let pool = InstancePool::new(1, Duration::from_millis(10));
    let mut place = pool.take().await.unwrap();
    place.set_idle();
    timeout(LONG, place.must_end()).await.unwrap();
}
