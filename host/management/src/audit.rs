//! The audit log: a line for each change, with the name and the role of the key that made it.
//!
//! A change that is refused, or that finds nothing to change, has none.

use std::future::Future;

use larder_common::TenantName;

use crate::{
    access::{Caller, Session},
    problem::Problem,
    server::Fault,
};

/// Logs a change. `count`: of how many entries, uploads or keys.
pub(crate) fn log(caller: &Caller, tenant: Option<&TenantName>, action: &str, what: &str, count: u64) {
    let tenant = tenant.map_or("all", TenantName::as_str);
    let Caller { name: key, role, .. } = caller;
    tracing::info!(target: "larder::audit", key, %role, tenant, action, what, count, "management");
}

impl Session {
    /// Logs a change in the tenant of the request.
    pub(crate) fn log(&self, action: &str, what: &str, count: u64) {
        log(&self.caller, Some(&self.tenant_name), action, what, count);
    }
}

/// Makes a change to its end, where it is logged, also if the client does not wait for it.
pub(crate) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let made = tokio::spawn(change).await;
    made.unwrap_or_else(|_| Err(Fault::Unavailable("a change ended early".to_owned()).into()))
}

/// Logs how many were changed when it is dropped: also where the rest fails. None: there is no line.
pub(crate) struct Counted<'a> {
    session: &'a Session,
    action: &'static str,
    what: String,
    count: u64,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(session: &'a Session, action: &'static str, what: String) -> Self {
        Self { session, action, what, count: 0 }
    }

    /// Counts one.
    pub(crate) fn add(&mut self) {
        self.count += 1;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.session.log(self.action, &self.what, self.count);
        }
    }
}
