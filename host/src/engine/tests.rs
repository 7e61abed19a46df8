//! What a guest does when there is not enough of something.
#![expect(clippy::unwrap_used, reason = "tests")]

mod decisions;

use std::time::Duration;

use http::StatusCode;
use larder_common::causes::chain;
use tempfile::TempDir;
use tokio::task::LocalSet;

use super::*;
use crate::{
    BUILT_IN_POLICY,
    message::{
        ClientGuard, Quota, QuotaBounds, QuotaKind, QuotaPermit, Quotas, ReplayBody, Request, RequestBody,
        RequestContext, RequestQuota, RequestRecord, Response,
    },
    testing::tenant,
};

fn policy(limits: InstanceLimits) -> Policy {
    Engine::start(TICK).unwrap().load(BUILT_IN_POLICY, None, limits).unwrap()
}

fn quota() -> RequestQuota {
    let bounds =
        QuotaBounds { reserve: 1 << 20, pool: 0, pool_per_connection: 0, wait: Duration::from_secs(10) };
    let quota = |kind| Quota::new(kind, bounds);
    let quotas = Arc::new(Quotas {
        heads: quota(QuotaKind::Heads),
        waiting: quota(QuotaKind::Waiting),
        messages: quota(QuotaKind::Messages),
        lists: quota(QuotaKind::Lists),
        bodies: Arc::new(quota(QuotaKind::Bodies)),
        forwards: Arc::new(quota(QuotaKind::Forwards)),
    });
    let client = Arc::new(quotas.client());
    RequestQuota::new(quotas, client, QuotaPermit::default())
}

async fn get(guest: &Guest, path: &str) -> Response {
    let (_guard, client) = ClientGuard::new();
    let head = http::Request::get(path).body(()).unwrap().into_parts().0;
    let from = std::net::Ipv4Addr::LOCALHOST.into();
    let record = RequestRecord::new("an id", from, &head.method, path, &head.headers);
    let context = RequestContext {
        origin: "http://here".into(),
        received_ms: 0,
        head: head.into(),
        record: record.into(),
        client,
        quota: quota(),
        replay_body: ReplayBody::default(),
    };
    let request = Request { context: context.into(), body: RequestBody::full(bytes::Bytes::new()) };
    tokio::time::timeout(Duration::from_secs(30), guest.handle(request)).await.unwrap()
}

/// Starts a guest with these limits and asks it twice.
async fn statuses(limits: InstanceLimits) -> [StatusCode; 2] {
    let folder = TempDir::new().unwrap();
    let (tenant, policy) = (tenant(folder.path()), policy(limits));
    let asked = LocalSet::new();
    asked
        .run_until(async {
            let guest = policy.start(&tenant);
            [get(&guest, "/health").await.status(), get(&guest, "/health").await.status()]
        })
        .await
}

/// A trap says where it happened, which is more than a line: it is logged as a text in quotes.
#[test]
fn the_causes_of_a_fault_are_in_its_chain() {
    let fault = wasmtime::Error::msg("no memory").context("at line 1\nat line 2").context("a call failed");
    assert_eq!(chain(fault.as_ref()), "a call failed: at line 1\nat line 2: no memory");
}

#[tokio::test]
async fn with_what_it_needs_a_guest_answers() {
    assert_eq!(statuses(InstanceLimits::default()).await, [StatusCode::OK; 2]);
}

/// Fault 7 (c): a full table of handles ended the instance, with all calls inside it.
#[tokio::test]
async fn without_a_free_handle_a_call_is_a_503_and_the_instance_goes_on() {
    let limits = InstanceLimits { handles: 0, ..InstanceLimits::default() };
    assert_eq!(statuses(limits).await, [StatusCode::SERVICE_UNAVAILABLE; 2]);
}

/// Fault 18: it was a 404, and ten errors a second.
#[tokio::test]
async fn a_policy_that_does_not_start_is_a_503() {
    let limits = InstanceLimits { memory_bytes: 1 << 20, ..InstanceLimits::default() };
    assert_eq!(statuses(limits).await, [StatusCode::SERVICE_UNAVAILABLE; 2]);
    let folder = TempDir::new().unwrap();
    let probed = policy(limits).probe(&tenant(folder.path())).await;
    assert!(matches!(probed, Err(LoadError::Start(_))), "{probed:?}");
}

#[tokio::test]
async fn a_policy_that_starts_is_found_to() {
    let folder = TempDir::new().unwrap();
    policy(InstanceLimits::default()).probe(&tenant(folder.path())).await.unwrap();
}
