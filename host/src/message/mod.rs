//! HTTP messages on their way between the server and the component. Their bytes stay in the host.
//!
//! `server/` makes requests and sends responses; `interfaces/` reads request bodies and makes
//! response bodies; `engine/` passes both on. Knows nothing of wasmtime or WIT.

mod body;
mod client_gone;
mod context;
mod outcome;
mod quota;
mod record;
mod request_quota;
mod response;

pub use body::RequestBody;
pub use client_gone::{ClientGone, ClientGuard};
pub use context::{ReplayBody, Request, RequestContext};
pub use outcome::Outcome;
pub use quota::{ClientQuota, Quota, QuotaBounds, QuotaExceeded, QuotaKind, QuotaPermit, QuotaUsage};
pub use record::RequestRecord;
pub use request_quota::{Quotas, ReadError, RequestQuota};
pub use response::{Outgoing, Response, error_response, unavailable};

#[cfg(test)]
mod tests;
