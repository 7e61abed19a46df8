//! One instance of the component, from instantiation until it ends or fails.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    select,
    sync::{mpsc, oneshot},
};
use tracing::Instrument;
use wasmtime::{Store, component::Accessor};

use super::{
    Policy,
    deadline::TimedPoll,
    guest::{Call, Question},
    instance_pool::Place,
};
use crate::{
    interfaces::{
        bindings::{Cache, larder::cache::types},
        explain, handler,
        state::State,
    },
    message::{Request, RequestContext, Response, unavailable},
    tenant::{CpuBudget, Tenant},
};

/// What the client reads when the component has no free handle.
const BUSY: &str = "the server is busy";

/// Why an instance ended without a fault.
pub(super) enum Ended {
    /// The channel is closed, and all calls have finished.
    Closed,
    /// Its memory has grown, and no call was inside. Linear memory is released only with its
    /// instance.
    Grown,
    /// It had no call for long, or its place is needed for another one.
    Idle,
}

/// How an instance failed.
pub(super) enum InstanceFault {
    /// It could not be instantiated.
    NoStart(wasmtime::Error),
    /// It trapped, ran too long, or broke a rule of the world. The calls inside it are lost.
    Failed(wasmtime::Error),
}

/// What an instance serves.
pub(super) struct Work<'a> {
    /// The call that it is started for.
    pub(super) first: Option<Call>,
    pub(super) calls: &'a mut mpsc::UnboundedReceiver<Call>,
    /// Its place, where the number of instances is limited.
    pub(super) place: Option<&'a mut Place>,
}

/// Runs an instance on this thread until it ends.
pub(super) async fn run(
    policy: &Policy,
    tenant: &Arc<Tenant>,
    work: Work<'_>,
) -> Result<Ended, InstanceFault> {
    let (mut store, instance) = start(policy, tenant).await.map_err(InstanceFault::NoStart)?;
    let budget = budget(tenant);
    let served = store.run_concurrent(async |accessor| serve(accessor, &instance, work, budget).await);
    TimedPoll::new(served, budget).await.flatten().map_err(InstanceFault::Failed)
}

fn budget(tenant: &Tenant) -> Option<&Arc<CpuBudget>> {
    tenant.shared.as_ref().map(|shared| &shared.cpu)
}

/// Starts an instance, makes one call of it, and ends it.
pub(super) async fn probe(policy: &Policy, tenant: &Arc<Tenant>) -> wasmtime::Result<()> {
    let (mut store, instance) = start(policy, tenant).await?;
    let exported = instance.larder_cache_handler();
    let called = store.run_concurrent(async |accessor| {
        exported.call_is_repeatable(accessor, "GET".into(), "/".into()).await
    });
    TimedPoll::new(called, budget(tenant)).await.flatten().map(drop)
}

async fn start(policy: &Policy, tenant: &Arc<Tenant>) -> wasmtime::Result<(Store<State>, Cache)> {
    let mut store = policy.limits.store(policy.pre.engine(), tenant.clone());
    let instance = TimedPoll::new(policy.pre.instantiate_async(&mut store), budget(tenant)).await?;
    Ok((store, instance))
}

/// Receives calls and runs them concurrently.
async fn serve(
    accessor: &Accessor<State>,
    instance: &Cache,
    work: Work<'_>,
    budget: Option<&Arc<CpuBudget>>,
) -> wasmtime::Result<Ended> {
    let Work { first, calls, mut place } = work;
    let mut running = FuturesUnordered::new();
    let begin = |call| {
        budget.into_iter().for_each(|budget| budget.begin_call());
        run_call(accessor, instance, call)
    };
    running.extend(first.map(begin));
    let mut open = true;
    while open || !running.is_empty() {
        if running.is_empty() {
            place.iter_mut().for_each(|place| place.set_idle());
        }
        select! {
            biased;
            Some(finished) = running.next(), if !running.is_empty() => {
                finished?;
                if open && running.is_empty() && accessor.with(|mut access| access.get().has_grown()) {
                    return Ok(Ended::Grown);
                }
            }
            call = calls.recv(), if open => match call {
                Some(call) => {
                    place.iter_mut().for_each(|place| place.set_busy());
                    running.push(begin(call));
                }
                None => open = false,
            },
            () = must_end(place.as_deref()), if running.is_empty() => return Ok(Ended::Idle),
        }
    }
    Ok(Ended::Closed)
}

