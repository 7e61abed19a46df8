//! What became of questions.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, types::Interface};

/// The rules in force, and what has become of the questions since they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What the rules are called.
    pub name: String,
    /// The SHA-256 of their file.
    pub digest: String,
    /// One for each interface that they have.
    pub interfaces: Vec<InterfaceStatus>,
}

/// The questions of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// The interface.
    pub interface: Interface,
    /// Questions that were asked.
    pub asked: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Questions that were not asked, because the rules rested.
    pub rested: u64,
    /// Microseconds in all of them together.
    pub took_us: u64,
    /// For how many milliseconds more the rules rest; `None` if they do not.
    pub rests_ms: Option<u64>,
    /// The latest failure, in one line.
    pub last_failure: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    asked: AtomicU64,
    failed: AtomicU64,
    rested: AtomicU64,
    took_ns: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

impl Counters {
    pub(super) fn count(&self, took: Duration, failure: Option<&Failure>) {
        self.asked.fetch_add(1, Relaxed);
        self.took_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        if let Some(failure) = failure {
            self.failed.fetch_add(1, Relaxed);
            *self.last_failure.lock() = Some(format!("{}: {}", failure.kind, failure.summary()));
        }
    }

    pub(super) fn rested(&self) {
        self.rested.fetch_add(1, Relaxed);
    }

    pub(super) fn status(
        &self,
        interface: Interface,
        rests_until: Option<Instant>,
        now: Instant,
    ) -> InterfaceStatus {
        let rests = rests_until.and_then(|until| until.checked_duration_since(now));
        InterfaceStatus {
            interface,
            asked: self.asked.load(Relaxed),
            failed: self.failed.load(Relaxed),
            rested: self.rested.load(Relaxed),
            took_us: self.took_ns.load(Relaxed) / 1000,
            rests_ms: rests.map(|rests| u64::try_from(rests.as_millis()).unwrap_or(u64::MAX)),
            last_failure: self.last_failure.lock().clone(),
        }
    }
}
