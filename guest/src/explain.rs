//! Explains a lookup: what it tries, what it finds, what comes near.
//!
//! Called by `bindings` for the export `explain`, for an operator. Makes the same calls as a lookup,
//! one for each probe, and records no use.

use crate::nearness::{Neighbours, Wanted};
use crate::ports::{
    Attempt, Entry, Explanation, Finding, HitVerdict, Host, IndexError, MatchKind, MissCause, Probe, Query,
    Scope,
};
use crate::{Policy, matching, stale};

/// Most attempts.
const MAX_ATTEMPTS: usize = 1000;
/// Most neighbours.
const MAX_NEIGHBOURS: usize = 100;
/// Most that is listed near the key itself, which decides the cause, and near any further key.
const NEAR: u32 = 200;
const FURTHER: u32 = 100;

/// Explains a lookup.
///
/// # Errors
/// When the index fails.
pub async fn explain<H: Host>(
    policy: &dyn Policy,
    host: &H,
    now_ms: u64,
    query: Query,
) -> Result<Explanation, IndexError> {
    let Some((key, restore_keys)) = query.keys.split_first() else {
        return Ok(Explanation { version: None, attempts: Vec::new(), near: Vec::new(), cause: None });
    };
    let version = match &query.version {
        Some(version) => Some(version.clone()),
        None => latest_version(host, &query).await?,
    };
    let wanted = Wanted { scopes: &query.scopes, version: version.as_deref().unwrap_or_default() };
    let mut attempts = Vec::new();
    if version.is_some() {
        for probe in policy.probes(&query.scopes, key, restore_keys) {
            if !try_probe((policy, host), now_ms, &query.repository, &wanted, probe, &mut attempts).await? {
                break;
            }
        }
    }
    let mut near = neighbours(host, &query.repository, key, &wanted).await?;
    let cause = cause(&query, &attempts, &near);
    for key in &query.keys {
        near.append(further_neighbours(host, &query.repository, key, &wanted).await?);
    }
    Ok(Explanation { version, attempts, near: near.into_list(MAX_NEIGHBOURS), cause })
}

/// Returns what is, and was, near a key, in two calls, or in one if that is enough to know why it
/// is not found.
///
/// # Errors
/// When the index fails.
pub(crate) async fn neighbours<H: Host>(
    host: &H,
    repository: &str,
    key: &str,
    wanted: &Wanted<'_>,
) -> Result<Neighbours, IndexError> {
    let mut found = Neighbours::default();
    let nearby = host.list_near(repository.to_owned(), key.to_owned(), MatchKind::Exact, NEAR).await?;
    found.add_nearby(wanted, nearby);
    if !found.is_decided() {
        let departed =
            host.list_departed(repository.to_owned(), key.to_owned(), MatchKind::Exact, NEAR).await?;
        found.add_departed(wanted, departed);
    }
    Ok(found)
}

/// Returns what is near the keys that start with this one.
async fn further_neighbours<H: Host>(
    host: &H,
    repository: &str,
    key: &str,
    wanted: &Wanted<'_>,
) -> Result<Neighbours, IndexError> {
    let mut found = Neighbours::default();
    let (repository, key) = (repository.to_owned(), key.to_owned());
    let nearby = host.list_near(repository.clone(), key.clone(), MatchKind::Prefix, FURTHER).await?;
    found.add_nearby(wanted, nearby);
    found.add_departed(wanted, host.list_departed(repository, key, MatchKind::Prefix, FURTHER).await?);
    Ok(found)
}

