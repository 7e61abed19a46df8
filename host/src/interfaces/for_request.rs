//! The span of the request that a host call belongs to, so that each log line of the call has it.
//!
//! One event loop drives the component's tasks and the host calls, outside of any span. But while a host call
//! starts, wasmtime knows the export that made it.

use tracing::{Instrument, Span};
use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{Accessor, HasSelf},
};

use super::{
    errors::{CallError, Reported},
    state::State,
};

/// A call of a driver on behalf of a request.
pub(crate) trait ForRequest<V, D: Reported>: Future<Output = Result<V, D>> + Send + Sized {
    /// Runs the call in the span of the request. Converts its error inside the span, because the conversion
    /// logs. Must be called before the host call awaits anything.
    fn for_request(
        self,
        accessor: &Accessor<State, HasSelf<State>>,
    ) -> impl Future<Output = Result<V, CallError<D::World>>> + Send {
        let span = accessor.with(|mut access| span(access.as_context_mut()));
        async move { Ok(self.await?) }.instrument(span)
    }
}

impl<V, D: Reported, F: Future<Output = Result<V, D>> + Send> ForRequest<V, D> for F {}

/// Returns the span of the request that the component is handling, or no span (in a sweep).
pub(crate) fn span(mut store: StoreContextMut<'_, State>) -> Span {
    let export = store.async_call_stack().ok().and_then(Iterator::last);
    let record = export.and_then(|export| store.data().requests.get(&export));
    record.map_or_else(Span::none, |record| record.span.clone())
}
