//! The last requests that failed, or were refused or denied: for who asks why, and looks at no log.

use std::collections::VecDeque;

use larder_common::event::Event;
use parking_lot::Mutex;

/// How many are kept of a tenant.
const KEPT: usize = 50;

/// The last failures of a tenant, in memory.
#[derive(Default)]
pub(super) struct Failures(Mutex<VecDeque<Event>>);

impl Failures {
    /// Returns whether a request with this outcome is one.
    pub(super) fn has(outcome: &str) -> bool {
        matches!(outcome, "denied" | "refused" | "failed")
    }

    /// Keeps an event in place of the oldest.
    pub(super) fn keep(&self, event: Event) {
        let mut kept = self.0.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event);
    }

    /// Returns them, the latest first.
    pub(super) fn latest(&self) -> Vec<Event> {
        self.0.lock().iter().rev().cloned().collect()
    }
}
