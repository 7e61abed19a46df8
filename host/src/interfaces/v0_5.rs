//! What exports of components of `larder:cache@0.5.0` take and return, where it is something else in the newest
//! version: a request says nothing of rules, no cause of a miss is `rule`, and no finding is `skipped`.

use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{
    at_most::AtMost,
    bindings::{
        exports::larder::cache::explain,
        larder::cache::{index, types},
    },
    explain::{MAX_ATTEMPTS, MAX_NEIGHBOURS},
    handler::MAX_HEADERS,
    types::IncomingRequest,
};

/// How a lookup is explained, or why the index failed.
pub(crate) type Explained = Result<Explanation, index::Error>;

/// See [`types::Request`].
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Request {
    id: String,
    #[component(name = "received-ms")]
    received_ms: u64,
    method: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    origin: String,
    incoming: Resource<IncomingRequest>,
}

/// See [`types::Response`].
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Response {
    status: u16,
    headers: AtMost<(String, String), MAX_HEADERS>,
    payload: types::Payload,
    outcome: Option<Outcome>,
}

/// See [`types::Outcome`].
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Outcome {
    kind: types::OutcomeKind,
    repository: Option<String>,
    scope: Option<String>,
    key: Option<String>,
    version: Option<String>,
    #[component(name = "matched-key")]
    matched_key: Option<String>,
    upload: Option<String>,
    entry: Option<u64>,
    reason: Option<String>,
    miss: Option<MissCause>,
}

/// See [`types::MissCause`].
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by `Lift` alone, of their numbers")]
pub(crate) enum MissCause {
    #[component(name = "never-saved")]
    NeverSaved,
    #[component(name = "other-scope")]
    OtherScope,
    #[component(name = "other-version")]
    OtherVersion,
    #[component(name = "uploading")]
    Uploading,
    #[component(name = "stale")]
    Stale,
    #[component(name = "quarantined")]
    Quarantined,
    #[component(name = "expired")]
    Expired,
    #[component(name = "evicted")]
    Evicted,
    #[component(name = "superseded")]
    Superseded,
    #[component(name = "revoked")]
    Revoked,
    #[component(name = "closed-scope")]
    ClosedScope,
    #[component(name = "deleted")]
    Deleted,
    #[component(name = "denied")]
    Denied,
}

/// See [`explain::Explanation`].
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Explanation {
    version: Option<String>,
    attempts: AtMost<Attempt, MAX_ATTEMPTS>,
    near: AtMost<Neighbour, MAX_NEIGHBOURS>,
    cause: Option<MissCause>,
}

/// See [`explain::Attempt`].
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Attempt {
    scope: String,
    key: String,
    kind: index::MatchKind,
    finding: Finding,
}

/// See [`explain::Finding`].
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Finding {
    #[component(name = "nothing")]
    Nothing,
    #[component(name = "match")]
    Match(index::Entry),
    #[component(name = "stale")]
    Stale(index::Entry),
    #[component(name = "expired")]
    Expired(index::Entry),
}

/// See [`explain::Neighbour`].
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Neighbour {
    cause: MissCause,
    slot: index::Slot,
    entry: Option<u64>,
    #[component(name = "size-bytes")]
    size_bytes: Option<u64>,
    #[component(name = "created-ms")]
    created_ms: u64,
    departed: Option<explain::Departure>,
}

impl From<types::Request> for Request {
    fn from(from: types::Request) -> Self {
        let types::Request { id, received_ms, method, path, query, headers, origin, rules: _, incoming } =
            from;
        Self { id, received_ms, method, path, query, headers, origin, incoming }
    }
}

impl From<Response> for types::Response {
    fn from(Response { status, headers, payload, outcome }: Response) -> Self {
        Self { status, headers: headers.into(), payload, outcome: outcome.map(Into::into) }
    }
}

impl From<Outcome> for types::Outcome {
    fn from(from: Outcome) -> Self {
        let Outcome { kind, repository, scope, key, version, matched_key, upload, entry, reason, miss } =
            from;
        let miss = miss.map(Into::into);
        Self { kind, repository, scope, key, version, matched_key, upload, entry, reason, miss }
    }
}

impl From<MissCause> for types::MissCause {
    fn from(cause: MissCause) -> Self {
        match cause {
            MissCause::NeverSaved => Self::NeverSaved,
            MissCause::OtherScope => Self::OtherScope,
            MissCause::OtherVersion => Self::OtherVersion,
            MissCause::Uploading => Self::Uploading,
            MissCause::Stale => Self::Stale,
            MissCause::Quarantined => Self::Quarantined,
            MissCause::Expired => Self::Expired,
            MissCause::Evicted => Self::Evicted,
            MissCause::Superseded => Self::Superseded,
            MissCause::Revoked => Self::Revoked,
            MissCause::ClosedScope => Self::ClosedScope,
            MissCause::Deleted => Self::Deleted,
            MissCause::Denied => Self::Denied,
        }
    }
}

impl From<Explanation> for explain::Explanation {
    fn from(Explanation { version, attempts, near, cause }: Explanation) -> Self {
        let (attempts, near) = (Vec::from(attempts), Vec::from(near));
        Self {
            version,
            attempts: attempts.into_iter().map(Into::into).collect(),
            near: near.into_iter().map(Into::into).collect(),
            cause: cause.map(Into::into),
        }
    }
}

impl From<Attempt> for explain::Attempt {
    fn from(Attempt { scope, key, kind, finding }: Attempt) -> Self {
        let finding = match finding {
            Finding::Nothing => explain::Finding::Nothing,
            Finding::Match(entry) => explain::Finding::Match(entry),
            Finding::Stale(entry) => explain::Finding::Stale(entry),
            Finding::Expired(entry) => explain::Finding::Expired(entry),
        };
        Self { scope, key, kind, finding }
    }
}

impl From<Neighbour> for explain::Neighbour {
    fn from(from: Neighbour) -> Self {
        let Neighbour { cause, slot, entry, size_bytes, created_ms, departed } = from;
        Self { cause: cause.into(), slot, entry, size_bytes, created_ms, departed }
    }
}
