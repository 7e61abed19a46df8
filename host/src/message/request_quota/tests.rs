//! Bodies acquire their memory before they are read, and release it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::message::quota::{QuotaBounds, QuotaKind};

const MIB: u32 = 1024 * 1024;

fn quota(kind: QuotaKind, reserve: u32, pool: u32) -> Quota {
    let wait = Duration::from_millis(50);
    Quota::new(kind, QuotaBounds { reserve, pool, pool_per_connection: pool / 2, wait })
}

fn quotas() -> Arc<Quotas> {
    Arc::new(Quotas {
        heads: quota(QuotaKind::Heads, 0, MIB),
        waiting: quota(QuotaKind::Waiting, 0, MIB),
        messages: quota(QuotaKind::Messages, 0, 12 * MIB),
        lists: Quota::new(
            QuotaKind::Lists,
            QuotaBounds { reserve: 0, pool: 18 * MIB, pool_per_connection: 18 * MIB, wait: Duration::ZERO },
        ),
        bodies: Arc::new(quota(QuotaKind::Bodies, 0, 16 * MIB)),
        forwards: Arc::new(quota(QuotaKind::Forwards, 0, 4)),
    })
}

fn request(quotas: &Arc<Quotas>) -> RequestQuota {
    RequestQuota::new(quotas.clone(), Arc::new(quotas.client()), QuotaPermit::default())
}

#[test]
fn the_longest_body_is_one_that_fits_into_all_quotas() {
    let mut quotas = Arc::into_inner(quotas()).unwrap();
    assert_eq!(quotas.longest_body(), 8 * u64::from(MIB));
    quotas.lists = quota(QuotaKind::Lists, 0, 0);
    assert_eq!(quotas.longest_body(), SHORT_BODY_BYTES);
    quotas.messages = quota(QuotaKind::Messages, 0, 24 * 1024);
    assert_eq!(quotas.longest_body(), 1024);
}

#[tokio::test]
async fn an_instance_makes_one_long_list_at_a_time() {
    let quotas = quotas();
    let (first, second) = (request(&quotas), request(&quotas));
    let made = first.acquire_guest_memory(8 * u64::from(MIB)).await.unwrap();
    assert!(second.acquire_guest_memory(8 * u64::from(MIB)).await.is_err());
    assert!(second.acquire_guest_memory(300).now_or_never().unwrap().is_ok(), "a message waits for a list");
    drop(made);
    assert!(second.acquire_guest_memory(8 * u64::from(MIB)).await.is_ok());
}

#[tokio::test]
async fn a_permit_grows_with_the_body() {
    let quotas = quotas();
    let first = request(&quotas);
    let mut growing = Growing { of: Some((&*quotas.bodies, &first.client)), bytes: 0, held: None };
    for (length, taken) in
        [(1000, 1000), (1001, 2000), (2000, 2000), (2001, 4000), (9000, 9000), (9001, 10_000)]
    {
        growing.grow(length, 10_000).await.unwrap();
        assert_eq!(quotas.bodies.usage().taken, taken);
    }
    drop(growing);
    assert_eq!(quotas.bodies.usage().taken, 0);
}

#[tokio::test]
async fn a_pause_counts_only_while_somebody_waits() {
    let quotas = quotas();
    let (first, second, third) = (request(&quotas), request(&quotas), request(&quotas));
    let mut slow = Growing { of: Some((&*quotas.bodies, &first.client)), bytes: 0, held: None };
    slow.reach(8 * u64::from(MIB)).await.unwrap();
    assert!(slow.paused().is_ok());
    let _other = quotas.bodies.try_acquire(&second.client, 8 * MIB).unwrap();
    let mut waits = Box::pin(quotas.bodies.acquire(&third.client, 1));
    assert!((&mut waits).now_or_never().is_none());
    assert!(slow.paused().is_err());
    let mut reserved = Growing { held: Some(QuotaPermit::default()), ..Growing::unbounded() };
    reserved.of = slow.of;
    assert!(reserved.paused().is_ok(), "nobody waits for a reserve");
}

#[tokio::test]
async fn forwards_are_bounded() {
    let quotas = quotas();
    let requests: Vec<_> = (0..3).map(|_| request(&quotas)).collect();
    let mut places = Vec::new();
    for request in &requests[..2] {
        places.push(request.acquire_forward().await.unwrap());
        places.push(request.acquire_forward().await.unwrap());
    }
    assert!(requests[2].acquire_forward().await.is_err());
    places.pop();
    assert!(requests[2].acquire_forward().await.is_ok());
}
