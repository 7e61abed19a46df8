//! The lines are the same as with a span of `tracing`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::Write,
    sync::{Arc, Mutex, MutexGuard},
};

use tracing::{Subscriber, subscriber::with_default};
use tracing_subscriber::{
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
};

use super::*;
use crate::telemetry::request::{RequestScope, add_ids};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

struct LinesWriter<'a>(MutexGuard<'a, Vec<u8>>);

impl Write for LinesWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LinesWriter<'a>;

    fn make_writer(&'a self) -> LinesWriter<'a> {
        LinesWriter(self.0.lock().unwrap())
    }
}

/// Logs two lines about a request, one of them with a quote in it, and one about none.
fn log_lines(subscriber: impl Subscriber + Send + Sync + 'static, in_request: impl Fn(&dyn Fn())) {
    with_default(subscriber, || {
        let log = || {
            tracing::warn!(path = "a \"path\"", "storage unavailable");
            tracing::info!(parent: None, id = "an id", "the request's line");
        };
        in_request(&log);
        tracing::error!("about no request");
    });
}

/// What was logged, without the times, which stand first.
fn logged(lines: &Lines) -> Vec<String> {
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let without_time = |line: &str| line.split_once("Z").unwrap().1.to_owned();
    text.lines().map(without_time).collect()
}

fn in_scope(log: &dyn Fn()) {
    let scope = RequestScope::new("an id");
    let _entered = scope.enter();
    log();
}

fn in_span(log: &dyn Fn()) {
    tracing::error_span!("request", id = "an id").in_scope(log);
}

#[test]
fn text_lines_are_those_of_a_span() {
    let (ours, theirs) = (Lines::default(), Lines::default());
    let layer = |lines: &Lines| fmt::layer().with_writer(lines.clone()).with_ansi(false);
    add_ids();
    log_lines(tracing_subscriber::registry().with(layer(&ours).event_format(TextLines::new())), in_scope);
    log_lines(tracing_subscriber::registry().with(layer(&theirs)), in_span);
    assert_eq!(logged(&ours), logged(&theirs));
    assert!(logged(&ours)[0].contains(r#"request{id="an id"}: "#), "{:?}", logged(&ours));
}

#[test]
fn json_lines_are_those_of_a_span() {
    let (ours, theirs) = (Lines::default(), Lines::default());
    let layer = |lines: &Lines| {
        fmt::layer()
            .with_writer(lines.clone())
            .with_ansi(false)
            .json()
            .flatten_event(true)
            .with_span_list(false)
    };
    add_ids();
    let lines = layer(&ours).map_event_format(JsonLines::new);
    log_lines(tracing_subscriber::registry().with(lines), in_scope);
    log_lines(tracing_subscriber::registry().with(layer(&theirs)), in_span);
    let (ours, theirs) = (logged(&ours), logged(&theirs));
    assert_eq!((&ours[0], &ours[2]), (&theirs[0], &theirs[2]));
    assert!(ours[0].ends_with(r#""span":{"id":"an id","name":"request"}}"#), "{ours:?}");
    // The library adds the span to this line, too, although it has no parent.
    assert!(!ours[1].contains("span"), "{ours:?}");
}
