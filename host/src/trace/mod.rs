//! The trace: events of a tenant ([`Event`]), for a file and for who looks on.
//!
//! Costs a look at two flags where there is neither, and the request is no failure. Never waits: what a slow disk or a slow reader does
//! not take is dropped, and counted. Called by all who decide something; knows nothing of them.

mod decision;
mod failures;
mod file;
mod noted;
mod sink;

use std::sync::{Arc, OnceLock};

use larder_common::{TenantName, event::Event};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use self::failures::Failures;
pub(crate) use self::{
    decision::{Asked, evicted, refused, skipped, swept},
    noted::Noted,
    sink::TraceFiles,
};

/// Events that a reader may be behind.
const LIVE_EVENTS: usize = 256;

/// What a tenant's events go to. It stays the same when the tenant's settings change.
#[derive(Default)]
pub(crate) struct Tracer {
    tenant: String,
    files: Option<TraceFiles>,
    /// Made for the first who looks on.
    live: OnceLock<broadcast::Sender<Arc<Event>>>,
    /// Keeps all of them, for a replay.
    kept: Option<Mutex<Vec<Event>>>,
    /// Whether anybody wants events or not.
    failures: Failures,
}

impl Tracer {
    /// That of a tenant, whose events are written to files if there are any.
    pub(crate) fn new(tenant: &TenantName, files: Option<TraceFiles>) -> Self {
        Self { tenant: tenant.as_str().to_owned(), files, ..Self::default() }
    }

    /// One that keeps all events until they are taken.
    pub(crate) fn keeping() -> Self {
        Self { kept: Some(Mutex::default()), ..Self::default() }
    }

    /// Returns whether anybody wants events.
    pub(crate) fn is_on(&self) -> bool {
        let is_watched = self.live.get().is_some_and(|live| live.receiver_count() > 0);
        self.files.is_some() || is_watched || self.kept.is_some()
    }

    /// Records an event, which is made only if anybody wants it.
    pub(crate) fn record(&self, make: impl FnOnce() -> Event) {
        if !self.is_on() {
            return;
        }
        self.publish(self.finished(make()));
    }

    fn finished(&self, event: Event) -> Event {
        Event { tenant: self.tenant.clone(), ..event }.bounded()
    }

    fn publish(&self, event: Event) {
        if let Some(kept) = &self.kept {
            kept.lock().push(event);
            return;
        }
        let event = Arc::new(event);
        if let Some(files) = &self.files {
            files.write(&event);
        }
        if let Some(live) = self.live.get() {
            // Nobody listens any more.
            let _ = live.send(event);
        }
    }

    /// Ends a request. Its event is recorded if somebody wanted it from the beginning, and kept if it is a failure.
    pub(crate) fn end(&self, is_wanted: bool, outcome: &str, make: impl FnOnce() -> Event) {
        let (is_failure, is_wanted) = (Failures::has(outcome), is_wanted && self.is_on());
        if !is_failure && !is_wanted {
            return;
        }
        let event = self.finished(make());
        if is_failure && is_wanted {
            self.failures.keep(event.clone());
            self.publish(event);
        } else if is_failure {
            self.failures.keep(event);
        } else {
            self.publish(event);
        }
    }

    /// Returns the last requests that failed, or were refused or denied: the latest first.
    pub(crate) fn failures(&self) -> Vec<Event> {
        self.failures.latest()
    }

    /// Begins to look on. Who is more than 256 events behind misses the earliest.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.live.get_or_init(|| broadcast::channel(LIVE_EVENTS).0).subscribe()
    }

    /// Takes the events that were kept.
    pub(crate) fn take_kept(&self) -> Vec<Event> {
        self.kept.as_ref().map(|kept| std::mem::take(&mut *kept.lock())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
