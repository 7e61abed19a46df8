//! The thread that sends.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use larder_common::clock::Clock;
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::InstrumentationScope,
    metrics::v1::{ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans},
};
use prost::Message;
use tokio::{select, sync::watch, time::sleep};

use crate::{
    Attribute, Sampler, metrics::converted, queue::Queue, sender::Sender, trace::Finished, trace::Tracer,
};

/// How long a span waits until it is sent, at most.
const SPANS_EVERY: Duration = Duration::from_secs(5);
/// Most spans of a request to the collector.
const MAX_SPANS: usize = 2048;

/// Where to send what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where traces go; `None`: there are none.
    pub traces: Option<Target>,
    /// Where metrics go; `None`: they do not.
    pub metrics: Option<Target>,
    /// What describes the server.
    pub resource: Vec<Attribute>,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// Time between two exports of metrics.
    pub metrics_every: Duration,
    /// The time of day.
    pub clock: Clock,
}

/// Where what is of one kind goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The whole URL.
    pub url: Uri,
    /// Header fields of each request. They may hold secrets.
    pub headers: HeaderMap,
    /// How long a request may take.
    pub timeout: Duration,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans of requests.
    Traces,
    /// Metrics.
    Metrics,
}

impl Signal {
    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// Why there is no response.
#[derive(Debug)]
pub struct PostError(pub String);

/// Makes HTTP requests, on the runtime of the exporter's thread.
#[async_trait]
pub trait Post: Send + Sync + 'static {
    /// Makes one request, and returns the response with its body, which is bounded.
    async fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, PostError>;
}

/// What the exporter has of the server.
#[async_trait]
pub trait Reporter: Send + Sync + 'static {
    /// Returns the metrics in the text format of Prometheus (0.0.4).
    async fn metrics(&self) -> String;
    /// Counts an export that is over.
    fn exported(&self, signal: Signal, is_ok: bool);
    /// Counts spans that were not sent.
    fn dropped(&self, spans: u64);
}

/// The thread that sends. Dropped without [`Self::stop`], what waits is lost.
pub struct Exporter {
    tracer: Option<Arc<Tracer>>,
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread, or no runtime.
    pub fn start(settings: Settings, post: impl Post, reporter: Arc<dyn Reporter>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tracer = settings.traces.is_some().then(|| {
            let (queue, clock) = (Queue::default(), settings.clock.clone());
            Arc::new(Tracer { sampler: settings.sampler, queue, reporter: Arc::clone(&reporter), clock })
        });
        let (stop, stopped) = watch::channel(false);
        let (has_ended, ended) = mpsc::channel();
        let post: Box<dyn Post> = Box::new(post);
        let work = Work { tracer: tracer.clone(), started_ms: settings.clock.now_ms(), settings, reporter };
        thread::Builder::new().name("larder-otlp".to_owned()).spawn(move || {
            runtime.block_on(work.run(&*post, stopped));
            let _ = has_ended.send(());
        })?;
        Ok(Self { tracer, stop, ended })
    }

    /// Returns what decides about requests, and takes their traces; `None` where traces go nowhere.
    #[must_use]
    pub fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.as_ref()
    }

    /// Has what waits sent, and the metrics once more; returns whether that was done within this time. An export that
    /// fails now is not tried again.
    #[must_use]
    pub fn stop(self, within: Duration) -> bool {
        let _ = self.stop.send(true);
        self.ended.recv_timeout(within) != Err(mpsc::RecvTimeoutError::Timeout)
    }
}

struct Work {
    tracer: Option<Arc<Tracer>>,
    started_ms: u64,
    settings: Settings,
    reporter: Arc<dyn Reporter>,
}

impl Work {
    async fn run(&self, post: &dyn Post, stopped: watch::Receiver<bool>) {
        let sender = |signal, target| Sender::new(signal, post, target, stopped.clone(), &*self.reporter);
        let traces = async {
            if let (Some(tracer), Some(target)) = (&self.tracer, &self.settings.traces) {
                self.send_traces(&tracer.queue, sender(Signal::Traces, target), stopped.clone()).await;
            }
        };
        let metrics = async {
            if let Some(target) = &self.settings.metrics {
                self.send_metrics(sender(Signal::Metrics, target), stopped.clone()).await;
            }
        };
        tokio::join!(traces, metrics);
    }

    async fn send_traces(&self, queue: &Queue, mut sender: Sender<'_>, mut stopped: watch::Receiver<bool>) {
        let mut is_last = false;
        while !is_last {
            is_last = select! {
                () = sleep(SPANS_EVERY) => false,
                () = queue.batch() => false,
                _ = stopped.wait_for(|stopped| *stopped) => true,
            };
            let mut waiting = queue.take().into_iter().peekable();
            while waiting.peek().is_some() {
                let (message, spans) = self.traces(&mut waiting);
                let rejected = sender.send(message.encode_to_vec().into()).await.unwrap_or(spans);
                if rejected > 0 {
                    self.reporter.dropped(rejected.min(spans));
                }
            }
        }
    }

    /// Returns a message with some of the traces, and how many spans it has.
    fn traces(
        &self,
        waiting: &mut std::iter::Peekable<impl Iterator<Item = Finished>>,
    ) -> (ExportTraceServiceRequest, u64) {
        let mut spans = Vec::new();
        while let Some(trace) =
            waiting.next_if(|trace| spans.is_empty() || spans.len() + trace.len() <= MAX_SPANS)
        {
            spans.extend(trace.into_spans());
        }
        let count = spans.len() as u64;
        let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, schema_url: String::new() }];
        let resource = Some(self.resource());
        let resource_spans = vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }];
        (ExportTraceServiceRequest { resource_spans }, count)
    }

    async fn send_metrics(&self, mut sender: Sender<'_>, mut stopped: watch::Receiver<bool>) {
        let mut is_last = false;
        while !is_last {
            is_last = select! {
                () = sleep(self.settings.metrics_every) => false,
                _ = stopped.wait_for(|stopped| *stopped) => true,
            };
            let text = self.reporter.metrics().await;
            sender.send(self.metrics(&text).encode_to_vec().into()).await;
        }
    }

    fn metrics(&self, text: &str) -> ExportMetricsServiceRequest {
        let metrics = converted(text, self.started_ms, self.settings.clock.now_ms());
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: String::new() }];
        let resource = Some(self.resource());
        let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, schema_url: String::new() }];
        ExportMetricsServiceRequest { resource_metrics }
    }

    fn resource(&self) -> Resource {
        let attributes = self.settings.resource.iter().map(|attribute| attribute.0.clone()).collect();
        Resource { attributes, ..Resource::default() }
    }
}

/// What says by whom spans and metrics are made.
fn scope() -> InstrumentationScope {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    InstrumentationScope { name: "larder".to_owned(), version, ..InstrumentationScope::default() }
}

#[cfg(test)]
mod tests;
