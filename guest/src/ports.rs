//! The world's imports as one trait, [`Host`], with plain types.
//!
//! `bindings` implements the trait with the component's imports, `fake` in memory for tests. Calls
//! and types are those of `wit/*.wit`, which has their full contracts. Must not depend on routes,
//! or on the use of a call.

mod departure;
mod explanation;
mod index;
mod outcome;
mod review;
mod room;
mod rules;
mod settings;

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;

pub use departure::{Cause, Departed, MissCause, NearEntry, Nearby, Trust};
pub use explanation::{Attempt, Departure, Explanation, Finding, Neighbour, Query};
pub use index::{AttachOutcome, Attachment, Entry, IndexError, MatchKind, Probe, Reservation, Slot, Upload};
pub use outcome::{Outcome, OutcomeKind};
pub use review::{Candidate, ContentState, EntryDetails, GroupMember, Roots, Selection, Verdict, Wish};
pub use room::{Bound, RoomNeeded, Tier, Within};
pub use rules::{AskedRules, HitVerdict, SaveVerdict};
pub use settings::{KeepNewest, Settings};

/// The head of a request (`types.request`).
#[derive(Debug)]
pub struct Request<I> {
    /// A UUID, which the host's log line of this request has, too.
    pub id: String,
    /// When the head arrived, in milliseconds since 1970. The policy's clock.
    pub received_ms: u64,
    /// As sent.
    pub method: String,
    /// As sent, not decoded, starts with `/`.
    pub path: String,
    /// The part after `?`, not decoded.
    pub query: Option<String>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The origin at which clients reach this server: scheme and authority.
    pub origin: String,
    /// Which of the operator's rules are to be asked.
    pub rules: AskedRules,
    /// The handle of the body and the credential, which stay in the host.
    pub incoming: I,
    /// The policy's part of the log line, recorded as it becomes known.
    pub outcome: RefCell<Outcome>,
}

impl<I> Request<I> {
    /// Returns the value of the first header field with this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Records something for the log line.
    pub fn record(&self, change: impl FnOnce(&mut Outcome)) {
        change(&mut self.outcome.borrow_mut());
    }
}

/// The body of a response (`types.payload`).
pub enum Payload<H: Host + ?Sized> {
    /// No body.
    Empty,
    /// These bytes; the host sets `content-length`.
    Bytes(Vec<u8>),
    /// A stored object or a range of it; the policy sets `content-length`.
    Object(H::Object),
    /// The upstream's response, unchanged.
    Upstream(H::Upstream),
}

/// The response to a request (`types.response`).
pub struct Response<H: Host + ?Sized> {
    /// 200 to 599.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub payload: Payload<H>,
    /// For the log line.
    pub outcome: Option<Outcome>,
}

impl<H: Host + ?Sized> Response<H> {
    /// Returns a response without header fields.
    #[must_use]
    pub fn new(status: u16, payload: Payload<H>) -> Self {
        Self { status, headers: Vec::new(), payload, outcome: None }
    }

    /// Returns a response with a body of this content type.
    #[must_use]
    pub fn bytes(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self::new(status, Payload::Bytes(body)).with_header("content-type", content_type)
    }

    /// Adds a header field (name in lower case).
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A half-open range of bytes (`types.byte-range`), `start` < `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// The level of a log line (`log.level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Why a request's token is rejected (`auth.error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// There is no token.
    Missing,
    /// The token cannot be parsed. The text is the reason.
    Malformed(String),
    /// The token has expired.
    Expired,
    /// The token is not valid yet.
    NotYetValid,
    /// Wrong signature, key or algorithm.
    BadSignature,
    /// The issuer, which is not trusted.
    UntrustedIssuer(String),
    /// The claim that is missing or malformed.
    BadClaim(String),
    /// The repository, which may not use this server.
    NotAllowed(String),
    /// The issuer's keys cannot be fetched. The text is the cause.
    Unavailable(String),
}

