//! Fault 10: who stays and who goes when a bound is reached.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::FutureExt;
use larder_common::TenantName;
use tokio::time::timeout;

use super::{
    ActiveRequest, Closing, ConnectionGuard, ConnectionLimits, Connections, Expiry, FIRST_MOMENT,
    FIRST_REQUEST_TIME, LAST_MOMENT, REQUEST_WAIT,
};

const ALL: ConnectionLimits = ConnectionLimits { connections: 4, per_client: 3, leaving: 64, requests: 3 };

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn closing(guard: &ConnectionGuard) -> Option<Closing> {
    match guard.poll_closing(&mut Context::from_waker(Waker::noop()), Closing::WhenDone) {
        Poll::Ready(closing) => Some(closing),
        Poll::Pending => None,
    }
}

/// Counts a request that does not have to wait for its place.
fn begin(guard: &ConnectionGuard) -> Option<ActiveRequest> {
    guard.begin().now_or_never().flatten()
}

/// Admits one, a little later than the one before.
fn admit(all: &Arc<Connections>, last: u8) -> Option<ConnectionGuard> {
    let guard = all.admit(address(last), false)?;
    std::thread::sleep(Duration::from_millis(2));
    Some(guard)
}

#[test]
fn the_connection_that_is_idle_longest_makes_room() {
    let all = Connections::new(ALL);
    let open: Vec<_> = (1..=4).map(|client| admit(&all, client).unwrap()).collect();
    // The first was used since: the second is idle longest.
    drop(begin(&open[0]).unwrap());
    let newcomer = admit(&all, 5).unwrap();
    assert_eq!(closing(&open[1]), Some(Closing::MakeRoom));
    assert!([&open[0], &open[2], &open[3], &newcomer].iter().all(|guard| closing(guard).is_none()));
    assert_eq!((all.usage().connections, all.usage().evicted, all.usage().refused), (4, 1, 0));
    drop(open);
    assert_eq!(all.usage().connections, 1);
}

/// By which responses say that they are the last ones.
#[test]
fn a_connection_that_makes_room_or_was_idle_for_too_long_has_to_end() {
    let all = Connections::new(ALL);
    let open: Vec<_> = (1..=4).map(|client| admit(&all, client).unwrap()).collect();
    assert!(open.iter().all(|guard| !guard.has_to_end()));
    let newcomer = admit(&all, 5).unwrap();
    assert!(open[0].has_to_end());
    assert_eq!(newcomer.end(), Closing::WhenDone);
    assert!(newcomer.has_to_end() && closing(&newcomer) == Some(Closing::WhenDone));
}

/// Fault 10: a crowd that connects and says nothing evicts itself, and not who was just served.
#[test]
fn one_without_a_request_makes_room_before_one_that_was_served() {
    let all = Connections::new(ALL);
    let served = admit(&all, 1).unwrap();
    drop(begin(&served).unwrap());
    let silent: Vec<_> = (2..=4).map(|client| admit(&all, client).unwrap()).collect();
    std::thread::sleep(FIRST_REQUEST_TIME + Duration::from_millis(20));
    let _newcomers: Vec<_> = (5..=7).map(|client| admit(&all, client).unwrap()).collect();
    assert!(silent.iter().all(|guard| closing(guard) == Some(Closing::MakeRoom)));
    assert!(closing(&served).is_none());
}

/// Fault 10: who has no token does not cut off who has one, however long that one has been idle.
#[test]
fn one_without_an_authorized_request_makes_room_before_one_that_had_one() {
    let all = Connections::new(ALL);
    let authorized = admit(&all, 1).unwrap();
    begin(&authorized).unwrap().set_authorized();
    let served: Vec<_> = (2..=4).map(|client| admit(&all, client).unwrap()).collect();
    served.iter().for_each(|guard| drop(begin(guard)));
    std::thread::sleep(Duration::from_millis(2));
    let _newcomers: Vec<_> = (5..=7).map(|client| admit(&all, client).unwrap()).collect();
    assert!(served.iter().all(|guard| closing(guard) == Some(Closing::MakeRoom)));
    assert!(closing(&authorized).is_none());
}

/// New connections wait until evicted ones have ended: those of clients without a token end at once.
#[test]
fn while_new_ones_wait_only_authorized_connections_linger() {
    let all = Connections::new(ConnectionLimits { leaving: 2, ..ALL });
    let open: Vec<_> = (1..=4).map(|client| admit(&all, client).unwrap()).collect();
    let [authorized, served, fresh, _] = &open[..] else { panic!("four") };
    begin(authorized).unwrap().set_authorized();
    drop(begin(served).unwrap());
    let lingering = || [authorized, served, fresh].map(|guard| guard.may_linger(Duration::ZERO));
    let _first = admit(&all, 5).unwrap();
    assert_eq!(lingering(), [true; 3]);
    let _second = admit(&all, 6).unwrap();
    assert_eq!(lingering(), [true, false, true]);
    std::thread::sleep(FIRST_MOMENT);
    assert_eq!(lingering(), [true, false, false]);
    assert!(!authorized.may_linger(LAST_MOMENT));
}

