//! Which request a host call is for, so that every line of the log about it has the request's id.
//!
//! The component's tasks and the host's calls are driven by one event loop, which knows no requests. But while a call begins,
//! the engine knows the export that it was made from.

use std::{
    pin::Pin,
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
use crate::telemetry::{InRequest, RequestScope};

/// A driver's call that is made for a request. One that is not `Unpin` is pinned in place first, so that it is never moved.
pub(crate) trait ForRequest<V, D: Reported>:
    Future<Output = Result<V, D>> + Send + Unpin + Sized
{
    /// Runs the call for the request, and converts its error there, so that what is logged of it has the request's id, too.
    /// Must be called before the host call waits for anything.
    fn for_request(
        self,
        accessor: &Accessor<State, HasSelf<State>>,
    ) -> impl Future<Output = Result<V, CallError<D::World>>> + Send + Unpin {
        InRequest::new(Converted(self), scope(accessor))
    }
}

impl<V, D: Reported, F: Future<Output = Result<V, D>> + Send + Unpin> ForRequest<V, D> for F {}

/// A call whose error is converted into one of the world.
struct Converted<F>(F);

impl<V, D: Reported, F: Future<Output = Result<V, D>> + Unpin> Future for Converted<F> {
    type Output = Result<V, CallError<D::World>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(CallError::from)
    }
}

/// Returns the request that the component is handling; `None` where it handles none (a sweep).
pub(super) fn scope(accessor: &Accessor<State, HasSelf<State>>) -> Option<RequestScope> {
    accessor.with(|mut access| scope_in(access.as_context_mut()))
}

/// As [`scope`], with the store at hand.
pub(super) fn scope_in(mut store: StoreContextMut<'_, State>) -> Option<RequestScope> {
    let export = store.async_call_stack().ok().and_then(Iterator::last)?;
    Some(store.data().requests.get(&export)?.record.scope.clone())
}