/// What a token permits in one scope (`auth.scope`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Usually a git ref.
    pub name: String,
    /// The token may restore its entries.
    pub read: bool,
    /// The token may save entries into it.
    pub write: bool,
}

/// The claims of a verified token (`auth.claims`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The owner of the entries. Repositories are isolated from each other.
    pub repository: String,
    /// In the token's order, which is the order of matching.
    pub scopes: Vec<Scope>,
    /// The token's fingerprint.
    pub owner: String,
    /// When the token expires, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// What a token says about its job: names and values (`types.facts`).
pub type Facts = Vec<(String, String)>;

/// Why a body cannot be read, or a request cannot be forwarded (`http.error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The body is longer than the limit.
    TooLarge,
    /// The body ended early.
    CutShort,
    /// The body has been taken already.
    BodyUsed,
    /// The server has no memory or place left for the request.
    Busy,
    /// No upstream is configured.
    NoUpstream,
    /// The upstream cannot be reached. The text is the cause.
    Unavailable(String),
}

/// Why a storage call failed (`storage.error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// The object or upload does not exist (any more).
    NotFound,
    /// The storage is full, or a quota is exhausted.
    NoSpace,
    /// The body has no announced length, and is longer than an entry may be.
    TooLarge,
    /// The call can never succeed. The text is the reason.
    Invalid(String),
    /// A retry may succeed. The text is the cause.
    Unavailable(String),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::NoSpace => f.write_str("no space left"),
            Self::TooLarge => f.write_str("the body is too large"),
            Self::Invalid(reason) => write!(f, "invalid: {reason}"),
            Self::Unavailable(cause) => write!(f, "unavailable: {cause}"),
        }
    }
}

/// A finished object (`storage.stored`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Stored {
    pub object: String,
    pub size_bytes: u64,
}

/// A staged block (`storage.block`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `wit/`")]
pub struct Block {
    pub id: String,
    pub size_bytes: u64,
}

/// The imports of the world.
#[expect(async_fn_in_trait, reason = "an instance runs on one thread, nothing needs the futures to be Send")]
pub trait Host {
    /// The handle of a request's body and credential.
    type IncomingRequest;
    /// The handle of an opened object.
    type Object;
    /// The handle of an upstream response.
    type Upstream;

