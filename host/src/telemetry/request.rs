//! Which request a line of the log is about.
//!
//! A span of `tracing` is allocated and formatted for each request, and counted at each poll, for
//! lines that are rarely written. So the id of the current request is a thread-local value, which
//! `format.rs` adds to each line that is written. A real span, named `request`, is made only where
//! the lines are not formatted here: for the subscriber of a program that embeds the server, and
//! for filters that name spans or fields.

use std::{
    cell::Cell,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use larder_otlp::{OpenCall, Trace};
use tracing::{Span, span};

/// The target of the spans of calls, to the guest and to drivers.
const CALLS: &str = "larder::calls";

thread_local! {
    /// The id of the request for which this thread works at the moment.
    static CURRENT: Cell<Option<Arc<str>>> = const { Cell::new(None) };
}

/// Whether the lines get the id of the request from here, so that no span is needed.
static IDS_ARE_ADDED: AtomicBool = AtomicBool::new(false);

/// A request, as the log names it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RequestScope {
    id: Arc<str>,
    span: Span,
    /// `None`: it is not sampled.
    trace: Option<Arc<Trace>>,
}

/// While it lives, the lines that this thread logs are about a request.
#[must_use]
pub(crate) struct Entered<'a> {
    before: Option<Arc<str>>,
    _span: span::Entered<'a>,
}

impl RequestScope {
    /// A request with this id.
    #[must_use]
    pub(crate) fn new(id: &str) -> Self {
        let span = if IDS_ARE_ADDED.load(Relaxed) {
            Span::none()
        } else {
            // Of the highest level, so that it is there whichever lines are.
            tracing::error_span!(target: "larder", "request", id)
        };
        Self { id: id.into(), span, trace: None }
    }

    /// Records the trace that the request leaves at a collector. Clones of before do not have it.
    pub(crate) fn set_trace(&mut self, trace: Option<Arc<Trace>>) {
        self.trace = trace;
    }

    /// The trace that the request leaves at a collector; `None` where it is not sampled.
    #[must_use]
    pub(crate) fn trace(&self) -> Option<&Arc<Trace>> {
        self.trace.as_ref()
    }

    /// The span of a call of the guest for this request, with the export's name.
    #[must_use]
    pub(crate) fn guest_call(&self, export: &'static str) -> Span {
        tracing::trace_span!(target: CALLS, parent: self.span.id(), "guest call", export)
    }

    /// The request's id.
    #[must_use]
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Marks all lines of this thread as about the request, until the result is dropped. Not to be
    /// held across an `.await`.
    pub(crate) fn enter(&self) -> Entered<'_> {
        Entered { before: CURRENT.replace(Some(self.id.clone())), _span: self.span.enter() }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

/// A call of a driver whose lines in the log are about a request.
pub(crate) struct InRequest<F> {
    future: F,
    scope: Option<RequestScope>,
    /// `driver call`, with the call's name. At the level of traces, so that it costs nothing where
    /// nobody collects them.
    span: Span,
    /// The same for a collector.
    call: Option<OpenCall>,
}

/// Says how a call failed.
pub(crate) trait Outcome {
    /// Returns the kind of the failure, in a word; `None` when it did not fail.
    fn failure(&self) -> Option<String>;
}

impl<F> InRequest<F> {
    /// Runs `future` for the request; for none where `scope` is `None`. A future that is not
    /// `Unpin` is pinned by the caller, so that it is never moved.
    pub(crate) fn new(future: F, scope: Option<RequestScope>, call: &'static str) -> Self {
        let request = scope.as_ref().and_then(|scope| scope.span.id());
        let span = tracing::trace_span!(target: CALLS, parent: request, "driver call", call);
        let call = scope.as_ref().and_then(RequestScope::trace).map(|trace| trace.begin_call(call));
        Self { future, scope, span, call }
    }
}

impl<F: Future<Output: Outcome> + Unpin> Future for InRequest<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, scope, span, call } = &mut *self;
        let _in_request = scope.as_ref().map(RequestScope::enter);
        let _in_call = span.enter();
        let polled = Pin::new(future).poll(cx);
        if let Poll::Ready(output) = &polled
            && let Some(mut call) = call.take()
            && let Some(failure) = output.failure()
        {
            call.fail(failure);
        }
        polled
    }
}

/// From now on every line gets the id of its request, without a span.
pub(super) fn add_ids() {
    IDS_ARE_ADDED.store(true, Relaxed);
}

/// Returns the id of the request for which this thread works.
pub(super) fn current_id() -> Option<Arc<str>> {
    let current = CURRENT.take();
    CURRENT.set(current.clone());
    current
}

#[cfg(test)]
mod tests;
