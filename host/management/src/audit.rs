//! The audit log: a line for each change, with the name of the key that made it.

use larder_common::TenantName;

use crate::access::Caller;

/// Logs a change. `count`: of how many entries, uploads or keys.
pub(crate) fn log(caller: &Caller, tenant: Option<&TenantName>, action: &str, what: &str, count: u64) {
    let tenant = tenant.map_or("all", TenantName::as_str);
    tracing::info!(target: "larder::audit", key = caller.name, tenant, action, what, count, "management");
}