#[test]
fn where_all_are_busy_the_newcomer_is_refused() {
    let all = Connections::new(ConnectionLimits { requests: 9, ..ALL });
    let open: Vec<_> = (1..=4).map(|client| admit(&all, client).unwrap()).collect();
    let mut busy: Vec<_> = open.iter().map(|guard| begin(guard).unwrap()).collect();
    assert!(admit(&all, 5).is_none());
    assert_eq!(all.usage().refused, 1);
    busy.pop();
    assert!(admit(&all, 5).is_some());
    assert_eq!(closing(&open[3]), Some(Closing::MakeRoom));
}

#[test]
fn one_client_has_a_bound_of_its_own_and_makes_room_for_itself() {
    let all = Connections::new(ALL);
    let open: Vec<_> = (0..3).map(|_| admit(&all, 1).unwrap()).collect();
    let other = admit(&all, 2).unwrap();
    drop(begin(&other));
    let fourth = admit(&all, 1).unwrap();
    assert_eq!(closing(&open[0]), Some(Closing::MakeRoom));
    assert!(closing(&other).is_none() && closing(&fourth).is_none());
    // A proxy speaks for many.
    drop(other);
    assert!(all.admit(address(1), true).is_some());
    assert!(closing(&open[1]).is_none());
}

/// Fault 9: requests hold descriptors, too.
#[test]
fn requests_are_bounded_and_one_that_ends_makes_room() {
    let all = Connections::new(ConnectionLimits { requests: 4, ..ALL });
    let guard = admit(&all, 1).unwrap();
    let mut busy: Vec<_> = (0..2).map(|_| begin(&guard).unwrap()).collect();
    assert!(begin(&guard).is_none());
    assert_eq!((all.usage().requests, all.usage().refused), (2, 1));
    busy.pop();
    assert!(begin(&guard).is_some());
    drop(busy);
    assert_eq!(all.usage().requests, 0);
}

/// Faults 9 and 10: a burst of short requests is served in order; only a place that stays taken is
/// an outage.
#[tokio::test]
async fn the_first_request_of_a_connection_waits_for_its_place() {
    let all = Connections::new(ConnectionLimits { requests: 1, ..ALL });
    let [one, two, three] = [1, 2, 3].map(|client| all.admit(address(client), false).unwrap());
    let held = one.begin().await.unwrap();
    let (mut second, mut third) = (std::pin::pin!(two.begin()), std::pin::pin!(three.begin()));
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    assert!(futures_util::poll!(third.as_mut()).is_pending());
    // One that waits is not idle: it cannot be evicted, and its further streams do not wait.
    assert!(two.begin().await.is_none());
    all.shed_idle();
    assert_eq!((all.usage().requests, all.usage().refused, all.usage().evicted), (1, 1, 0));
    drop(held);
    let held = second.await.unwrap();
    assert!(futures_util::poll!(third.as_mut()).is_pending());
    assert!(timeout(2 * REQUEST_WAIT, third).await.unwrap().is_none());
    assert_eq!(all.usage().refused, 2);
    drop(held);
    assert_eq!(all.usage().requests, 0);
    assert!(three.begin().await.is_some());
}

/// Fault 9: a few clients with many streams took all.
#[test]
fn half_of_the_requests_are_for_connections_that_have_none() {
    let all = Connections::new(ConnectionLimits { requests: 6, ..ALL });
    let many = admit(&all, 1).unwrap();
    let busy: Vec<_> = (0..3).map(|_| begin(&many).unwrap()).collect();
    assert!(begin(&many).is_none());
    let (second, third) = (admit(&all, 2).unwrap(), admit(&all, 3).unwrap());
    let held = (begin(&second).unwrap(), begin(&third).unwrap());
    assert!(begin(&second).is_none());
    drop((busy, held));
    assert_eq!(all.usage().requests, 0);
}

#[test]
fn a_pause_between_requests_is_shorter_than_one_inside() {
    let (first, between) = (Duration::from_secs(60), Duration::from_millis(1));
    let all = Connections::new(ALL);
    let guard = admit(&all, 1).unwrap();
    assert!(matches!(guard.expiry(first, between), Expiry::After(left) if left > between));
    let active = begin(&guard).unwrap();
    std::thread::sleep(Duration::from_millis(3));
    assert_eq!(guard.expiry(first, between), Expiry::After(between));
    drop(active);
    std::thread::sleep(Duration::from_millis(3));
    assert_eq!(guard.expiry(first, between), Expiry::Due);
}

