//! What the policy needs from the outside: the world's imports as one trait, with plain types.
//!
//! The policy is written against [`Host`]. `bindings` implements it with the component's imports, `fake` in memory for
//! tests. The promises of each call are those of `wit/*.wit`; they are not repeated here in full. Must never know HTTP
//! routes, or what any call is used for.

mod outcome;
mod review;
mod settings;

use std::cell::RefCell;
use std::fmt;

pub use outcome::{Outcome, OutcomeKind};
pub use review::{Candidate, ContentState, Roots};
pub use settings::Settings;

/// The head of a request (`types.request`).
#[derive(Debug)]
pub struct Request<I> {
    /// Made by the host; stands in its log line of this request.
    pub id: String,
    /// When the head arrived, in milliseconds since 1970: the time that policy goes by.
    pub received_ms: u64,
    /// As sent.
    pub method: String,
    /// As sent, not decoded, starts with `/`.
    pub path: String,
    /// What follows `?`, not decoded.
    pub query: Option<String>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Scheme and authority at which clients reach this server.
    pub origin: String,
    /// The body and the credential, which stay in the host.
    pub incoming: I,
    /// What will be said of the request in the log; noted as it becomes known.
    pub outcome: RefCell<Outcome>,
}

impl<I> Request<I> {
    /// Returns the value of the first header field of this name, which must be given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Notes something for the log.
    pub fn note(&self, note: impl FnOnce(&mut Outcome)) {
        note(&mut self.outcome.borrow_mut());
    }
}

/// What a response carries (`types.payload`).
pub enum Payload<H: Host + ?Sized> {
    /// No body.
    Empty,
    /// These bytes; the host sets `content-length`.
    Bytes(Vec<u8>),
    /// A stored object or a range of it; the policy sets `content-length`.
    Object(H::Object),
    /// The upstream's answer, unchanged.
    Upstream(H::Upstream),
}

/// The answer to a request (`types.response`).
pub struct Response<H: Host + ?Sized> {
    /// 200 to 599.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub payload: Payload<H>,
    /// For the log.
    pub outcome: Option<Outcome>,
}

impl<H: Host + ?Sized> Response<H> {
    /// Returns an answer without header fields.
    #[must_use]
    pub fn new(status: u16, payload: Payload<H>) -> Self {
        Self { status, headers: Vec::new(), payload, outcome: None }
    }

    /// Returns an answer with a body of this type.
    #[must_use]
    pub fn bytes(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self::new(status, Payload::Bytes(body)).with("content-type", content_type)
    }

    /// Adds a header field; the name must be in lower case.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A half-open range of bytes, `start` < `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the developer.
    Debug,
    /// For the record.
    Info,
    /// Something to look at.
    Warn,
    /// Something that failed.
    Error,
}

/// Why a request's token does not count (`auth.error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// There is none.
    Missing,
    /// Not of a form that is understood; says why.
    Malformed(String),
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Wrong signature, key or algorithm.
    BadSignature,
    /// Says who signed it.
    UntrustedIssuer(String),
    /// Says which claim is missing or of a wrong form.
    BadClaim(String),
    /// It counts, but its repository may not use this server; says which it is.
    NotAllowed(String),
    /// The issuer's keys cannot be had just now.
    Unavailable(String),
}

/// What a token allows in one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// A git ref, usually.
    pub name: String,
    /// Entries of it may be restored.
    pub read: bool,
    /// Entries may be saved into it.
    pub write: bool,
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Isolates repositories from each other.
    pub repository: String,
    /// In the order of matching.
    pub scopes: Vec<Scope>,
    /// The token's fingerprint.
    pub owner: String,
    /// When the token expires, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// Why a body cannot be read or a request not be forwarded (`http.error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The body is longer than the limit.
    TooLarge,
    /// The body ended early.
    CutShort,
    /// Somebody took the body before.
    BodyUsed,
    /// The server has no room for it just now.
    Busy,
    /// No upstream is configured.
    NoUpstream,
    /// The upstream cannot be reached; says how.
    Unavailable(String),
}

