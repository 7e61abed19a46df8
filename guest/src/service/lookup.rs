//! Lookup: the best match whose content exists.

use super::{Caller, Code, Error, ValidRequest};
use crate::nearness::Wanted;
use crate::ports::{Entry, HitVerdict, Host, Level, MatchKind, MissCause, OutcomeKind, Probe, StorageError};
use crate::{buildkit, explain, matching, stale, url};

/// Most probes in one `index.find`.
const MAX_PROBES: usize = 1000;
/// Most matches that a lookup tries before it is a miss: the limit of `skip` in `index.find`. Only
/// stale entries are skipped, those that are too old, and those that a rule does not let it have, so
/// there are more than a few stale ones only after the storage has lost its content.
const MAX_MATCHES: usize = 1000;
/// Most entries that are skipped because they are too old. All older ones of a scope are, too.
const MAX_EXPIRED: usize = 32;
/// Most entries that the operator's rules skip. So many newer ones hide a good one, and so often rules
/// are asked at most.
const MAX_BY_RULES: usize = 100;
/// Most stale entries of one lookup that are logged one by one.
const MAX_WARNINGS: usize = 32;

/// An entry whose content exists, and its download URL.
pub(crate) struct Hit {
    pub(crate) entry: Entry,
    pub(crate) download_url: String,
}

/// Finds the best match, and signs a URL for it: one of this server at `origin`, or a direct one of
/// the storage. Skips up to [`MAX_MATCHES`] stale entries. Returns `None` for a miss, whose cause the
/// log line gets.
///
/// # Errors
/// `permission_denied` if the token has no readable scope. `unavailable` if index or storage fail:
/// never a miss, so that the client retries, and a lasting failure is visible.
pub(crate) async fn lookup<H: Host>(
    caller: &Caller<'_, H>,
    message: &ValidRequest,
    origin: &str,
) -> Result<Option<Hit>, Error> {
    if matching::readable_scopes(&caller.claims.scopes).next().is_none() {
        caller.request.record(|outcome| outcome.miss = Some(MissCause::Denied));
        let text = "cache read denied: the token has no scope that it may read from";
        return Err(Error::new(Code::PermissionDenied, text));
    }
    let Some((entry, direct_url)) = find_intact(caller, message).await? else {
        return Ok(None);
    };
    caller.request.record(|outcome| {
        outcome.set_kind(OutcomeKind::Hit);
        outcome.scope = Some(entry.slot.scope.clone());
        outcome.matched_key = (entry.slot.key != message.key).then(|| entry.slot.key.clone());
        outcome.entry = Some(entry.id);
    });
    let download_url = direct_url.unwrap_or_else(|| server_url(caller, &entry, origin));
    Ok(Some(Hit { entry, download_url }))
}

/// The entries that a lookup has passed over.
#[derive(Default)]
struct Skipped {
    ids: Vec<u64>,
    stale: usize,
    expired: usize,
    by_rules: usize,
}

impl Skipped {
    /// Returns whether the lookup tries no more.
    fn are_enough(&self) -> bool {
        self.ids.len() >= MAX_MATCHES || self.expired >= MAX_EXPIRED || self.by_rules >= MAX_BY_RULES
    }

    /// Returns why nothing was found, if what was skipped tells.
    fn cause(&self) -> Option<MissCause> {
        match self {
            Self { stale: 1.., .. } => Some(MissCause::Stale),
            Self { by_rules: 1.., .. } => Some(MissCause::Rule),
            Self { expired: 1.., .. } => Some(MissCause::Expired),
            _ => None,
        }
    }
}

/// Returns the first match whose object is intact, after recording its use, and its direct URL, if
/// the client gets one.
async fn find_intact<H: Host>(
    caller: &Caller<'_, H>,
    message: &ValidRequest,
) -> Result<Option<(Entry, Option<String>)>, Error> {
    caller.request.record(|outcome| outcome.set_kind(OutcomeKind::Miss));
    let mut skipped = Skipped::default();
    let found = loop {
        if skipped.are_enough() {
            break None;
        }
        let Some(entry) = find(caller, message, &skipped.ids).await? else { break None };
        skipped.ids.push(entry.id);
        if !is_offered(caller, &entry, &mut skipped).await? {
            continue;
        }
        // Signing a URL checks the object, so a hit costs one check either way.
        let direct_url = direct_url(caller, &entry).await?;
        let stale = if direct_url.is_some() { None } else { stale::check(caller.host, &entry).await? };
        match stale {
            None if record_use(caller, &entry).await => break Some((entry, direct_url)),
            // A concurrent sweep has deleted it.
            None => {}
            Some(reason) => {
                skipped.stale += 1;
                if skipped.stale <= MAX_WARNINGS {
                    stale::warn(caller.host, "stale entry skipped", &entry, reason);
                }
                caller.request.record(|outcome| outcome.set_kind(OutcomeKind::Stale));
            }
        }
    };
    if skipped.stale > MAX_WARNINGS {
        warn_of_more(caller, skipped.stale - MAX_WARNINGS);
    }
    if found.is_none() {
        note_cause(caller, message, skipped.cause()).await;
    }
    Ok(found)
}

