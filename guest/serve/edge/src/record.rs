//! The line of the log for a request.

use std::fmt::Write;

use crate::bindings::larder::cache::types::{MissCause, Outcome, OutcomeKind};

/// Longest text of a field, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// What is known of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestRecord {
    pub(crate) id: String,
    pub(crate) method: String,
    /// Without the query, which holds signatures.
    pub(crate) path: String,
    pub(crate) received_ms: u64,
    pub(crate) status: u16,
    /// Length of the response's body, where it is known.
    pub(crate) bytes: Option<u64>,
    pub(crate) outcome: Option<Outcome>,
}

impl RequestRecord {
    /// Formats the line. `problem` is why the response was cut short.
    pub(crate) fn line(&self, now_ms: u64, problem: Option<&str>) -> String {
        let mut line = format!(
            "request id={} method={} path={:?} status={} ms={}",
            self.id,
            self.method,
            truncate(&self.path),
            self.status,
            now_ms.saturating_sub(self.received_ms)
        );
        if let Some(bytes) = self.bytes {
            let _ = write!(line, " bytes={bytes}");
        }
        if let Some(outcome) = &self.outcome {
            add_outcome(&mut line, outcome);
        }
        if let Some(problem) = problem {
            let _ = write!(line, " cut_short={:?}", truncate(problem));
        }
        line
    }

    /// Returns whether an operator should see the line also where others are left out.
    pub(crate) fn is_failure(&self) -> bool {
        self.status >= 500
    }
}

fn add_outcome(line: &mut String, outcome: &Outcome) {
    let kind = match outcome.kind {
        OutcomeKind::Hit => "hit",
        OutcomeKind::Miss => "miss",
        OutcomeKind::Stale => "stale",
        OutcomeKind::Reserved => "reserved",
        OutcomeKind::Exists => "exists",
        OutcomeKind::Stored => "stored",
        OutcomeKind::Committed => "committed",
        OutcomeKind::Finalized => "finalized",
        OutcomeKind::Served => "served",
        OutcomeKind::Forwarded => "forwarded",
        OutcomeKind::Denied => "denied",
        OutcomeKind::Refused => "refused",
        OutcomeKind::Failed => "failed",
    };
    let _ = write!(line, " outcome={kind}");
    let texts = [
        ("repository", &outcome.repository),
        ("scope", &outcome.scope),
        ("key", &outcome.key),
        ("version", &outcome.version),
        ("matched_key", &outcome.matched_key),
        ("upload", &outcome.upload),
        ("reason", &outcome.reason),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            let _ = write!(line, " {name}={:?}", truncate(text));
        }
    }
    if let Some(entry) = outcome.entry {
        let _ = write!(line, " entry={entry}");
    }
    if let Some(miss) = outcome.miss {
        let _ = write!(line, " miss={}", miss_word(miss));
    }
}

fn miss_word(cause: MissCause) -> &'static str {
    match cause {
        MissCause::NeverSaved => "never-saved",
        MissCause::OtherScope => "other-scope",
        MissCause::OtherVersion => "other-version",
        MissCause::Uploading => "uploading",
        MissCause::Stale => "stale",
        MissCause::Quarantined => "quarantined",
        MissCause::Expired => "expired",
        MissCause::Evicted => "evicted",
        MissCause::Superseded => "superseded",
        MissCause::Revoked => "revoked",
        MissCause::ClosedScope => "closed-scope",
        MissCause::Deleted => "deleted",
        MissCause::Denied => "denied",
        MissCause::Rule => "rule",
    }
}

fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}
