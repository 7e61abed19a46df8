//! What waits to be sent: bounded, and filled without waking anybody.

use std::mem;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::trace::Finished;

/// Most traces that wait. With the calls of each bounded, too, that is some megabytes.
const MAX_TRACES: usize = 2048;
/// So many are sent before their time has come.
const BATCH: usize = 512;

/// The traces of requests that are over.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    finished: Mutex<Vec<Finished>>,
    batch: Notify,
}

impl Queue {
    /// Adds a trace; `false` if there is no room.
    pub(crate) fn push(&self, trace: Finished) -> bool {
        let mut finished = self.finished.lock();
        if finished.len() >= MAX_TRACES {
            return false;
        }
        finished.push(trace);
        if finished.len() == BATCH {
            self.batch.notify_one();
        }
        true
    }

    /// Completes when many wait.
    pub(crate) async fn batch(&self) {
        self.batch.notified().await;
    }

    /// Takes all.
    pub(crate) fn take(&self) -> Vec<Finished> {
        mem::take(&mut *self.finished.lock())
    }
}
