//! What is let in, and that it fits.
#![expect(clippy::unwrap_used, reason = "tests")]

use futures_util::FutureExt;

use super::*;

const CAPACITY: Capacity =
    Capacity { guest_memory_bytes: 64 * MIB, guest_handles: 20_000, connections: 1024, forwards: 256 };

fn head(fields: usize, value_bytes: usize) -> Parts {
    let mut request = http::Request::builder().uri("/anything");
    for number in 0..fields {
        request = request.header(format!("x-{number}"), "x".repeat(value_bytes));
    }
    request.body(()).unwrap().into_parts().0
}

fn admission(capacity: Capacity) -> Admission {
    Admission::new(&SharedQuotas::new(capacity))
}

/// Asks for as many requests as are let in at once.
fn admitted(
    admission: &Admission,
    client: &Arc<ClientQuota>,
    head: &Parts,
    most: usize,
) -> Vec<RequestQuota> {
    let mut admitted = Vec::new();
    while let Some(Ok(quota)) = admission.admit(client, head).now_or_never() {
        admitted.push(quota);
        assert!(admitted.len() <= most, "more than {most} were let in");
    }
    admitted
}

/// Fault 7 (a): 50 connections with 128 requests each, with heads of 31 KiB, and one client that
/// does nothing wrong.
#[tokio::test]
async fn large_heads_of_many_connections_fill_their_part_and_no_more() {
    let admission = admission(CAPACITY);
    let large = head(1, 31 * 1024);
    let mut all = Vec::new();
    for _ in 0..50 {
        all.extend(admitted(&admission, &admission.client(), &large, 128));
    }
    let heads = admission.usage()[0];
    assert!(heads.taken <= heads.pool && heads.pool <= 2 * 1024 * 1024);
    assert!((50..=62).contains(&all.len()), "{}", all.len());
    assert!(admission.admit(&admission.client(), &head(12, 200)).await.is_ok());
    drop(all);
    assert_eq!(admission.usage().map(|usage| usage.taken), [0; 6]);
}

/// Fault 7 (c): the handles of an instance are never used up, however small the requests are.
#[tokio::test]
async fn open_requests_never_use_up_the_handles() {
    let admission = admission(Capacity { guest_memory_bytes: 4 << 30, connections: 64, ..CAPACITY });
    let mut all = Vec::new();
    for _ in 0..64 {
        all.extend(admitted(&admission, &admission.client(), &head(0, 0), 20_000));
    }
    assert!((1000..=10_000).contains(&all.len()), "{}", all.len());
}

#[tokio::test]
async fn every_connection_has_room_for_one_usual_request() {
    let admission = admission(CAPACITY);
    let mut all = Vec::new();
    for _ in 0..CAPACITY.connections {
        // A job's token has some 2 KiB.
        let mut head = head(10, 100);
        head.headers.insert("authorization", "x".repeat(2048).parse().unwrap());
        all.push(admission.admit(&admission.client(), &head).await.unwrap());
    }
    assert_eq!(admission.usage()[0].taken, 0, "the reserves are too small");
}

/// A request waits in line, and those that wait are bounded, too.
#[tokio::test]
async fn those_that_wait_are_let_in_when_others_leave() {
    let admission = admission(CAPACITY);
    let (client, large) = (admission.client(), head(1, 31 * 1024));
    let mut inside = admitted(&admission, &client, &large, 128);
    let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(admission.admit(&client, &large))).collect();
    let states: Vec<_> = waiting.iter_mut().map(FutureExt::now_or_never).collect();
    let refused = states.iter().filter(|state| matches!(state, Some(Err(QuotaExceeded)))).count();
    assert!(refused > 0 && states.iter().any(Option::is_none));
    inside.pop();
    assert!(waiting.swap_remove(0).await.is_ok());
}

/// The parts of a guest's memory, with whatever is configured.
#[test]
fn what_may_be_inside_fits_the_guests_memory() {
    for (memory, connections) in [(8 * MIB, 64), (64 * MIB, 1), (64 * MIB, 1024), (256 * MIB, 20_000)] {
        let admission = admission(Capacity { guest_memory_bytes: memory, connections, ..CAPACITY });
        let Quotas { heads, messages, lists, .. } = &*admission.quotas;
        let most: usize = [heads, messages, lists].map(|quota| quota.most(connections)).iter().sum();
        assert!(most <= memory / 32 * 26, "{most} of {memory} for {connections} connections");
    }
}
