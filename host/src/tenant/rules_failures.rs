//! What holds where the operator's rules fail, and how often the log says so.

use std::time::Duration;

use larder_rules::Failure;

use crate::{
    config::{FailureChoice, OnFailure},
    log_throttle::Throttle,
};

/// Who can make a rule fail must not fill the log.
const PAUSE: Duration = Duration::from_secs(5);

/// What holds where the rules of a tenant fail.
pub(crate) struct RulesFailures {
    choices: OnFailure,
    lines: Throttle,
}

impl RulesFailures {
    pub(crate) fn new(choices: OnFailure) -> Self {
        Self { choices, lines: Throttle::new(PAUSE) }
    }

    /// Logs why an entry cannot be judged for a lookup. Returns what holds.
    pub(crate) fn restore(&self, failure: &Failure) -> FailureChoice {
        self.log(failure, "the rules failed at a lookup", self.choices.restore)
    }

    /// Logs why a save cannot be judged. Returns what holds.
    pub(crate) fn save(&self, failure: &Failure) -> FailureChoice {
        self.log(failure, "the rules failed at a save", self.choices.save)
    }

    fn log(&self, failure: &Failure, message: &str, held: FailureChoice) -> FailureChoice {
        let (kind, error) = (failure.kind.name(), failure.text.as_str());
        self.lines.log(|times| tracing::error!(kind, error, on_failure = ?held, times, "{message}"));
        held
    }
}
