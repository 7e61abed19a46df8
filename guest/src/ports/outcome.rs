//! What is said of a request in the log (`types.outcome`).

use super::{Slot, Upload};

/// How much of a version is said: enough to tell two apart.
const VERSION_CHARS: usize = 16;
/// How much of an upload's name is said.
const UPLOAD_CHARS: usize = 12;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in `types.outcome-kind`")]
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

/// What is known of a request. Never a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// In one word; where it is not said, the status says it.
    pub kind: Option<OutcomeKind>,
    /// Where no token says it.
    pub repository: Option<String>,
    /// The scope that was found in, or is saved into.
    pub scope: Option<String>,
    /// The key that is asked for, or saved.
    pub key: Option<String>,
    /// The beginning of the version.
    pub version: Option<String>,
    /// The key that was found, where it is another one.
    pub matched_key: Option<String>,
    /// The beginning of the upload's name.
    pub upload: Option<String>,
    /// The entry's number.
    pub entry: Option<u64>,
    /// Why it was denied or refused, or failed.
    pub reason: Option<String>,
}

impl Outcome {
    /// Notes what is asked for.
    pub fn ask(&mut self, key: &str, version: &str) {
        self.key = Some(key.to_owned());
        self.version = Some(beginning(version, VERSION_CHARS).to_owned());
    }

    /// Notes whose content comes or goes where no token says it.
    pub fn of_slot(&mut self, slot: &Slot) {
        self.repository = Some(slot.repository.clone());
        self.scope = Some(slot.scope.clone());
        self.key = Some(slot.key.clone());
    }

    /// Notes the upload.
    pub fn of_upload(&mut self, upload: &Upload) {
        self.upload = Some(beginning(&upload.name, UPLOAD_CHARS).to_owned());
    }

    /// Notes in one word what became of it.
    pub fn is(&mut self, kind: OutcomeKind) {
        self.kind = Some(kind);
    }

    /// Returns what became of it: as noted, else what the status says.
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
