//! The policy's part of a request's log line (`types.outcome`).

use super::{MissCause, Slot, Upload};

/// Logged characters of a version: enough to distinguish two.
const VERSION_CHARS: usize = 16;
/// Logged characters of an upload's name.
const UPLOAD_CHARS: usize = 12;

/// The result of a request (`types.outcome-kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub enum OutcomeKind {
    Hit,
    Miss,
    Stale,
    Reserved,
    Exists,
    Stored,
    Committed,
    Finalized,
    Served,
    Forwarded,
    Denied,
    Refused,
    Failed,
}

/// What the policy knows of a request. Must not contain secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The result; `None` derives it from the status.
    pub kind: Option<OutcomeKind>,
    /// If no token was verified.
    pub repository: Option<String>,
    /// The scope of the match, or the scope that is saved into.
    pub scope: Option<String>,
    /// The requested key, or the saved one.
    pub key: Option<String>,
    /// The beginning of the version.
    pub version: Option<String>,
    /// The key of the match, if it is not the requested one.
    pub matched_key: Option<String>,
    /// The beginning of the upload's name.
    pub upload: Option<String>,
    /// The entry's id.
    pub entry: Option<u64>,
    /// Why the request was denied, was refused, or failed.
    pub reason: Option<String>,
    /// Why a lookup found nothing, if it is known.
    pub miss: Option<MissCause>,
}

impl Outcome {
    /// Sets key and version.
    pub fn set_key(&mut self, key: &str, version: &str) {
        self.key = Some(key.to_owned());
        self.version = Some(beginning(version, VERSION_CHARS).to_owned());
    }

    /// Sets repository, scope and key of a transfer, which has no token.
    pub fn set_slot(&mut self, slot: &Slot) {
        self.repository = Some(slot.repository.clone());
        self.scope = Some(slot.scope.clone());
        self.key = Some(slot.key.clone());
    }

    /// Sets the upload.
    pub fn set_upload(&mut self, upload: &Upload) {
        self.upload = Some(beginning(&upload.name, UPLOAD_CHARS).to_owned());
    }

    /// Sets the result.
    pub fn set_kind(&mut self, kind: OutcomeKind) {
        self.kind = Some(kind);
    }

    /// Returns the result: as set, or derived from the status.
    #[must_use]
    pub fn kind_or(&self, status: u16) -> OutcomeKind {
        self.kind.unwrap_or(match status {
            401 | 403 => OutcomeKind::Denied,
            400..500 => OutcomeKind::Refused,
            500.. => OutcomeKind::Failed,
            _ => OutcomeKind::Served,
        })
    }
}

fn beginning(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(at, _)| &text[..at])
}
