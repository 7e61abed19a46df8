//! Admission: the one place that decides how many requests may be in flight. Runs before the guest.
//!
//! A guest that runs out of memory or handles is lost, with all calls inside it. So the requests
//! that enter it are limited such that it cannot. All limits follow from the resources of the
//! process ([`Capacity`]). The parts of a guest's memory:
//!
//! | part | what for |
//! |---|---|
//! | 1/8 + 1/32 | heads, and the overhead of each call |
//! | 3/16 + 3/16 | messages, made of short bodies |
//! | 9/32 | block lists, made of long bodies |
//! | 3/16 | the guest itself, and its allocator's overhead |
//!
//! Of two parts the first is divided into the reserves of all connections, as if all were on one
//! thread.

use std::{sync::Arc, time::Duration};

use http::request::Parts;

use crate::message::{
    ClientQuota, Quota, QuotaBounds, QuotaExceeded, QuotaKind, QuotaUsage, Quotas, RequestQuota,
};

/// Longest wait for a quota. Short enough that clients still wait for the response.
const WAIT: Duration = Duration::from_secs(10);
/// Memory of a call in the guest and in the host besides its head, in bytes.
const CALL_BYTES: usize = 2 * 1024;
/// Memory of a header field besides its name and value, in bytes.
const FIELD_BYTES: usize = 64;
/// Memory for bodies in the whole process, in bytes: two of the longest that are read.
const BODY_POOL_BYTES: usize = 16 * MIB;
/// The part of it that is reserved for all connections together, in bytes.
const BODY_RESERVE_BYTES: usize = 8 * MIB;
/// Larger reserves would be unused: the most frequent request is a lookup, with a head of some 4
/// KiB and a body of 300 bytes.
const MAX_HEAD_RESERVE_BYTES: usize = 16 * 1024;
const MAX_BODY_RESERVE_BYTES: usize = 8 * 1024;
const MAX_MESSAGE_RESERVE_BYTES: usize = 12 * 1024;
const MIB: usize = 1024 * 1024;

/// The resources of the process, from which the limits follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Memory of one guest, in bytes.
    pub guest_memory_bytes: usize,
    /// Handles of one guest.
    pub guest_handles: usize,
    /// Most connections at once.
    pub connections: usize,
    /// Most requests at the upstream at once: each takes a connection, so a file descriptor.
    pub forwards: usize,
}

/// The quotas that all threads share.
#[derive(Clone, Debug)]
pub(super) struct SharedQuotas {
    capacity: Capacity,
    bodies: Arc<Quota>,
    forwards: Arc<Quota>,
}

/// The admission of one thread, to its guest.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    quotas: Arc<Quotas>,
}

impl SharedQuotas {
    pub(super) fn new(capacity: Capacity) -> Self {
        let reserve = (BODY_RESERVE_BYTES / capacity.connections.max(1)).min(MAX_BODY_RESERVE_BYTES);
        // A connection may have one of the longest bodies, and an eighth of the forwards.
        let bodies = bounds(reserve, BODY_POOL_BYTES, BODY_POOL_BYTES / 2);
        let forwards = bounds(0, capacity.forwards, capacity.forwards.div_ceil(8));
        Self {
            capacity,
            bodies: Arc::new(Quota::new(QuotaKind::Bodies, bodies)),
            forwards: Arc::new(Quota::new(QuotaKind::Forwards, forwards)),
        }
    }
}

impl Admission {
    pub(super) fn new(shared: &SharedQuotas) -> Self {
        let Capacity { guest_memory_bytes: memory, guest_handles, connections, .. } = shared.capacity;
        let each = |bytes: usize, most: usize| (bytes / connections.max(1)).min(most);
        let heads_pool = (memory / 32).min(guest_handles / 8 * CALL_BYTES);
        let heads_reserve = each((memory / 8).min(guest_handles / 4 * CALL_BYTES), MAX_HEAD_RESERVE_BYTES);
        let (messages, lists) = (memory / 16 * 3, memory / 32 * 9);
        let heads = bounds(heads_reserve, heads_pool, heads_pool / 8);
        // Waiting heads are in the host's memory only, but no connection may fill the queue.
        let waiting = bounds(heads_reserve, heads_pool, heads_pool / 32);
        let messages = bounds(each(messages, MAX_MESSAGE_RESERVE_BYTES), messages, messages / 2);
        Self {
            quotas: Arc::new(Quotas {
                heads: Quota::new(QuotaKind::Heads, heads),
                waiting: Quota::new(QuotaKind::Waiting, waiting),
                messages: Quota::new(QuotaKind::Messages, messages),
                lists: Quota::new(QuotaKind::Lists, bounds(0, lists, lists)),
                bodies: shared.bodies.clone(),
                forwards: shared.forwards.clone(),
            }),
        }
    }

    /// Makes the account of a new connection.
    pub(super) fn client(&self) -> Arc<ClientQuota> {
        Arc::new(self.quotas.client())
    }

    /// Admits a request, once the guest has memory for its head.
    ///
    /// # Errors
    /// When there is none within 10 s, or too many requests wait already.
    pub(super) async fn admit(
        &self,
        client: &Arc<ClientQuota>,
        head: &Parts,
    ) -> Result<RequestQuota, QuotaExceeded> {
        let Quotas { heads, waiting, .. } = &*self.quotas;
        let bytes = u32::try_from(weight(head)).unwrap_or(u32::MAX);
        let held = match heads.try_acquire(client, bytes) {
            Some(held) => held,
            None => {
                let _waits = waiting.try_acquire(client, bytes).ok_or_else(|| waiting.refuse())?;
                heads.acquire(client, bytes).await?
            }
        };
        Ok(RequestQuota::new(self.quotas.clone(), client.clone(), held))
    }

    /// Returns the usage of each quota: those of this thread, then the shared ones.
    pub(super) fn usage(&self) -> [QuotaUsage; 6] {
        let Quotas { heads, waiting, messages, lists, bodies, forwards } = &*self.quotas;
        [heads, waiting, messages, lists, &**bodies, &**forwards].map(Quota::usage)
    }
}

/// Returns the usage of each quota, summed over all threads.
pub(super) fn sum(admissions: &[Admission]) -> Vec<QuotaUsage> {
    let mut threads = admissions.iter().map(Admission::usage);
    let mut sum = threads.next().map(Vec::from).unwrap_or_default();
    for of_thread in threads {
        // Bodies and forwards are shared: they are counted once.
        for (total, usage) in sum.iter_mut().zip(of_thread) {
            if !matches!(usage.kind, QuotaKind::Bodies | QuotaKind::Forwards) {
                total.add(usage);
            }
        }
    }
    sum
}

/// Memory for a head while its call is in the guest, in bytes.
fn weight(head: &Parts) -> usize {
    CALL_BYTES + super::respond::head_bytes(head) + head.headers.len() * FIELD_BYTES
}

fn bounds(reserve: usize, pool: usize, pool_per_connection: usize) -> QuotaBounds {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    QuotaBounds {
        reserve: number(reserve),
        pool: number(pool),
        pool_per_connection: number(pool_per_connection.max(1)),
        wait: WAIT,
    }
}

#[cfg(test)]
mod tests;