    /// `log.emit`. Must not contain secrets.
    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]);
    /// `settings.get`.
    fn settings(&self) -> impl Deref<Target = Settings>;

    /// `auth.verify`.
    async fn verify(&self, incoming: &Self::IncomingRequest) -> Result<Claims, AuthError>;
    /// `auth.get-facts`. Only a reservation needs them.
    fn facts(&self, incoming: &Self::IncomingRequest) -> Facts;
    /// `auth.sign`.
    fn sign(&self, text: &str) -> String;
    /// `auth.check`.
    fn check(&self, text: &str, signature: &str) -> bool;

    /// `http.read-body`.
    async fn read_body(
        &self,
        incoming: &Self::IncomingRequest,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, HttpError>;
    /// `http.forward`.
    async fn forward(&self, incoming: &Self::IncomingRequest) -> Result<Self::Upstream, HttpError>;

    /// `storage.stat`.
    async fn stat(&self, object: String) -> Result<u64, StorageError>;
    /// `storage.open`.
    async fn open(
        &self,
        object: String,
        size_bytes: u64,
        range: Option<ByteRange>,
    ) -> Result<Self::Object, StorageError>;
    /// `storage.put`.
    async fn put(&self, upload: String, incoming: &Self::IncomingRequest) -> Result<Stored, StorageError>;
    /// `storage.reserve-room`.
    async fn reserve_room(&self, upload: String, size_bytes: u64) -> Result<(), StorageError>;

    /// `storage.put-block`.
    async fn put_block(
        &self,
        upload: String,
        block_id: String,
        incoming: &Self::IncomingRequest,
    ) -> Result<u64, StorageError>;
    /// `storage.commit`.
    async fn commit(&self, upload: String, block_ids: Vec<String>) -> Result<Stored, StorageError>;
    /// `storage.blocks`.
    async fn blocks(&self, upload: String) -> Result<Vec<Block>, StorageError>;
    /// `storage.presign`.
    async fn presign(
        &self,
        object: String,
        size_bytes: u64,
        lifetime_ms: u64,
    ) -> Result<Option<String>, StorageError>;
    /// `storage.discard`.
    async fn discard(&self, upload: String) -> Result<(), StorageError>;
    /// `storage.remove`.
    async fn remove(&self, object: String) -> Result<(), StorageError>;

    /// `index.find`.
    async fn find(
        &self,
        repository: String,
        version: String,
        probes: Vec<Probe>,
        skip: Vec<u64>,
    ) -> Result<Option<Entry>, IndexError>;
    /// `index.get-entry`.
    async fn get_entry(&self, id: u64) -> Result<Option<Entry>, IndexError>;
    /// `index.get-entry-of-upload`.
    async fn get_entry_of_upload(&self, upload_id: u64) -> Result<Option<Entry>, IndexError>;
    /// `index.list-near`.
    async fn list_near(
        &self,
        repository: String,
        key: String,
        kind: MatchKind,
        limit: u32,
    ) -> Result<Nearby, IndexError>;
    /// `index.list-departed`.
    async fn list_departed(
        &self,
        repository: String,
        key: String,
        kind: MatchKind,
        limit: u32,
    ) -> Result<Vec<Departed>, IndexError>;
    /// `index.reserve`.
    async fn reserve(
        &self,
        slot: Slot,
        owner: String,
        facts: Facts,
        trust: Trust,
        now_ms: u64,
        idle_before_ms: u64,
    ) -> Result<Reservation, IndexError>;
    /// `index.renew`.
    async fn renew(&self, upload_id: u64, created_ms: u64, now_ms: u64) -> Result<bool, IndexError>;
    /// `index.get-upload`.
    async fn get_upload(&self, name: String) -> Result<Option<Upload>, IndexError>;
    /// `index.get-upload-by-id`.
    async fn get_upload_by_id(&self, id: u64) -> Result<Option<Upload>, IndexError>;
    /// `index.find-upload`.
    async fn find_upload(&self, slot: Slot) -> Result<Option<Upload>, IndexError>;
    /// `index.attach`.
    async fn attach(
        &self,
        upload_id: u64,
        attachment: Attachment,
        now_ms: u64,
    ) -> Result<AttachOutcome, IndexError>;
    /// `index.finalize`.
    async fn finalize(
        &self,
        upload_id: u64,
        attachment: Attachment,
        now_ms: u64,
    ) -> Result<Option<Entry>, IndexError>;
    /// `index.abandon`.
    async fn abandon(&self, upload_id: u64) -> Result<bool, IndexError>;
    /// `index.touch`.
    async fn touch(&self, entry_id: u64, last_used_ms: u64, now_ms: u64) -> bool;
    /// `index.delete-entry`.
    async fn delete_entry(&self, id: u64, cause: Cause, now_ms: u64) -> Result<bool, IndexError>;
    /// `index.note-refused`.
    async fn note_refused(&self, marks: Vec<String>, now_ms: u64) -> Result<(), IndexError>;
    /// `index.was-refused`.
    async fn was_refused(&self, marks: Vec<String>) -> Result<bool, IndexError>;

    /// `rules.judge-hit`.
    async fn judge_hit(
        &self,
        incoming: &Self::IncomingRequest,
        entry: Entry,
    ) -> Result<HitVerdict, IndexError>;
    /// `rules.explain-hit`.
    async fn explain_hit(&self, scopes: Vec<Scope>, entry: Entry) -> Result<HitVerdict, IndexError>;
    /// `rules.judge-save`.
    fn judge_save(
        &self,
        incoming: &Self::IncomingRequest,
        key: String,
        version: String,
        size_bytes: Option<u64>,
    ) -> SaveVerdict;
}
