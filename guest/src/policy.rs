//! A policy: Larder's own, or one that overrides parts of it.

use crate::ports::{
    Candidate, Cause, Claims, Entry, Facts, Host, Probe, Request, Response, RoomNeeded, SaveVerdict, Scope,
    Settings, Slot, Tier, Trust,
};
use crate::{handler, matching, retention, room, trust};

/// What a policy decides. Each method is Larder's own unless it is overridden, and works with all others.
///
/// A policy has no state: it is made with [`Default`] for each call, instances come and go, and several run
/// at once. What must last is in the index and the storage. Whatever it decides, the host verifies tokens,
/// holds keys and bytes, and keeps limits.
pub trait Policy {
    /// Answers a request. Override it for routes of one's own, and leave the rest to [`crate::handle`].
    /// An `async fn`. Must not fail: an error is a response, too.
    fn handle<H: Host>(
        &self,
        host: &H,
        request: &Request<H::IncomingRequest>,
    ) -> impl Future<Output = Response<H>>
    where
        Self: Sized,
    {
        handler::handle(self, host, request)
    }

    /// Returns whether a request may be handled twice, because it changes nothing. The host asks on a fresh
    /// instance after the component failed. `path` is not decoded and has no query.
    fn is_repeatable(&self, method: &str, path: &str) -> bool {
        handler::is_repeatable(method, path)
    }

    /// Changes what a verified token permits. Called once for each request with a token. `facts` gets what
    /// the token says about its job; that is a call of the host, so only ask if it matters. By default as
    /// the token says.
    fn admit(&self, claims: &mut Claims, facts: &dyn Fn() -> Facts) {
        let _ = (claims, facts);
    }

    /// Returns what a lookup tries, in order; the first match is served. By default all keys in the first
    /// readable scope, then in the next: for each key an exact match, then the newest entry with that prefix.
    fn probes(&self, scopes: &[Scope], key: &str, restore_keys: &[String]) -> Vec<Probe> {
        matching::probes(scopes, key, restore_keys)
    }

    /// Returns whether a lookup may have an entry that matches. By default unless it is older than
    /// `max_age_ms`. An entry that is not served is replaced by the next save, once no URL of it is valid.
    fn serves(&self, settings: &Settings, now_ms: u64, entry: &Entry) -> bool {
        !retention::is_too_old(settings, now_ms, entry)
    }

    /// Returns the scope that entries are saved into; `None` denies the save. By default the first writable
    /// one.
    fn save_scope<'a>(&self, claims: &'a Claims) -> Option<&'a str> {
        matching::writable_scope(claims)
    }

    /// Returns whether a slot may be saved into: asked at the reservation, where the size may not be known,
    /// and before the upload becomes an entry. Accepted facts are stored with it. The operator's rules are
    /// asked after it. By default everything is accepted.
    fn judge_save(&self, claims: &Claims, slot: &Slot, size_bytes: Option<u64>) -> SaveVerdict {
        let _ = (claims, slot, size_bytes);
        SaveVerdict::Accept(Facts::new())
    }

    /// Returns how far a saver is trusted, which is stored with what it saves.
    fn trust(&self, claims: &Claims, facts: &Facts) -> Trust {
        trust::of_saver(claims, facts)
    }

    /// Returns the group of an entry in which newer ones are counted for [`Policy::departs`]
    /// (`candidate.newer`): up to 16 KiB. By default by `keep_newest`.
    fn group(&self, settings: &Settings, slot: &Slot) -> Option<String> {
        retention::group(settings, slot)
    }

    /// Returns why an intact entry is to be deleted, `None` if it stays. By default what `retention` of the
    /// configuration says. Not asked about entries of which the operator's rules want something, nor about
    /// layers of BuildKit: those go when no index may name them.
    fn departs(&self, settings: &Settings, now_ms: u64, candidate: &Candidate) -> Option<Cause> {
        retention::cause_by_facts(settings, now_ms, candidate)
    }

    /// Returns where to look for entries that make room, in this order, up to 16; none refuses the save.
    fn room_tiers(&self, needed: &RoomNeeded) -> Vec<Tier> {
        room::tiers(needed)
    }

    /// Removes those of a tier's candidates that must stay, and puts the others into the order in which they
    /// are deleted. They come least recently used first. By default a saver of low trust pushes out nothing
    /// of full trust.
    fn give_way(&self, needed: &RoomNeeded, candidates: &mut Vec<Candidate>) {
        room::keep_those_of_less_trust(needed, candidates);
    }
}

/// Larder's own policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultPolicy;

impl Policy for DefaultPolicy {}

#[cfg(test)]
mod tests;
