//! One instance of the component, from instantiation until it ends or fails.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    select,
    sync::{mpsc, oneshot},
};
use tracing::Instrument;
use wasmtime::{
    Store,
    component::{Accessor, ComponentNamedList, Lift, Lower, TypedFunc},
};

use super::{
    Policy,
    deadline::TimedPoll,
    exports::{Explain, Exports, Handle},
    faults::Faults,
    guest::{Call, Question},
    instance_pool::Place,
    release::release,
};
use crate::{
    interfaces::{
        bindings::{
            exports::larder::cache::{explain as explain_wit, retention as wit},
            larder::cache::types,
        },
        explain, handler,
        state::State,
    },
    message::{Request, RequestContext, Response, unavailable},
    tenant::{CpuBudget, Tenant},
};

/// What the client reads when the component has no free handle.
const BUSY: &str = "the server is busy";
/// What the client reads when rules are in force that the component does not ask.
const ASKS_NO_RULES: &str = "the policy of this server does not ask its rules";

/// Why an instance ended without a fault.
pub(super) enum Ended {
    /// The channel is closed, and all calls have finished.
    Closed,
    /// Its memory has grown, and no call was inside. Linear memory is released only with its
    /// instance.
    Grown,
    /// It had no call for long, or its place is needed for another one.
    Idle,
    /// It returned invalid responses again and again. The calls inside it are lost, and the guest rests for
    /// so long.
    Rests(Duration),
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
    /// Where there are guests of several tenants.
    pub(super) shared: Option<Shared<'a>>,
}

/// What bounds a guest beside others.
pub(super) struct Shared<'a> {
    /// The place of the instance.
    pub(super) place: &'a mut Place,
    /// The faults of the guest. An invalid response is one: it cost the thread a second attempt, and may have
    /// made work for the host without end, which nobody pays for.
    pub(super) faults: &'a mut Faults,
}

/// How a call ended.
enum Called {
    Answered,
    /// With a response that breaks a rule of the world.
    Invalid,
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
    let ended = TimedPoll::new(served, budget).await.flatten().map_err(InstanceFault::Failed);
    let bytes = store.data().memory_in_use();
    release(store, bytes);
    ended
}

fn budget(tenant: &Tenant) -> Option<&Arc<CpuBudget>> {
    tenant.shared.as_ref().map(|shared| &shared.cpu)
}

/// Starts an instance, makes one call of it, and ends it.
pub(super) async fn probe(policy: &Policy, tenant: &Arc<Tenant>) -> wasmtime::Result<()> {
    let (mut store, instance) = start(policy, tenant).await?;
    let called = store.run_concurrent(async |accessor| {
        instance.is_repeatable.call_concurrent(accessor, ("GET".into(), "/".into())).await
    });
    TimedPoll::new(called, budget(tenant)).await.flatten().map(drop)
}

async fn start(policy: &Policy, tenant: &Arc<Tenant>) -> wasmtime::Result<(Store<State>, Exports)> {
    let mut store = policy.limits.store(policy.pre.engine(), tenant.clone());
    let instance = TimedPoll::new(policy.pre.instantiate_async(&mut store), budget(tenant)).await?;
    let exports = policy.exports.load(&mut store, &instance)?;
    Ok((store, exports))
}

/// Receives calls and runs them concurrently.
async fn serve(
    accessor: &Accessor<State>,
    instance: &Exports,
    work: Work<'_>,
    budget: Option<&Arc<CpuBudget>>,
) -> wasmtime::Result<Ended> {
    let Work { first, calls, mut shared } = work;
    let mut running = FuturesUnordered::new();
    let begin = |call| {
        budget.into_iter().for_each(|budget| budget.begin_call());
        run_call(accessor, instance, call)
    };
    running.extend(first.map(begin));
    let mut open = true;
    while open || !running.is_empty() {
        if running.is_empty() {
            shared.iter_mut().for_each(|shared| shared.place.set_idle());
        }
        select! {
            biased;
            Some(finished) = running.next(), if !running.is_empty() => {
                if let (Called::Invalid, Some(shared)) = (finished?, &mut shared)
                    && let Some(rest) = shared.faults.count(Instant::now())
                {
                    return Ok(Ended::Rests(rest));
                }
                if open && running.is_empty() && accessor.with(|mut access| access.get().has_grown()) {
                    return Ok(Ended::Grown);
                }
            }
            call = calls.recv(), if open => match call {
                Some(call) => {
                    shared.iter_mut().for_each(|shared| shared.place.set_busy());
                    running.push(begin(call));
                }
                None => open = false,
            },
            () = must_end(shared.as_ref()), if running.is_empty() => return Ok(Ended::Idle),
        }
    }
    Ok(Ended::Closed)
}

async fn must_end(shared: Option<&Shared<'_>>) {
    match shared {
        Some(shared) => shared.place.must_end().await,
        None => std::future::pending().await,
    }
}

