//! Keeps the server's storage below its limit, whosever entries are in it.
//!
//! A tenant's evictor deletes that tenant's entries only, so a save of a small tenant could not be
//! made room for where a large one has filled the server. So the server is looked at as a whole: the
//! tenants with most bytes give up what is too much, until they have no more than the next ones. What
//! goes at a tenant is its own policy's choice.

use std::{sync::Arc, time::Duration};

use larder_common::causes::chain;
use larder_index::{Area, IndexError};

use super::Evictor;
use crate::{engine::PolicyInForce, tenant::Tenant};

/// How often it is looked whether the server is nearly full.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
/// Most tenants that give up something in one look.
const MAX_TENANTS: usize = 64;

/// A tenant in the server's storage, and its policy.
pub(crate) type Lodger = (PolicyInForce, Arc<Tenant>);

/// Returns how many bytes too many are in the server's storage, if any room was reserved since the last
/// call, or if its disk is nearly full, by whatever is on it. `all`: the tenants that had a request.
///
/// # Errors
/// When the index fails.
pub(crate) async fn surplus(all: &[Arc<Tenant>]) -> Result<Option<u64>, IndexError> {
    let (mut reserved, mut any) = (None, None);
    for tenant in all {
        let Some(capacity) = &tenant.capacity else { continue };
        // Each is asked, so that none is found again at the next look.
        let has_reserved = capacity.shared.requests.take_reserved();
        if is_lodger(tenant) {
            any = Some((tenant, capacity));
            reserved = any.filter(|_| has_reserved).or(reserved);
        }
    }
    if reserved.is_none()
        && let Some((_, capacity)) = any
        && capacity.is_disk_nearly_full().await
    {
        reserved = any;
    }
    let Some((tenant, capacity)) = reserved else { return Ok(None) };
    let Some(cap) = capacity.server_cap(tenant).await else { return Ok(None) };
    Ok(capacity.limits.surplus(cap, tenant.index.usage_of(&Area::Server).await?))
}

/// Returns whether a tenant is in the server's storage, and may be made to give up something.
pub(crate) fn is_lodger(tenant: &Tenant) -> bool {
    let capacity = tenant.capacity.as_ref();
    capacity.is_some_and(|capacity| capacity.limits.may_evict() && !capacity.limits.is_apart())
}

/// Has the tenants with most bytes delete as many as are too many.
pub(crate) async fn relieve(surplus: u64, lodgers: Vec<Lodger>) {
    let mut by_usage = Vec::new();
    for (policy, tenant) in lodgers {
        match tenant.index.usage_of(&Area::Tenant).await {
            Ok(bytes) => by_usage.push((bytes, policy, tenant)),
            Err(error) => tracing::error!(error = chain(&error), "cannot make room in the server"),
        }
    }
    by_usage.sort_by_key(|(bytes, ..)| std::cmp::Reverse(*bytes));
    let usages: Vec<u64> = by_usage.iter().map(|(bytes, ..)| *bytes).collect();
    for (bytes, (_, policy, tenant)) in shares(&usages, surplus).into_iter().zip(&by_usage).take(MAX_TENANTS)
    {
        if let Some(evictor) = Evictor::of(policy, tenant) {
            evictor.relieve_server(bytes).await;
        }
    }
}

/// Divides a surplus: who has most gives most, so that all who give have the same afterwards, and no
/// less than those who give nothing. `usages`: the largest first.
fn shares(usages: &[u64], surplus: u64) -> Vec<u64> {
    let mut sum = 0_u128;
    for (index, usage) in usages.iter().enumerate() {
        sum += u128::from(*usage);
        let count = index as u128 + 1;
        let next = u128::from(usages.get(index + 1).copied().unwrap_or(0));
        let is_enough = sum - count * next >= u128::from(surplus);
        if is_enough || index + 1 == usages.len() {
            let level = u64::try_from(sum.saturating_sub(u128::from(surplus)) / count).unwrap_or(u64::MAX);
            return usages[..=index].iter().map(|usage| usage.saturating_sub(level)).collect();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests;