/// Why a storage call failed (`storage.error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// Not there (any more).
    NotFound,
    /// Full, or over a quota.
    NoSpace,
    /// The body came without a length, and is longer than an entry may be.
    TooLarge,
    /// Cannot be done, whoever asks again; says why.
    Invalid(String),
    /// Trying again may help; says what happened.
    Unavailable(String),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::NoSpace => f.write_str("no space left"),
            Self::TooLarge => f.write_str("the body is too large"),
            Self::Invalid(why) => write!(f, "invalid: {why}"),
            Self::Unavailable(how) => write!(f, "unavailable: {how}"),
        }
    }
}

/// A finished object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub object: String,
    /// Its length.
    pub size_bytes: u64,
}

/// A block that is staged in an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The client's id.
    pub id: String,
    /// Its length.
    pub size_bytes: u64,
}

/// Why a call of the index failed (`index.error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// The database did not answer as it should; trying again may help. Says what happened.
    Unavailable(String),
    /// The disk of the database is full.
    NoSpace,
}

/// The place of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Whose.
    pub repository: String,
    /// Where.
    pub scope: String,
    /// Which inputs made it; opaque.
    pub version: String,
    /// The cache key.
    pub key: String,
}

/// A finished cache entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Grows with every entry made.
    pub id: u64,
    /// Its place.
    pub slot: Slot,
    /// The name of its object.
    pub object: String,
    /// Its length.
    pub size_bytes: u64,
    /// When it was finalized, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was last used, or made.
    pub last_used_ms: u64,
    /// The fingerprint of the token that reserved it, where the index knows it.
    pub owner: Option<String>,
}

/// An object attached to an upload that is not finalized yet. The same two values as [`Stored`].
pub type Attachment = Stored;

/// A reserved slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its number.
    pub id: u64,
    /// Its name in storage and in URLs.
    pub name: String,
    /// Its place.
    pub slot: Slot,
    /// The fingerprint of the token that reserved it.
    pub owner: String,
    /// When it was reserved, or handed out last, in milliseconds since 1970.
    pub created_ms: u64,
    /// When bytes last arrived, or `created_ms`.
    pub last_activity_ms: u64,
    /// The content, once there is any.
    pub attachment: Option<Attachment>,
}

/// How a probe's key is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchKind {
    /// The entry with this key.
    Exact,
    /// The newest entry whose key starts with it.
    Prefix,
}

/// One attempt at a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where to look.
    pub scope: String,
    /// The key, or the start of it.
    pub key: String,
    /// Which of the two.
    pub kind: MatchKind,
}

/// What `reserve` found in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// It was free: now reserved.
    Reserved(Upload),
    /// An entry.
    Entry(Entry),
    /// An upload under way.
    Upload(Upload),
}

/// What `attach` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachOutcome {
    /// Attached; names the other object that was attached before.
    Attached(Option<String>),
    /// The upload is gone.
    Gone,
}

/// The imports of the world. One implementation is the component's imports, the other a fake for tests.
///
/// The futures need not be `Send`: an instance runs on one thread.
#[allow(async_fn_in_trait, reason = "an instance runs on one thread, nothing needs the futures to be Send")]
pub trait Host {
    /// A request's body and credential, in the host.
    type IncomingRequest;
    /// An opened object, in the host.
    type Object;
    /// The upstream's answer, in the host.
    type Upstream;

    /// `log.emit`. Never a secret.
    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]);
    /// `settings.get`.
    fn settings(&self) -> Settings;

    /// `auth.verify`.
    async fn verify(&self, incoming: &Self::IncomingRequest) -> Result<Claims, AuthError>;
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
    /// `index.reserve`.
    async fn reserve(
        &self,
        slot: Slot,
        owner: String,
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
    async fn delete_entry(&self, id: u64) -> Result<bool, IndexError>;
}
