//! The quotas that one request uses, from its admission until its call is over.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use larder_storage::SourceError;
use parking_lot::Mutex;

use super::{
    RequestBody,
    quota::{ClientQuota, Quota, QuotaExceeded, QuotaPermit},
};

/// Bodies up to this length are short: messages, and most block lists.
const SHORT_BODY_BYTES: u64 = 256 * 1024;
/// Most guest memory for each byte of a message: the text, its fields, and the probes of a lookup,
/// which repeat each key for every scope, twice.
const MESSAGE_FACTOR: u64 = 12;
/// Most guest memory for a block list: the text and its ids, and this many bytes for the places of
/// 50,000 ids.
const LIST_FACTOR: u64 = 2;
const LIST_BYTES: u64 = 2 * 1024 * 1024;
/// How long a body may pause while another one waits for its memory.
pub(super) const PRESSED_PAUSE: Duration = Duration::from_secs(5);

/// The quotas of the requests of one guest.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// For heads inside the guest.
    pub heads: Quota,
    /// For heads that wait to enter it.
    pub waiting: Quota,
    /// For the guest's memory for short bodies.
    pub messages: Quota,
    /// For its memory for long bodies.
    pub lists: Quota,
    /// For bodies in memory, of all guests.
    pub bodies: Arc<Quota>,
    /// For requests at the upstream, of all guests.
    pub forwards: Arc<Quota>,
}

/// Why a body could not be read into memory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is too long, or ended early.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There was no memory for it.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
}

/// A request's permits: for its head, and for its body once that is read.
#[derive(Debug)]
pub(crate) struct RequestQuota {
    quotas: Arc<Quotas>,
    client: Arc<ClientQuota>,
    _head: QuotaPermit,
    body: Mutex<BodyQuota>,
}

#[derive(Debug, Default)]
struct BodyQuota {
    _bytes: Option<QuotaPermit>,
    _guest: Option<QuotaPermit>,
}

impl Quotas {
    /// Makes the account of a new connection.
    #[must_use]
    pub(crate) fn client(&self) -> ClientQuota {
        ClientQuota::new([
            &self.heads,
            &self.waiting,
            &self.messages,
            &self.lists,
            &self.bodies,
            &self.forwards,
        ])
    }

    /// The longest body that fits into all quotas.
    fn longest_body(&self) -> u64 {
        let list = u64::from(self.lists.largest()).saturating_sub(LIST_BYTES) / LIST_FACTOR;
        let message = u64::from(self.messages.largest()) / MESSAGE_FACTOR;
        list.max(message.min(SHORT_BODY_BYTES)).min(self.bodies.largest().into())
    }
}

impl RequestQuota {
    /// The permits of a request whose head was admitted.
    #[must_use]
    pub(crate) fn new(quotas: Arc<Quotas>, client: Arc<ClientQuota>, head: QuotaPermit) -> Self {
        Self { quotas, client, _head: head, body: Mutex::default() }
    }

    /// Reads a body into memory, and keeps permits for it and for the guest's memory for it. A body
    /// that is in memory already has its permits.
    ///
    /// # Errors
    /// When it has more than `limit` bytes or ends early, or a quota is used up.
    pub(crate) async fn read(&self, body: RequestBody, limit: u64) -> Result<Bytes, ReadError> {
        let limit = limit.min(self.quotas.longest_body());
        if body.is_in_memory() {
            return body.read_to_end(limit, &mut Growing::unbounded()).await;
        }
        let mut quota = Growing { of: Some((&*self.quotas.bodies, &self.client)), bytes: 0, held: None };
        let bytes = body.read_to_end(limit, &mut quota).await?;
        let guest = self.acquire_guest_memory(bytes.len() as u64).await?;
        *self.body.lock() = BodyQuota { _bytes: quota.held, _guest: Some(guest) };
        Ok(bytes)
    }

    async fn acquire_guest_memory(&self, bytes: u64) -> Result<QuotaPermit, QuotaExceeded> {
        if bytes <= SHORT_BODY_BYTES {
            self.quotas.messages.acquire(&self.client, amount(MESSAGE_FACTOR * bytes)).await
        } else {
            self.quotas.lists.acquire(&self.client, amount(LIST_FACTOR * bytes + LIST_BYTES)).await
        }
    }

    /// Acquires a permit for one request at the upstream.
    ///
    /// # Errors
    /// When there is none within the time.
    pub(crate) async fn acquire_forward(&self) -> Result<QuotaPermit, QuotaExceeded> {
        self.quotas.forwards.acquire(&self.client, 1).await
    }
}

/// A permit for a body, which grows with the body.
pub(super) struct Growing<'a> {
    of: Option<(&'a Quota, &'a Arc<ClientQuota>)>,
    bytes: u64,
    held: Option<QuotaPermit>,
}

impl Growing<'_> {
    /// For a body that already has its permits.
    pub(super) fn unbounded() -> Self {
        Self { of: None, bytes: u64::MAX, held: None }
    }

    /// Grows the permit to `bytes`.
    pub(super) async fn reach(&mut self, bytes: u64) -> Result<(), QuotaExceeded> {
        let Some((quota, client)) = self.of.filter(|_| bytes > self.bytes) else { return Ok(()) };
        let more = quota.acquire(client, amount(bytes - self.bytes)).await?;
        match &mut self.held {
            Some(held) => held.absorb(more),
            held @ None => *held = Some(more),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Grows the permit to at least `bytes`, in doubling steps as a buffer does, up to `limit`.
    pub(super) async fn grow(&mut self, bytes: u64, limit: u64) -> Result<(), QuotaExceeded> {
        if bytes <= self.bytes {
            return Ok(());
        }
        self.reach(bytes.max(self.bytes.saturating_mul(2)).min(limit.max(bytes))).await
    }

    /// Refuses a body that pauses while another one waits for its memory. The connection's own
    /// reserve is not waited for.
    pub(super) fn paused(&self) -> Result<(), QuotaExceeded> {
        match self.of {
            Some((quota, _))
                if quota.has_waiters() && self.held.as_ref().is_some_and(QuotaPermit::is_pooled) =>
            {
                Err(quota.refuse())
            }
            _ => Ok(()),
        }
    }
}

fn amount(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
