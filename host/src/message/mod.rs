//! HTTP messages on their way between the server and the component. Their bytes stay in the host.
//!
//! `server/` makes requests and sends responses; `interfaces/` reads request bodies and makes
//! response bodies; `engine/` passes both on. Knows nothing of wasmtime or WIT.

mod body;
mod client_gone;
mod context;
mod drain;
mod outcome;
mod quota;
mod record;
mod request_quota;
mod response;

pub(crate) use body::{BoxError, RequestBody, WireBody};
pub(crate) use client_gone::{ClientGone, ClientGuard};
pub(crate) use context::{ReplayBody, Request, RequestContext};
pub(crate) use outcome::Outcome;
pub use quota::QuotaUsage;
pub(crate) use quota::{ClientQuota, Quota, QuotaBounds, QuotaExceeded, QuotaKind, QuotaPermit};
pub(crate) use record::RequestRecord;
pub(crate) use request_quota::{Quotas, ReadError, RequestQuota};
pub(crate) use response::{Outgoing, Response, error_body, error_response, json_response, unavailable};

#[cfg(test)]
mod tests;