async fn must_end(place: Option<&Place>) {
    match place {
        Some(place) => place.must_end().await,
        None => std::future::pending().await,
    }
}

/// Has the component handle a request. Until it has, its host calls are known to be for this
/// request.
async fn handle(
    accessor: &Accessor<State>,
    instance: &Cache,
    request: types::Request,
    context: &Arc<RequestContext>,
) -> wasmtime::Result<types::Response> {
    let handle = instance.larder_cache_handler().func_handle();
    let call = accessor.with(|mut access| -> wasmtime::Result<_> {
        let call = handle.start_call_concurrent(&mut access, (request,))?;
        access.get().requests.insert(call.task(), Arc::clone(context));
        Ok(call)
    })?;
    let task = call.task();
    let span = context.record.scope.guest_call("handle");
    let _call = context.record.scope.trace().map(|trace| trace.begin_guest_call("handle"));
    let (response,) = handle.finish_call_concurrent(accessor, call).instrument(span).await?;
    accessor.with(|mut access| access.get().requests.remove(&task));
    Ok(response)
}

/// Runs one call. An error ends the instance.
async fn run_call(accessor: &Accessor<State>, instance: &Cache, call: Call) -> wasmtime::Result<()> {
    match call {
        Call::Handle { request, reply } => run_handle(accessor, instance, request, reply).await,
        Call::Question(question) => Box::pin(answer(accessor, instance, *question)).await,
    }
}

/// Runs a call that waits for no client.
async fn answer(accessor: &Accessor<State>, instance: &Cache, question: Question) -> wasmtime::Result<()> {
    match question {
        Question::IsRepeatable { method, path, reply } => {
            let exported = instance.larder_cache_handler();
            let _ = reply.send(exported.call_is_repeatable(accessor, method, path).await?);
        }
        Question::SelectEntries { now_ms, entries, reply } => {
            let entries = entries.iter().map(Into::into).collect();
            let retention = instance.larder_cache_retention();
            let _ = reply.send(retention.call_select_entries(accessor, now_ms, entries).await?);
        }
        Question::ReviewEntries { now_ms, candidates, roots, reply } => {
            let candidates = candidates.iter().map(Into::into).collect();
            let retention = instance.larder_cache_retention();
            let review = retention.call_review_entries(accessor, now_ms, candidates, (&roots).into());
            let _ = reply.send(review.await?);
        }
        Question::RoomTiers { needed, reply } => {
            let retention = instance.larder_cache_retention();
            let _ = reply.send(retention.call_room_tiers(accessor, (&needed).into()).await?);
        }
        Question::MakeRoom { now_ms, needed, candidates, reply } => {
            let candidates = candidates.iter().map(Into::into).collect();
            let retention = instance.larder_cache_retention();
            let made = retention.call_make_room(accessor, now_ms, (&needed).into(), candidates);
            let _ = reply.send(made.await?);
        }
        Question::Explain { now_ms, query, reply } => {
            let explain = instance.larder_cache_explain();
            let explained = explain.call_explain(accessor, now_ms, query.into()).await?;
            let _ = reply.send(explain::explained(explained));
        }
        Question::ReviewUploads { now_ms, uploads, reply } => {
            let uploads = uploads.iter().map(Into::into).collect();
            let retention = instance.larder_cache_retention();
            let _ = reply.send(retention.call_review_uploads(accessor, now_ms, uploads).await?);
        }
    }
    Ok(())
}

async fn run_handle(
    accessor: &Accessor<State>,
    instance: &Cache,
    request: Request,
    reply: oneshot::Sender<Response>,
) -> wasmtime::Result<()> {
    // Its memory stays taken for as long as the component may hold a part of the request.
    let context = request.context.clone();
    let Ok(request) = accessor.with(|mut access| handler::request(access.get(), request)) else {
        let _ = reply.send(unavailable(BUSY, context.record.id()));
        return Ok(());
    };
    let mut response = handle(accessor, instance, request, &context).await?;
    if let Some(outcome) = response.outcome.take() {
        context.record.set_outcome(handler::outcome(outcome));
    }
    match accessor.with(|mut access| handler::response(access.get(), response, &context.head.method)) {
        Ok(response) => drop(reply.send(response)),
        Err(error) => {
            let _in_request = context.record.scope.enter();
            tracing::error!(%error, "the policy component returned an invalid response");
        }
    }
    Ok(())
}