/// Returns whether an entry is neither too old nor skipped by the operator's rules, which are asked
/// only where there are any. The reason of the last skip is in the log line of a miss.
async fn is_offered<H: Host>(
    caller: &Caller<'_, H>,
    entry: &Entry,
    skipped: &mut Skipped,
) -> Result<bool, Error> {
    if !caller.policy.serves(&caller.host.settings(), caller.request.received_ms, entry) {
        skipped.expired += 1;
        return Ok(false);
    }
    if !caller.request.rules.restore {
        return Ok(true);
    }
    match caller.host.judge_hit(&caller.request.incoming, entry.clone()).await? {
        HitVerdict::Accept => Ok(true),
        // A layer is served as long as it is there: an index names it.
        HitVerdict::Expired if buildkit::is_layer(&entry.slot) => Ok(true),
        HitVerdict::Expired => {
            skipped.expired += 1;
            Ok(false)
        }
        HitVerdict::Skip(reason) => {
            skipped.by_rules += 1;
            log_skip(caller, entry, &reason);
            caller.request.record(|outcome| outcome.reason = Some(reason));
            Ok(false)
        }
    }
}

fn log_skip<H: Host>(caller: &Caller<'_, H>, entry: &Entry, reason: &str) {
    if caller.host.settings().debug {
        let fields = [("scope", &*entry.slot.scope), ("key", &*entry.slot.key), ("reason", reason)];
        caller.host.log(Level::Debug, "skipped by a rule", &fields);
    }
}

/// Records why nothing was found, by what is near the key itself. If the index fails, the host has
/// logged it, and the miss has no cause.
async fn note_cause<H: Host>(caller: &Caller<'_, H>, message: &ValidRequest, known: Option<MissCause>) {
    let cause = match known {
        Some(cause) => Some(cause),
        None => {
            let wanted = Wanted { scopes: &caller.claims.scopes, version: &message.version };
            let repository = &caller.claims.repository;
            let near = explain::neighbours(caller.host, repository, &message.key, &wanted).await;
            near.ok().map(|near| near.cause())
        }
    };
    caller.request.record(|outcome| outcome.miss = cause);
}

/// Logs the number of stale entries that were not logged one by one.
fn warn_of_more<H: Host>(caller: &Caller<'_, H>, count: usize) {
    let fields = [("request", caller.request.id.as_str()), ("count", &count.to_string())];
    caller.host.log(Level::Warn, "more stale entries skipped", &fields);
}

/// Records the use of an entry, and returns whether it still exists.
async fn record_use<H: Host>(caller: &Caller<'_, H>, entry: &Entry) -> bool {
    caller.host.touch(entry.id, entry.last_used_ms, caller.request.received_ms).await
}

/// Returns the first match. One call of the index for every [`MAX_PROBES`] probes.
async fn find<H: Host>(
    caller: &Caller<'_, H>,
    message: &ValidRequest,
    skip: &[u64],
) -> Result<Option<Entry>, Error> {
    let mut probes = caller.policy.probes(&caller.claims.scopes, &message.key, &message.restore_keys);
    if message.is_exact {
        probes.retain(|probe| probe.kind == MatchKind::Exact);
    }
    log_probes(caller, message, &probes);
    loop {
        let rest = probes.split_off(probes.len().min(MAX_PROBES));
        let (repository, version) = (caller.claims.repository.clone(), message.version.clone());
        let found = caller.host.find(repository, version, probes, skip.to_vec()).await?;
        if found.is_some() || rest.is_empty() {
            log_match(caller, found.as_ref());
            return Ok(found);
        }
        probes = rest;
    }
}

/// Logs the probes at level debug, in the order of matching.
fn log_probes<H: Host>(caller: &Caller<'_, H>, message: &ValidRequest, probes: &[Probe]) {
    if !caller.host.settings().debug {
        return;
    }
    for probe in probes {
        let kind = match probe.kind {
            MatchKind::Exact => "exact",
            MatchKind::Prefix => "prefix",
        };
        let fields = [
            ("scope", probe.scope.as_str()),
            ("key", probe.key.as_str()),
            ("match", kind),
            ("version", message.version.as_str()),
        ];
        caller.host.log(Level::Debug, "probe", &fields);
    }
}

fn log_match<H: Host>(caller: &Caller<'_, H>, found: Option<&Entry>) {
    if !caller.host.settings().debug {
        return;
    }
    match found {
        Some(entry) => {
            let fields = [("scope", entry.slot.scope.as_str()), ("key", entry.slot.key.as_str())];
            caller.host.log(Level::Debug, "match", &fields);
        }
        None => caller.host.log(Level::Debug, "no match", &[]),
    }
}

/// Returns a direct URL. Returns `None` if direct downloads are disabled, the client does not
/// support them, the storage cannot sign a URL, or the object is stale.
async fn direct_url<H: Host>(caller: &Caller<'_, H>, entry: &Entry) -> Result<Option<String>, Error> {
    let allowed = caller.host.settings().direct_url_ms.filter(|_| caller.supports_direct_downloads());
    let Some(lifetime_ms) = allowed else { return Ok(None) };
    match caller.host.presign(entry.object.clone(), entry.size_bytes, lifetime_ms).await {
        Ok(url) => Ok(url),
        Err(StorageError::NotFound) => Ok(None),
        Err(
            error @ (StorageError::NoSpace
            | StorageError::TooLarge
            | StorageError::Invalid(_)
            | StorageError::Unavailable(_)),
        ) => Err(error.into()),
    }
}

/// Signs a URL of this server.
fn server_url<H: Host>(caller: &Caller<'_, H>, entry: &Entry, origin: &str) -> String {
    let expires_ms = caller.request.received_ms.saturating_add(caller.host.settings().download_url_ms);
    url::make_download(caller.host, origin, &entry.id.to_string(), expires_ms)
}

#[cfg(test)]
mod tests;
