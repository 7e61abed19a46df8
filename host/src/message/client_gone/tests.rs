use std::time::Duration;

use tokio::time::timeout;

use super::ClientGuard;

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_wait_lasts_as_long_as_the_guard() {
    let (guard, gone) = ClientGuard::new();
    assert!(timeout(SHORT, gone.wait()).await.is_err(), "the guard is held");
    let waiter = tokio::spawn({
        let gone = gone.clone();
        async move { gone.wait().await }
    });
    tokio::task::yield_now().await;
    drop(guard);
    assert!(timeout(LONG, waiter).await.is_ok_and(|ended| ended.is_ok()));
    assert!(timeout(LONG, gone.wait()).await.is_ok(), "a wait that begins later ends at once");
}
