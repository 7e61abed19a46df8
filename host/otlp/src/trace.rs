//! The spans of a request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use http::HeaderMap;
use larder_common::clock::Clock;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    attributes::Attribute,
    context::{Parent, state},
    exporter::Reporter,
    queue::Queue,
    sampler::Sampler,
};

/// Most calls of a request that are recorded. A finalize of many blocks makes one call, so only a strange policy makes more.
const MAX_CALLS: usize = 64;
/// The flags of each span: sampled, and its parent may be in another process (whether it is, is known).
const SAMPLED: u32 = 0x101;
const HAS_REMOTE_PARENT: u32 = 0x200;

type SpanId = [u8; 8];

/// Decides which requests are traced, and takes their traces.
pub struct Tracer {
    pub(crate) sampler: Sampler,
    pub(crate) queue: Queue,
    pub(crate) reporter: Arc<dyn Reporter>,
    pub(crate) clock: Clock,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("sampler", &self.sampler).finish_non_exhaustive()
    }
}

/// A request that is traced.
pub struct Trace {
    tracer: Arc<Tracer>,
    trace_id: [u8; 16],
    parent: Option<SpanId>,
    state: String,
    span_id: SpanId,
    started_ms: u64,
    began: Instant,
    /// The span of the guest's call in progress, which further calls are below; 0: the request's.
    current: AtomicU64,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    ended: Vec<Call>,
    dropped: u32,
}

/// A call that has ended. Its times are nanoseconds since the request began.
#[derive(Debug)]
struct Call {
    name: &'static str,
    kind: SpanKind,
    span_id: SpanId,
    parent: SpanId,
    from_ns: u64,
    to_ns: u64,
    failure: Option<String>,
}

/// What is known of a request when it is over.
#[derive(Debug, Default)]
pub struct RequestSpan {
    /// Its name, of few different ones.
    pub name: String,
    /// What describes it.
    pub attributes: Vec<Attribute>,
    /// Whether it failed by a fault of the server.
    pub is_failed: bool,
}

/// The trace of a request that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    request: Span,
    calls: Vec<Call>,
}

impl Tracer {
    /// Returns the trace of a request with these header fields, if it is sampled. Its number is the client's, or else
    /// `id`, the number of the request in the log.
    #[must_use]
    pub fn begin(self: &Arc<Self>, headers: &HeaderMap, id: &str) -> Option<Arc<Trace>> {
        let parent = Parent::of(headers);
        let trace_id = match &parent {
            Some(parent) => parent.trace_id,
            None => Uuid::try_parse(id).ok()?.into_bytes(),
        };
        if !self.sampler.samples(parent.as_ref(), &trace_id) {
            return None;
        }
        Some(Arc::new(Trace {
            tracer: Arc::clone(self),
            trace_id,
            state: if parent.is_some() { state(headers) } else { String::new() },
            parent: parent.map(|parent| parent.span_id),
            span_id: new_span_id(),
            started_ms: self.clock.now_ms(),
            began: Instant::now(),
            current: AtomicU64::new(0),
            calls: Mutex::default(),
        }))
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("trace_id", &self.trace_id).finish_non_exhaustive()
    }
}

impl Trace {
    /// Begins the call of the guest. Calls that begin before its end are below it.
    pub fn begin_guest_call(self: &Arc<Self>, name: &'static str) -> OpenCall {
        let call = self.open(name, SpanKind::Internal, self.span_id);
        self.current.store(u64::from_be_bytes(call.span_id), Relaxed);
        call
    }

    /// Begins a call of a driver: `index.find`, say.
    pub fn begin_call(self: &Arc<Self>, name: &'static str) -> OpenCall {
        let parent = match self.current.load(Relaxed) {
            0 => self.span_id,
            current => current.to_be_bytes(),
        };
        self.open(name, SpanKind::Client, parent)
    }

    fn open(self: &Arc<Self>, name: &'static str, kind: SpanKind, parent: SpanId) -> OpenCall {
        let (span_id, from_ns) = (new_span_id(), self.elapsed_ns());
        OpenCall { trace: Arc::clone(self), name, kind, span_id, parent, from_ns, failure: None }
    }

    fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Ends the request's span, and has the trace sent. Does not wait: without room the trace is dropped, and counted.
    pub fn end(&self, request: RequestSpan) {
        let Calls { ended: calls, dropped } = std::mem::take(&mut *self.calls.lock());
        let spans = calls.len() as u64 + 1;
        let start = self.start_ns();
        let request = Span {
            trace_id: self.trace_id.to_vec(),
            span_id: self.span_id.to_vec(),
            trace_state: self.state.clone(),
            parent_span_id: self.parent.map_or_else(Vec::new, |parent| parent.to_vec()),
            flags: SAMPLED | if self.parent.is_some() { HAS_REMOTE_PARENT } else { 0 },
            name: request.name,
            kind: SpanKind::Server.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(self.elapsed_ns()),
            attributes: request.attributes.into_iter().map(|attribute| attribute.0).collect(),
            status: status(request.is_failed),
            dropped_attributes_count: 0,
            events: Vec::new(),
            dropped_events_count: dropped,
            links: Vec::new(),
            dropped_links_count: 0,
        };
        if !self.tracer.queue.push(Finished { request, calls }) {
            self.tracer.reporter.dropped(spans);
        }
    }

    fn start_ns(&self) -> u64 {
        self.started_ms.saturating_mul(1_000_000)
    }
}

/// A call in progress. It ends when it is dropped.
#[must_use]
pub struct OpenCall {
    trace: Arc<Trace>,
    name: &'static str,
    kind: SpanKind,
    span_id: SpanId,
    parent: SpanId,
    from_ns: u64,
    failure: Option<String>,
}

impl OpenCall {
    /// Says how the call failed, in a word.
    pub fn fail(&mut self, kind: String) {
        self.failure = Some(kind);
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let trace = &self.trace;
        if self.kind == SpanKind::Internal {
            let own = u64::from_be_bytes(self.span_id);
            let _ = trace.current.compare_exchange(own, 0, Relaxed, Relaxed);
        }
        let call = Call {
            name: self.name,
            kind: self.kind,
            span_id: self.span_id,
            parent: self.parent,
            from_ns: self.from_ns,
            to_ns: trace.elapsed_ns(),
            failure: self.failure.take(),
        };
        let mut calls = trace.calls.lock();
        if calls.ended.len() < MAX_CALLS { calls.ended.push(call) } else { calls.dropped += 1 }
    }
}

impl Finished {
    /// How many spans it has.
    pub(crate) fn len(&self) -> usize {
        self.calls.len() + 1
    }

    /// Returns the spans: of the request, and of its calls.
    pub(crate) fn into_spans(self) -> impl Iterator<Item = Span> {
        let Self { request, calls } = self;
        let of_call = {
            let (trace_id, state, start) =
                (request.trace_id.clone(), request.trace_state.clone(), request.start_time_unix_nano);
            move |call: Call| {
                let failure = call.failure.map(|kind| Attribute::text("error.type", kind));
                Span {
                    trace_id: trace_id.clone(),
                    span_id: call.span_id.to_vec(),
                    trace_state: state.clone(),
                    parent_span_id: call.parent.to_vec(),
                    flags: SAMPLED,
                    name: call.name.to_owned(),
                    kind: call.kind.into(),
                    start_time_unix_nano: start.saturating_add(call.from_ns),
                    end_time_unix_nano: start.saturating_add(call.to_ns),
                    status: status(failure.is_some()),
                    attributes: failure.into_iter().map(|attribute| attribute.0).collect(),
                    ..Span::default()
                }
            }
        };
        std::iter::once(request).chain(calls.into_iter().map(of_call))
    }
}

fn status(is_failed: bool) -> Option<Status> {
    is_failed.then(|| Status { code: StatusCode::Error.into(), message: String::new() })
}

/// A number of a span: random, and not 0.
fn new_span_id() -> SpanId {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    // Each has a few bits that are the same in all numbers, at different places.
    ((high ^ low.rotate_left(32)) | 1).to_be_bytes()
}