/// Returns the version of the newest entry with the first key, or of the last one that was deleted. Where
/// the key was never saved, that of the newest entry that comes near: what the client has saved under
/// other keys has the version that it asks for.
async fn latest_version<H: Host>(host: &H, query: &Query) -> Result<Option<String>, IndexError> {
    let Some(first) = query.keys.first() else { return Ok(None) };
    let (repository, key) = (query.repository.clone(), first.clone());
    let mut nearby = host.list_near(repository.clone(), key.clone(), MatchKind::Exact, NEAR).await?;
    if !nearby.entries.is_empty() {
        return Ok(Some(nearby.entries.swap_remove(0).entry.slot.version));
    }
    let mut departed = host.list_departed(repository, key, MatchKind::Exact, NEAR).await?;
    if !departed.is_empty() {
        return Ok(Some(departed.swap_remove(0).slot.version));
    }
    let readable: Vec<&str> = matching::readable_scopes(&query.scopes).collect();
    let order = |entry: &Entry| (readable.contains(&&*entry.slot.scope), entry.created_ms, entry.id);
    for key in &query.keys {
        let (repository, key) = (query.repository.clone(), key.clone());
        let nearby = host.list_near(repository, key, MatchKind::Prefix, FURTHER).await?;
        let newest = nearby.entries.into_iter().map(|near| near.entry).max_by_key(order);
        if let Some(newest) = newest {
            return Ok(Some(newest.slot.version));
        }
    }
    Ok(None)
}

/// Makes an attempt, and further ones as long as it finds entries that are not served. Returns
/// whether the next probe is tried.
async fn try_probe<H: Host>(
    (policy, host): (&dyn Policy, &H),
    now_ms: u64,
    repository: &str,
    wanted: &Wanted<'_>,
    probe: Probe,
    attempts: &mut Vec<Attempt>,
) -> Result<bool, IndexError> {
    let not_served = |attempt: &Attempt| match &attempt.finding {
        Finding::Stale(entry) | Finding::Expired(entry) | Finding::Skipped(entry) => Some(entry.id),
        Finding::Nothing | Finding::Match(_) => None,
    };
    while attempts.len() < MAX_ATTEMPTS {
        let skip: Vec<u64> = attempts.iter().filter_map(not_served).collect();
        let (repository, version) = (repository.to_owned(), wanted.version.to_owned());
        let found = host.find(repository, version, vec![probe.clone()], skip).await?;
        let finding = match found {
            None => Finding::Nothing,
            Some(entry) => finding(policy, host, now_ms, wanted.scopes, entry).await?,
        };
        let (ends_probe, ends_all) = (finding == Finding::Nothing, matches!(finding, Finding::Match(_)));
        let Probe { scope, key, kind } = probe.clone();
        attempts.push(Attempt { scope, key, kind, finding });
        if ends_probe || ends_all {
            return Ok(!ends_all);
        }
    }
    Ok(false)
}

async fn finding<H: Host>(
    policy: &dyn Policy,
    host: &H,
    now_ms: u64,
    scopes: &[Scope],
    entry: Entry,
) -> Result<Finding, IndexError> {
    if !policy.serves(&host.settings(), now_ms, &entry) {
        return Ok(Finding::Expired(entry));
    }
    match host.explain_hit(scopes.to_vec(), entry.clone()).await? {
        HitVerdict::Accept => {}
        HitVerdict::Skip(_) => return Ok(Finding::Skipped(entry)),
        HitVerdict::Expired => return Ok(Finding::Expired(entry)),
    }
    // A storage that does not answer says nothing about the entry.
    Ok(match stale::check(host, &entry).await {
        Ok(Some(_)) => Finding::Stale(entry),
        Ok(None) | Err(_) => Finding::Match(entry),
    })
}

fn cause(query: &Query, attempts: &[Attempt], near: &Neighbours) -> Option<MissCause> {
    let any = |is_it: fn(&Finding) -> bool| attempts.iter().any(|attempt| is_it(&attempt.finding));
    if any(|finding| matches!(finding, Finding::Match(_))) {
        None
    } else if matching::readable_scopes(&query.scopes).next().is_none() {
        Some(MissCause::Denied)
    } else if any(|finding| matches!(finding, Finding::Stale(_))) {
        Some(MissCause::Stale)
    } else if any(|finding| matches!(finding, Finding::Skipped(_))) {
        Some(MissCause::Rule)
    } else if any(|finding| matches!(finding, Finding::Expired(_))) {
        Some(MissCause::Expired)
    } else {
        Some(near.cause())
    }
}

#[cfg(test)]
mod tests;
