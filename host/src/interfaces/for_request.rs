//! The request that a host call belongs to, so that each log line of the call has the request's id.
//!
//! One event loop drives the component's tasks and the host calls, outside of any request. But
//! while a host call starts, wasmtime knows the export that made it.

use std::{
    fmt::Debug,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{Accessor, HasSelf},
};

use super::{
    errors::{CallError, Reported},
    state::State,
};
use crate::{
    auth::Claims,
    message::RequestRecord,
    telemetry::{InRequest, Outcome, RequestScope},
    tenant::{Tenant, unpaid},
};

/// A call of a driver on behalf of a request. The caller pins a future that is not `Unpin`, so that
/// it is never moved.
pub(crate) trait ForRequest<V, D: Reported>:
    Future<Output = Result<V, D>> + Send + Unpin + Sized
{
    /// Runs the call in the scope of the request. Converts its error inside the scope, because the
    /// conversion logs. Must be called before the host call awaits anything. `call` names it in
    /// traces.
    fn for_request(
        self,
        accessor: &Accessor<State, HasSelf<State>>,
        call: &'static str,
    ) -> impl Future<Output = Result<V, CallError<D::World>>> + Send + Unpin {
        InRequest::new(Converted(self), scope(accessor), call)
    }
}

impl<V, D: Reported, F: Future<Output = Result<V, D>> + Send + Unpin> ForRequest<V, D> for F {}

/// For an entry or object that is not there the call did not fail.
impl<V, E: Debug> Outcome for Result<V, CallError<E>> {
    fn failure(&self) -> Option<String> {
        match self {
            Ok(_) => None,
            Err(CallError::Fault(_)) => Some("Fault".to_owned()),
            // The name of the variant. What it holds may be long.
            Err(CallError::World(error)) => {
                let kind = format!("{error:?}");
                let name: String = kind.chars().take_while(char::is_ascii_alphanumeric).collect();
                Some(name).filter(|name| name != "NotFound")
            }
        }
    }
}

/// Whether a use is stored.
impl Outcome for bool {
    fn failure(&self) -> Option<String> {
        None
    }
}

/// A call whose error is converted to one of the world.
struct Converted<F>(F);

impl<V, D: Reported, F: Future<Output = Result<V, D>> + Unpin> Future for Converted<F> {
    type Output = Result<V, CallError<D::World>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        unpaid(|| Pin::new(&mut self.0).poll(cx)).map_err(CallError::from)
    }
}

/// Returns the scope of the request that the component is handling; `None` in a sweep.
pub(super) fn scope(accessor: &Accessor<State, HasSelf<State>>) -> Option<RequestScope> {
    accessor.with(|mut access| scope_in(access.as_context_mut()))
}

/// As [`scope`], with the store at hand.
pub(super) fn scope_in(store: StoreContextMut<'_, State>) -> Option<RequestScope> {
    Some(record_in(store)?.scope.clone())
}

/// Returns the claims of the request that the component is handling, once its token is verified.
pub(super) fn claims(accessor: &Accessor<State, HasSelf<State>>) -> Option<Arc<Claims>> {
    accessor.with(|mut access| record_in(access.as_context_mut())?.claims().cloned())
}

/// Returns the record of the request that the component is handling, where its event is wanted. To be
/// called before the host call awaits anything.
pub(super) fn traced(
    accessor: &Accessor<State, HasSelf<State>>,
    tenant: &Tenant,
) -> Option<Arc<RequestRecord>> {
    tenant.trace.is_on().then(|| record(accessor)).flatten()
}

/// Returns the record of the request that the component is handling; `None` in a sweep.
pub(super) fn record(accessor: &Accessor<State, HasSelf<State>>) -> Option<Arc<RequestRecord>> {
    accessor.with(|mut access| record_in(access.as_context_mut()))
}

fn record_in(mut store: StoreContextMut<'_, State>) -> Option<Arc<RequestRecord>> {
    let export = store.async_call_stack().ok().and_then(Iterator::last)?;
    Some(Arc::clone(&store.data().requests.get(&export)?.record))
}
