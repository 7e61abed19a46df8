//! GetCacheEntryDownloadURL: the best match, if its bytes are there.

use super::message::Checked;
use super::{Caller, Code, Error, Reply};
use crate::ports::{Entry, Host};
use crate::url::{self, Purpose};
use crate::{matching, stale};

/// Most probes in one `db.find`.
const MAX_PROBES: usize = 1000;
/// How many stale entries one lookup passes over before it is a miss.
const MAX_STALE: usize = 32;

/// Finds the best match and signs a URL for it; stale entries are passed over.
///
/// A clean miss is said only where there is none. Where index or storage do not answer the client gets `unavailable`, and
/// decides itself: `@actions/cache` tries again and then goes on without a cache, and a failure that lasts is seen as one.
///
/// # Errors
/// `permission_denied` where the token may read nothing.
pub(super) async fn lookup<H: Host>(caller: &Caller<'_, H>, message: Checked) -> Result<Reply, Error> {
    if matching::readable_scopes(caller.claims).next().is_none() {
        let text = "cache read denied: the token has no scope that it may read from";
        return Err(Error::new(Code::PermissionDenied, text));
    }
    let Some(entry) = find_whole(caller, &message).await? else {
        return Ok(Reply::Miss);
    };
    Ok(hit(caller, entry))
}

/// Returns the first match whose object is there in full, with its use noted.
async fn find_whole<H: Host>(caller: &Caller<'_, H>, message: &Checked) -> Result<Option<Entry>, Error> {
    let mut skip = Vec::new();
    while skip.len() < MAX_STALE {
        let Some(entry) = find(caller, message, &skip).await? else {
            return Ok(None);
        };
        match stale::inspect(caller.host, &entry).await? {
            None if is_kept(caller, &entry).await => return Ok(Some(entry)),
            // Another server has just deleted it.
            None => {}
            Some(reason) => stale::warn(caller.host, "stale entry skipped", &entry, reason),
        }
        skip.push(entry.id);
    }
    Ok(None)
}

/// Notes the use of an entry, and returns whether it is still there.
async fn is_kept<H: Host>(caller: &Caller<'_, H>, entry: &Entry) -> bool {
    caller.host.touch(entry.id, entry.used_ms, caller.request.received_ms).await
}

/// Returns the first match. One call of the index, but for absurdly many keys and scopes.
async fn find<H: Host>(
    caller: &Caller<'_, H>,
    message: &Checked,
    skip: &[u64],
) -> Result<Option<Entry>, Error> {
    let mut probes = matching::probes(caller.claims, &message.key, &message.restore_keys);
    loop {
        let rest = probes.split_off(probes.len().min(MAX_PROBES));
        let (repository, version) = (caller.claims.repository.clone(), message.version.clone());
        let found = caller.host.find(repository, version, probes, skip.to_vec()).await?;
        if found.is_some() || rest.is_empty() {
            return Ok(found);
        }
        probes = rest;
    }
}

/// The matched key is the stored one, in full: clients compare it with what they asked for.
fn hit<H: Host>(caller: &Caller<'_, H>, entry: Entry) -> Reply {
    let expires_ms = caller.request.received_ms.saturating_add(caller.host.settings().download_url_ms);
    let id = entry.id.to_string();
    let download_url = url::make(caller.host, &caller.request.origin, Purpose::Download, &id, expires_ms);
    Reply::Hit { download_url, matched_key: entry.slot.key }
}

#[cfg(test)]
mod tests;
