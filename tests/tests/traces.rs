//! The host as a library: a program with a subscriber of its own sees each request as a span, and
//! below it the calls of the guest and of drivers.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use larder_tests::{Job, TestServer};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// The spans that began, each as `parent > name value of its only field`.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeSet<String>>>);

/// The value of a span's field, unless it is an id.
#[derive(Default)]
struct Value(String);

impl Visit for Value {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "id" {
            self.0 = format!(" {value:?}");
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !attributes.metadata().target().starts_with("larder") {
            return;
        }
        let mut value = Value::default();
        attributes.record(&mut value);
        let span = context.span(id).unwrap();
        let parent = span.parent().map_or("nothing", |parent| parent.name());
        self.0.lock().unwrap().insert(format!("{parent} > {}{}", span.name(), value.0));
    }
}

#[tokio::test]
async fn calls_of_the_guest_and_of_drivers_are_spans_below_their_request() {
    let spans = Spans::default();
    tracing_subscriber::registry().with(spans.clone()).init();
    let server = TestServer::start(&[]).await;
    let job = Job::new(&server);
    job.save("traced", b"bytes").await;
    assert_eq!(job.restore("traced").await, "bytes");
    server.stop();
    let spans = spans.0.lock().unwrap();
    for expected in [
        "nothing > request",
        "request > guest call \"handle\"",
        "request > driver call \"auth.verify\"",
        "request > driver call \"index.reserve\"",
        "request > driver call \"storage.put\"",
        "request > driver call \"storage.open\"",
    ] {
        assert!(spans.contains(expected), "{expected} is not among {spans:#?}");
    }
}
