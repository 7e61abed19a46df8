//! Events: what became of each request, and what the server decided by itself, for traces and for who
//! looks on.

use serde::{Deserialize, Serialize};

use crate::facts::Facts;

/// Longest text of an event, in bytes; of a longer one there is the beginning.
pub const MAX_TEXT_BYTES: usize = 512;
/// Most restore keys, and most scopes, of an event.
pub const MAX_LISTED: usize = 16;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A request that looked an entry up.
    Lookup,
    /// A request that reserved a slot.
    Reserve,
    /// A request that sent bytes, or committed them.
    Upload,
    /// A request that made an entry of an upload.
    Finalize,
    /// A request that read an entry.
    Download,
    /// Any other request.
    Other,
    /// A decision: the rules refused a token.
    Deny,
    /// A decision: the rules passed over an entry that a look-up had found.
    Skip,
    /// A decision: the rules refused a save.
    Refuse,
    /// A decision: an entry was deleted to make room.
    Evict,
    /// A decision: a sweep deleted an entry.
    Delete,
    /// What a newer release has, and this one does not know. Never written.
    #[serde(other)]
    Unknown,
}

impl EventKind {
    /// Returns whether the server decided this, rather than answered a request.
    #[must_use]
    pub fn is_decision(self) -> bool {
        matches!(self, Self::Deny | Self::Skip | Self::Refuse | Self::Evict | Self::Delete)
    }
}

/// An event: metadata only. Never a token, a URL, a signature or a path. In JSON it is one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was, in milliseconds since 1970: a request when its head arrived.
    pub time_ms: u64,
    /// The tenant: `default` where there is one.
    pub tenant: String,
    /// What it is about.
    pub kind: EventKind,
    /// The request's id, a UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The status of the response. `None` of a decision, and of a client that left before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What became of a request, in the word of the request log: `hit`, `miss`, `finalized`, ….
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// The repository's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// The scope of the entry, or of the save.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The key that was looked up or saved, or that of the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of a look-up: the prefixes that count where the key is not found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore_keys: Vec<String>,
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The key of the entry that was found, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_key: Option<String>,
    /// The entry's number: they grow in the order of the saves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// The entry's length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Why nothing was found, or why an entry was deleted: a word, or `rule:TEXT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Why something was denied, refused or passed over, or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a reservation: how far the saver is trusted, `low` or `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// What the token allows, in its order: `NAME=r`, `NAME=w`, `NAME=rw` or `NAME=`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Bytes of the request's body that arrived.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_in: u64,
    /// Bytes of the response's body that were sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_out: u64,
    /// From the request's head to its end, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duration_ms: u64,
    /// The first product of the user agent: said, not proven.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// The facts of the token that the operator keeps.
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
}

impl Event {
    /// An event of which no more is known.
    #[must_use]
    pub fn new(kind: EventKind, time_ms: u64) -> Self {
        Self {
            time_ms,
            tenant: String::new(),
            kind,
            request: None,
            status: None,
            outcome: String::new(),
            repository: String::new(),
            scope: None,
            key: None,
            restore_keys: Vec::new(),
            version: None,
            matched_key: None,
            entry: None,
            size: None,
            cause: None,
            reason: None,
            trust: None,
            scopes: Vec::new(),
            bytes_in: 0,
            bytes_out: 0,
            duration_ms: 0,
            client: String::new(),
            facts: Facts::default(),
        }
    }

    /// Cuts every text to [`MAX_TEXT_BYTES`], and every list to [`MAX_LISTED`].
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.restore_keys.truncate(MAX_LISTED);
        self.scopes.truncate(MAX_LISTED);
        let optional = [
            &mut self.request,
            &mut self.scope,
            &mut self.key,
            &mut self.version,
            &mut self.matched_key,
            &mut self.cause,
            &mut self.reason,
        ];
        let texts = [&mut self.outcome, &mut self.repository, &mut self.client];
        let lists = self.restore_keys.iter_mut().chain(&mut self.scopes);
        for text in optional.into_iter().flatten().chain(texts).chain(lists) {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        }
        self
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