/// Has the component handle a request.
async fn handle(
    accessor: &Accessor<State>,
    instance: &Exports,
    request: types::Request,
    context: &Arc<RequestContext>,
) -> wasmtime::Result<types::Response> {
    match instance.handle {
        Handle::V0_5(handle) => Ok(call_handle(accessor, handle, request.into(), context).await?.into()),
        Handle::V0_6(handle) => Ok(call_handle(accessor, handle, request, context).await?.into()),
    }
}

/// Calls `handle`. Until it has returned, its host calls are known to be for this request.
async fn call_handle<P, R>(
    accessor: &Accessor<State>,
    handle: TypedFunc<(P,), (R,)>,
    request: P,
    context: &Arc<RequestContext>,
) -> wasmtime::Result<R>
where
    P: Send + Sync + 'static,
    R: Send + Sync + 'static,
    (P,): ComponentNamedList + Lower,
    (R,): ComponentNamedList + Lift,
{
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
async fn run_call(accessor: &Accessor<State>, instance: &Exports, call: Call) -> wasmtime::Result<Called> {
    match call {
        Call::Handle { request, reply } => run_handle(accessor, instance, request, reply).await,
        Call::Question(question) => {
            Box::pin(answer(accessor, instance, *question)).await?;
            Ok(Called::Answered)
        }
    }
}

/// Runs a call that waits for no client.
async fn answer(accessor: &Accessor<State>, instance: &Exports, question: Question) -> wasmtime::Result<()> {
    match question {
        Question::IsRepeatable { method, path, reply } => {
            let (answer,) = instance.is_repeatable.call_concurrent(accessor, (method, path)).await?;
            let _ = reply.send(answer);
        }
        Question::SelectEntries { now_ms, entries, reply } => {
            let entries = entries.iter().map(Into::into).collect();
            let (selection,) = instance.select_entries.call_concurrent(accessor, (now_ms, entries)).await?;
            let _ = reply.send(selection.into());
        }
        Question::ReviewEntries { now_ms, candidates, roots, reply } => {
            let candidates = candidates.iter().map(Into::into).collect();
            let given = (now_ms, candidates, wit::Roots::from(&roots));
            let (verdicts,) = instance.review_entries.call_concurrent(accessor, given).await?;
            let _ = reply.send(verdicts.into());
        }
        Question::RoomTiers { needed, reply } => {
            let given = (wit::RoomNeeded::from(&needed),);
            let (tiers,) = instance.room_tiers.call_concurrent(accessor, given).await?;
            let _ = reply.send(tiers.into());
        }
        Question::MakeRoom { now_ms, needed, candidates, reply } => {
            let candidates = candidates.iter().map(Into::into).collect();
            let given = (now_ms, wit::RoomNeeded::from(&needed), candidates);
            let (chosen,) = instance.make_room.call_concurrent(accessor, given).await?;
            let _ = reply.send(chosen.into());
        }
        Question::ReviewUploads { now_ms, uploads, reply } => {
            let uploads = uploads.iter().map(Into::into).collect();
            let (ids,) = instance.review_uploads.call_concurrent(accessor, (now_ms, uploads)).await?;
            let _ = reply.send(ids.into());
        }
        Question::Explain { now_ms, query, reply } => {
            let given = (now_ms, explain_wit::Query::from(query));
            let explained = match instance.explain {
                Explain::V0_5(explain) => explain.call_concurrent(accessor, given).await?.0.map(Into::into),
                Explain::V0_6(explain) => explain.call_concurrent(accessor, given).await?.0.map(Into::into),
            };
            let _ = reply.send(explain::explained(explained));
        }
    }
    Ok(())
}

async fn run_handle(
    accessor: &Accessor<State>,
    instance: &Exports,
    request: Request,
    reply: oneshot::Sender<Response>,
) -> wasmtime::Result<Called> {
    if !instance.asks_rules && accessor.with(|mut access| access.get().tenant.rules.decide_requests()) {
        let _in_request = request.context.record.scope.enter();
        instance.refusals.log(|times| {
            tracing::error!(
                times,
                "rules are in force that the policy component does not ask: nothing is served"
            );
        });
        let _ = reply.send(unavailable(ASKS_NO_RULES, request.context.record.id()));
        return Ok(Called::Answered);
    }
    // Its memory stays taken for as long as the component may hold a part of the request.
    let context = request.context.clone();
    let Ok(request) = accessor.with(|mut access| handler::request(access.get(), request)) else {
        let _ = reply.send(unavailable(BUSY, context.record.id()));
        return Ok(Called::Answered);
    };
    let mut response = handle(accessor, instance, request, &context).await?;
    if let Some(outcome) = response.outcome.take() {
        context.record.set_outcome(handler::outcome(outcome));
    }
    match accessor.with(|mut access| handler::response(access.get(), response, &context.head.method)) {
        Ok(response) => {
            let _ = reply.send(response);
            Ok(Called::Answered)
        }
        Err(error) => {
            let _in_request = context.record.scope.enter();
            tracing::error!(%error, "the policy component returned an invalid response");
            Ok(Called::Invalid)
        }
    }
}