/// Fault 2.
#[tokio::test]
async fn a_stop_waits_for_those_that_were_there_and_not_for_later_ones() {
    let all = Connections::new(ALL);
    let guard = admit(&all, 1).unwrap();
    let active = begin(&guard).unwrap();
    all.drain(tokio::time::Instant::now() + Duration::from_secs(60));
    assert_eq!(closing(&guard), Some(Closing::WhenDone));
    let late = admit(&all, 2).unwrap();
    assert!(late.is_late() && closing(&late).is_none());
    let mut drained = std::pin::pin!(all.drained());
    assert!(futures_util::poll!(drained.as_mut()).is_pending());
    drop((active, guard));
    drained.await;
}

/// Fault 10: whoever accepts waits for those who close, so that no more are open than may be.
#[tokio::test]
async fn accepting_waits_for_connections_that_make_room() {
    let all =
        Connections::new(ConnectionLimits { connections: 100, per_client: 100, leaving: 64, requests: 1 });
    let mut open: Vec<_> = (0..164).map(|_| all.admit(address(1), false).unwrap()).collect();
    assert_eq!((all.usage().connections, all.open()), (100, 164));
    let mut settled = std::pin::pin!(all.settled());
    assert!(futures_util::poll!(settled.as_mut()).is_pending());
    // Those that are idle longest went first.
    open.remove(0);
    settled.await;
    assert_eq!(all.open(), 163);
    drop(open);
    assert_eq!(all.open(), 0);
}

fn tenant(name: &str) -> TenantName {
    name.parse().unwrap()
}

#[test]
fn a_connection_is_of_the_tenant_of_its_latest_request() {
    let all = Connections::new(ConnectionLimits { requests: 9, ..ALL });
    let (acme, other) = (tenant("acme"), tenant("umbrella"));
    let [one, two] = [1, 2].map(|client| admit(&all, client).unwrap());
    assert!(begin(&one).unwrap().assign(&acme, 1));
    assert!(begin(&one).unwrap().assign(&acme, 1), "it is the tenant's already");
    assert!(begin(&one).unwrap().assign(&other, 1));
    assert!(begin(&two).unwrap().assign(&acme, 1), "the other has left it");
    begin(&two).unwrap().unassign();
    assert_eq!(all.table.lock().of_tenant, [(other, 1)].into());
    drop((one, two));
    assert!(all.table.lock().of_tenant.is_empty());
}

/// A tenant's crowd makes room among itself, however many places are free, and is then refused.
#[test]
fn at_its_limit_a_tenant_makes_room_for_itself() {
    let all = Connections::new(ConnectionLimits { requests: 9, per_client: 9, ..ALL });
    let acme = tenant("acme");
    let other = admit(&all, 1).unwrap();
    assert!(begin(&other).unwrap().assign(&tenant("umbrella"), 2));
    let own: Vec<_> = (0..3).map(|_| admit(&all, 2).unwrap()).collect();
    assert!(own[..2].iter().all(|guard| begin(guard).unwrap().assign(&acme, 2)));
    begin(&own[0]).unwrap().set_authorized();
    let busy = begin(&own[2]).unwrap();
    assert!(busy.assign(&acme, 2));
    // Of the two idle ones the one without an authorized request, though it was used later.
    assert_eq!(closing(&own[1]), Some(Closing::MakeRoom));
    assert!(closing(&own[0]).is_none() && closing(&other).is_none());
    // All busy: the newcomer is refused, and ends.
    let still = begin(&own[0]).unwrap();
    let newcomer = admit(&all, 3).unwrap();
    assert!(!begin(&newcomer).unwrap().assign(&acme, 2));
    assert_eq!(closing(&newcomer), Some(Closing::WhenDone));
    assert!(closing(&other).is_none());
    drop((busy, still));
}

/// A request that arrives while its connection is evicted counts once, if at all.
#[test]
fn an_evicted_connection_counts_at_its_tenant_when_it_is_counted_again() {
    let all = Connections::new(ConnectionLimits { requests: 9, ..ALL });
    let acme = tenant("acme");
    let open: Vec<_> = (1..=4).map(|client| admit(&all, client).unwrap()).collect();
    assert!(begin(&open[0]).unwrap().assign(&acme, 9));
    open[1..].iter().for_each(|guard| begin(guard).unwrap().set_authorized());
    let newcomer = admit(&all, 5).unwrap();
    assert_eq!(closing(&open[0]), Some(Closing::MakeRoom));
    assert!(all.table.lock().of_tenant.is_empty());
    let request = begin(&open[0]).unwrap();
    assert!(request.assign(&tenant("umbrella"), 9));
    assert!(all.table.lock().of_tenant.is_empty(), "it is not counted yet");
    assert!(open[0].readmit());
    assert_eq!(all.table.lock().of_tenant, [(tenant("umbrella"), 1)].into());
    drop((request, newcomer, open));
    assert!(all.table.lock().of_tenant.is_empty());
}
