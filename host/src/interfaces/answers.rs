//! What the exports of a component return, in place of the generated types: those read a list of any
//! length ([`AtMost`]).

use wasmtime::component::{ComponentType, Lift};

use super::{
    at_most::AtMost,
    bindings::{
        exports::larder::cache::{explain, retention},
        larder::cache::{index, types},
    },
    explain::{MAX_ATTEMPTS, MAX_NEIGHBOURS},
    handler::MAX_HEADERS,
    retention::MAX_TIERS,
};

/// Most ids, groups and verdicts of an answer about a page of up to 1,000. What is not of the page is
/// ignored, and ten times as much as the page has is nobody's mistake.
const MAX_OF_PAGE: usize = 10_000;

/// Ids that the component selects of a page.
pub(crate) type Ids = AtMost<u64, MAX_OF_PAGE>;
/// What becomes of the candidates of a page.
pub(crate) type Verdicts = AtMost<retention::Verdict, MAX_OF_PAGE>;
/// Where room is made.
pub(crate) type Tiers = AtMost<retention::Tier, MAX_TIERS>;
/// How a lookup is explained, or why the index failed.
pub(crate) type Explained = Result<Explanation, index::Error>;

/// See [`types::Response`].
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Response {
    status: u16,
    headers: AtMost<(String, String), MAX_HEADERS>,
    payload: types::Payload,
    outcome: Option<types::Outcome>,
}

/// See [`retention::Selection`].
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Selection {
    roots: Ids,
    groups: AtMost<retention::GroupMember, MAX_OF_PAGE>,
}

/// See [`explain::Explanation`].
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Explanation {
    version: Option<String>,
    attempts: AtMost<explain::Attempt, MAX_ATTEMPTS>,
    near: AtMost<explain::Neighbour, MAX_NEIGHBOURS>,
    cause: Option<types::MissCause>,
}

impl From<Response> for types::Response {
    fn from(Response { status, headers, payload, outcome }: Response) -> Self {
        Self { status, headers: headers.into(), payload, outcome }
    }
}

impl From<Selection> for retention::Selection {
    fn from(Selection { roots, groups }: Selection) -> Self {
        Self { roots: roots.into(), groups: groups.into() }
    }
}

impl From<Explanation> for explain::Explanation {
    fn from(Explanation { version, attempts, near, cause }: Explanation) -> Self {
        Self { version, attempts: attempts.into(), near: near.into(), cause }
    }
}
