//! Events: who gets them, and what a slow one misses.
#![expect(clippy::unwrap_used, reason = "tests")]

use larder_common::event::EventKind;

use super::*;

fn event() -> Event {
    Event { key: Some("k".repeat(1000)), ..Event::new(EventKind::Lookup, 7) }
}

#[test]
fn nothing_is_made_where_nobody_wants_it() {
    let tracer = Tracer::default();
    tracer.record(|| unreachable!("nobody wants it"));
    drop(tracer.subscribe());
    tracer.record(|| unreachable!("nobody wants it any more"));
}

#[test]
fn who_looks_on_gets_bounded_events_and_misses_the_earliest() {
    let tracer = Tracer::new(&TenantName::default(), None);
    let mut events = tracer.subscribe();
    tracer.record(event);
    let first = events.try_recv().unwrap();
    assert_eq!((first.tenant.as_str(), first.key.as_ref().unwrap().len()), ("default", 512));
    for time_ms in 0..300 {
        tracer.record(|| Event::new(EventKind::Other, time_ms));
    }
    assert!(matches!(events.try_recv(), Err(broadcast::error::TryRecvError::Lagged(44))));
    assert_eq!(events.try_recv().unwrap().time_ms, 44);
}

#[test]
fn the_last_failures_are_kept_also_where_nobody_looks_on() {
    let tracer = Tracer::default();
    for time_ms in 0..60 {
        tracer.end(false, "failed", || Event::new(EventKind::Lookup, time_ms));
    }
    tracer.end(false, "hit", || unreachable!("nobody wants it"));
    let kept: Vec<u64> = tracer.failures().iter().map(|event| event.time_ms).collect();
    assert_eq!(kept, (10..60).rev().collect::<Vec<_>>());
}

#[test]
fn a_failure_that_somebody_waits_for_is_made_once() {
    let tracer = Tracer::default();
    let mut events = tracer.subscribe();
    let mut made = 0;
    tracer.end(true, "failed", || {
        made += 1;
        event()
    });
    assert_eq!((made, &*events.try_recv().unwrap()), (1, &tracer.failures()[0]));
}

#[test]
fn an_event_is_a_line_and_comes_back() {
    let line = serde_json::to_string(&event()).unwrap();
    assert!(!line.contains('\n'));
    assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event());
}
