//! Looking up: the best match, if its bytes are there.

use super::{Caller, Checked, Code, Error};
use crate::ports::{Entry, Host, Level, MatchKind, OutcomeKind, Probe, StorageError};
use crate::{matching, stale, url};

/// Most probes in one `index.find`.
const MAX_PROBES: usize = 1000;
/// How many matches one lookup looks at before it is a miss: as many as `index.find` can be told to pass over. Only stale ones
/// are passed over, so more than a few are what is left after the storage lost its content.
const MAX_LOOKS: usize = 1000;
/// How many stale entries of one lookup have a line of their own in the log.
const MAX_WARNINGS: usize = 32;

/// An entry whose bytes are there, and where they are had.
pub(crate) struct Hit {
    pub(crate) entry: Entry,
    pub(crate) download_url: String,
}

/// Finds the best match and signs a URL for it, at this origin, or has the storage sign one of its own; stale entries are
/// passed over.
///
/// A clean miss is said only where there is none among the first [`MAX_LOOKS`] matches. Where index or storage do not answer
/// the client gets `unavailable`, and decides itself: `@actions/cache` tries again and then goes on without a cache, and a failure that lasts is seen as one.
///
/// # Errors
/// `permission_denied` where the token may read nothing.
pub(crate) async fn lookup<H: Host>(
    caller: &Caller<'_, H>,
    message: &Checked,
    origin: &str,
) -> Result<Option<Hit>, Error> {
    if matching::readable_scopes(caller.claims).next().is_none() {
        let text = "cache read denied: the token has no scope that it may read from";
        return Err(Error::new(Code::PermissionDenied, text));
    }
    let Some((entry, direct_url)) = find_whole(caller, message).await? else {
        return Ok(None);
    };
    caller.request.note(|outcome| {
        outcome.is(OutcomeKind::Hit);
        outcome.scope = Some(entry.slot.scope.clone());
        outcome.matched_key = (entry.slot.key != message.key).then(|| entry.slot.key.clone());
        outcome.entry = Some(entry.id);
    });
    let download_url = direct_url.unwrap_or_else(|| own_url(caller, &entry, origin));
    Ok(Some(Hit { entry, download_url }))
}

/// Returns the first match whose object is there in full, with its use noted, and the storage's URL of it where the client gets
/// one.
async fn find_whole<H: Host>(
    caller: &Caller<'_, H>,
    message: &Checked,
) -> Result<Option<(Entry, Option<String>)>, Error> {
    caller.request.note(|outcome| outcome.is(OutcomeKind::Miss));
    let (mut skip, mut stale_count) = (Vec::new(), 0);
    let found = loop {
        if skip.len() == MAX_LOOKS {
            break None;
        }
        let Some(entry) = find(caller, message, &skip).await? else { break None };
        // The look at the object is part of signing a URL, so a hit costs one look either way.
        let direct_url = direct_url(caller, &entry).await?;
        let stale = if direct_url.is_some() { None } else { stale::inspect(caller.host, &entry).await? };
        match stale {
            None if is_kept(caller, &entry).await => break Some((entry, direct_url)),
            // Another server has just deleted it.
            None => {}
            Some(reason) => {
                stale_count += 1;
                if stale_count <= MAX_WARNINGS {
                    stale::warn(caller.host, "stale entry skipped", &entry, reason);
                }
                caller.request.note(|outcome| outcome.is(OutcomeKind::Stale));
            }
        }
        skip.push(entry.id);
    };
    if stale_count > MAX_WARNINGS {
        warn_of_more(caller, stale_count - MAX_WARNINGS);
    }
    Ok(found)
}

/// Sums up the stale entries that have no line of their own.
fn warn_of_more<H: Host>(caller: &Caller<'_, H>, count: usize) {
    let fields = [("request", caller.request.id.as_str()), ("count", &count.to_string())];
    caller.host.log(Level::Warn, "more stale entries skipped", &fields);
}

/// Notes the use of an entry, and returns whether it is still there.
async fn is_kept<H: Host>(caller: &Caller<'_, H>, entry: &Entry) -> bool {
    caller.host.touch(entry.id, entry.last_used_ms, caller.request.received_ms).await
}

/// Returns the first match. One call of the index, but for absurdly many keys and scopes.
async fn find<H: Host>(
    caller: &Caller<'_, H>,
    message: &Checked,
    skip: &[u64],
) -> Result<Option<Entry>, Error> {
    let mut probes = matching::probes(caller.claims, &message.key, &message.restore_keys);
    explain(caller, message, &probes);
    loop {
        let rest = probes.split_off(probes.len().min(MAX_PROBES));
        let (repository, version) = (caller.claims.repository.clone(), message.version.clone());
        let found = caller.host.find(repository, version, probes, skip.to_vec()).await?;
        if found.is_some() || rest.is_empty() {
            explain_found(caller, found.as_ref());
            return Ok(found);
        }
        probes = rest;
    }
}

/// Says what is looked for, one line for each attempt in the order of matching.
fn explain<H: Host>(caller: &Caller<'_, H>, message: &Checked, probes: &[Probe]) {
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
        caller.host.log(Level::Debug, "looking for", &fields);
    }
}

fn explain_found<H: Host>(caller: &Caller<'_, H>, found: Option<&Entry>) {
    if !caller.host.settings().debug {
        return;
    }
    match found {
        Some(entry) => {
            let fields = [("scope", entry.slot.scope.as_str()), ("key", entry.slot.key.as_str())];
            caller.host.log(Level::Debug, "found", &fields);
        }
        None => caller.host.log(Level::Debug, "nothing found", &[]),
    }
}

/// Returns a URL of the storage itself, or `None` where the operator does not want one, the client cannot use one, there is
/// none of this object, or the object is stale.
async fn direct_url<H: Host>(caller: &Caller<'_, H>, entry: &Entry) -> Result<Option<String>, Error> {
    let allowed = caller.host.settings().direct_url_ms.filter(|_| caller.downloads_plainly());
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
fn own_url<H: Host>(caller: &Caller<'_, H>, entry: &Entry, origin: &str) -> String {
    let expires_ms = caller.request.received_ms.saturating_add(caller.host.settings().download_url_ms);
    url::make_download(caller.host, origin, &entry.id.to_string(), expires_ms)
}

#[cfg(test)]
mod tests;
