//! Traces of requests, and metrics, sent to a collector of OpenTelemetry by OTLP over HTTP.
//!
//! A request that is sampled has a [`Trace`]: the spans of its calls gather there, and when it is over they are put in a
//! bounded queue. A thread of its own ([`Exporter`]) sends what is queued, and the metrics, so that a slow collector, or
//! none, costs requests nothing but spans that are dropped and counted. What is not sampled has no trace, and allocates
//! nothing.
//!
//! Knows nothing of the server: HTTP is a [`Post`], and what is counted is a [`Reporter`].

mod attributes;
mod context;
mod exporter;
mod metrics;
mod queue;
mod sampler;
mod sender;
mod trace;

pub use self::{
    attributes::{Attribute, parse_pairs},
    exporter::{Exporter, Post, PostError, Reporter, Settings, Signal, Target},
    sampler::Sampler,
    trace::{OpenCall, RequestSpan, Trace, Tracer},
};
