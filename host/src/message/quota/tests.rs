//! What a quota promises.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::future::Future;

use futures_util::FutureExt;

use super::*;

const WAIT: Duration = Duration::from_millis(50);

/// A reserve of 10 for each connection, and a pool of 100, of which one connection may have 40.
fn quota() -> Quota {
    Quota::new(QuotaKind::Bodies, QuotaBounds { reserve: 10, pool: 100, pool_per_connection: 40, wait: WAIT })
}

fn client(quota: &Quota) -> Arc<ClientQuota> {
    Arc::new(ClientQuota::new([quota; KINDS]))
}

fn taken(quota: &Quota) -> u32 {
    quota.usage().taken
}

fn is_waiting<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    future.now_or_never().is_none()
}

#[test]
fn what_was_taken_is_given_back() {
    let quota = quota();
    let client = client(&quota);
    let all: Vec<_> = [5, 5, 30, 10].map(|amount| quota.try_acquire(&client, amount).unwrap()).into();
    assert_eq!((all.len(), taken(&quota)), (4, 40));
    assert!(quota.try_acquire(&client, 1).is_none());
    drop(all);
    assert_eq!(taken(&quota), 0);
    assert!(quota.try_acquire(&client, 10).is_some_and(|held| held.pool.is_none()));
}

/// Fault 7: whatever others take, a connection has its reserve.
#[test]
fn a_reserve_is_there_when_the_pool_is_empty() {
    let quota = quota();
    let others: Vec<_> = (0..3).map(|_| client(&quota)).collect();
    let held: Vec<_> = others.iter().filter_map(|other| quota.try_acquire(other, 40)).collect();
    assert_eq!((held.len(), taken(&quota)), (2, 80));
    let last = quota.try_acquire(&others[2], 20).unwrap();
    let newcomer = client(&quota);
    assert!(quota.try_acquire(&newcomer, 11).is_none());
    assert!(quota.try_acquire(&newcomer, 10).is_some());
    drop(last);
}

#[test]
fn one_connection_gets_its_part_of_the_pool_and_no_more() {
    let quota = quota();
    let greedy = client(&quota);
    let held: Vec<_> = std::iter::from_fn(|| quota.try_acquire(&greedy, 11)).collect();
    assert_eq!((held.len(), taken(&quota)), (3, 33));
    assert!(quota.try_acquire(&client(&quota), 40).is_some());
}

#[test]
fn who_wants_more_than_a_connections_part_gets_all_of_that() {
    let quota = quota();
    let held = quota.try_acquire(&client(&quota), 1_000_000).unwrap();
    assert_eq!((taken(&quota), quota.largest()), (40, 40));
    drop(held);
    assert_eq!(taken(&quota), 0);
}

#[tokio::test]
async fn those_who_wait_are_served_in_their_order() {
    let quota = quota();
    let clients: Vec<_> = (0..4).map(|_| client(&quota)).collect();
    let first = quota.try_acquire(&clients[0], 40).unwrap();
    let second = quota.try_acquire(&clients[1], 40).unwrap();
    let mut large = Box::pin(quota.acquire(&clients[2], 40));
    assert!(is_waiting(&mut large));
    let mut small = Box::pin(quota.acquire(&clients[3], 15));
    assert!(is_waiting(&mut small), "it passed the one that waits");
    assert_eq!(quota.usage().waiting, 2);
    drop(first);
    let large = large.now_or_never().unwrap().unwrap();
    let small = small.now_or_never().unwrap().unwrap();
    assert_eq!((taken(&quota), quota.usage().waiting), (95, 0));
    drop((second, large, small));
    assert_eq!(taken(&quota), 0);
}

#[tokio::test]
async fn waiting_has_an_end() {
    let quota = quota();
    let clients: Vec<_> = (0..3).map(|_| client(&quota)).collect();
    let held: Vec<_> = clients.iter().filter_map(|client| quota.try_acquire(client, 40)).collect();
    let began = std::time::Instant::now();
    assert!(quota.acquire(&clients[2], 40).await.is_err());
    assert!(began.elapsed() >= WAIT);
    assert_eq!((quota.usage().refused, quota.usage().waiting), (1, 0));
    drop(held);
    assert!(quota.acquire(&clients[2], 40).await.is_ok());
}

#[tokio::test]
async fn one_that_is_gone_holds_up_nobody() {
    let quota = quota();
    let clients: Vec<_> = (0..4).map(|_| client(&quota)).collect();
    let held: Vec<_> = clients[..2].iter().map(|client| quota.try_acquire(client, 40).unwrap()).collect();
    let mut gone = Box::pin(quota.acquire(&clients[2], 40));
    assert!(is_waiting(&mut gone));
    drop(gone);
    assert!(quota.try_acquire(&clients[3], 20).is_some());
    drop(held);
    assert_eq!((taken(&quota), quota.usage().waiting), (0, 0));
}

#[test]
fn what_grows_is_given_back_whole() {
    let quota = quota();
    let client = client(&quota);
    let mut held = quota.try_acquire(&client, 4).unwrap();
    for amount in [6, 20, 20] {
        held.absorb(quota.try_acquire(&client, amount).unwrap());
    }
    assert_eq!(taken(&quota), 40);
    drop(held);
    assert_eq!(taken(&quota), 0);
    assert!(quota.try_acquire(&client, 10).is_some_and(|held| held.pool.is_none()));
}
