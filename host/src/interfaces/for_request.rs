//! Which request a host call is for, so that every line of the log about it stands in the request's span.
//!
//! The component's tasks and the host's calls are driven by one event loop, which knows no spans; but while a call begins, the
//! engine knows the export that it was made from.

use tracing::{Instrument, Span};
use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{Accessor, HasSelf},
};

use super::{
    errors::{CallError, Reported},
    state::State,
};

/// A driver's call that is made for a request.
pub(crate) trait ForRequest<V, D: Reported>: Future<Output = Result<V, D>> + Send + Sized {
    /// Runs the call in the span of the request, and turns its error into one of the world there, so that what is logged of it
    /// stands in the span, too. Must be called before the host call waits for anything.
    fn for_request(
        self,
        accessor: &Accessor<State, HasSelf<State>>,
    ) -> impl Future<Output = Result<V, CallError<D::World>>> + Send {
        let span = accessor.with(|mut access| span(access.as_context_mut()));
        async move { Ok(self.await?) }.instrument(span)
    }
}

impl<V, D: Reported, F: Future<Output = Result<V, D>> + Send> ForRequest<V, D> for F {}

/// Returns the span of the request that the component is handling; none where it handles none (a sweep).
pub(crate) fn span(mut store: StoreContextMut<'_, State>) -> Span {
    let export = store.async_call_stack().ok().and_then(Iterator::last);
    let record = export.and_then(|export| store.data().requests.get(&export));
    record.map_or_else(Span::none, |record| record.span.clone())
}
