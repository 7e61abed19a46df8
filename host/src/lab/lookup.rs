//! Look-ups: the guest's order of matching, on the real index.

use larder_index::{Cause, Entry, EntryId, MatchKind, Probe};
use larder_rules::{Caller, Hit, Interface};

use super::{LabError, replay::Replay, trace::Job};
use crate::{auth::Scope, retention::seen_by_rules, tenant::Tenant};

/// Most entries that a look-up passes over.
const MAX_SKIPPED: usize = 1000;
/// Most entries that are looked at for the cause of a miss.
const NEAR: usize = 20;

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) job: &'a Job,
    /// What the rules have left of the job's.
    pub(super) scopes: &'a [Scope],
    pub(super) version: &'a str,
    pub(super) key: &'a str,
    pub(super) restore_keys: &'a [String],
}

impl Replay {
    /// Finds the best match that the rules accept, and records its use. Without one: why.
    pub(super) async fn find(&mut self, wanted: Wanted<'_>) -> Result<Result<Entry, String>, LabError> {
        let tenant = self.stage.tenant.clone();
        let probes = probes(wanted);
        if probes.is_empty() {
            return Ok(Err("denied".to_owned()));
        }
        let (mut skip, mut passed_over): (Vec<EntryId>, _) = (Vec::new(), None);
        while skip.len() < MAX_SKIPPED {
            let repository = &wanted.job.repository;
            let Some(entry) = tenant.index.find(repository, wanted.version, &probes, &skip).await? else {
                break;
            };
            if is_too_old(&tenant, &entry, self.stage.now_ms()) {
                passed_over.get_or_insert("expired");
            } else if !self.accepts(wanted, &entry).await? {
                passed_over.get_or_insert("rule");
            } else {
                let now_ms = self.stage.now_ms();
                if tenant.usage.record_use(&*tenant.index, entry.id, entry.last_used_ms, now_ms).await {
                    return Ok(Ok(entry));
                }
            }
            skip.push(entry.id);
        }
        match passed_over {
            Some(cause) => Ok(Err(cause.to_owned())),
            None => cause(&tenant, wanted).await.map(Err),
        }
    }

    async fn accepts(&mut self, wanted: Wanted<'_>, entry: &Entry) -> Result<bool, LabError> {
        let tenant = self.stage.tenant.clone();
        if !tenant.rules.answers(Interface::Restore) {
            return Ok(true);
        }
        let details = tenant.index.entry_details(&[entry.id]).await?;
        let Some(details) = details.first() else { return Ok(false) };
        let shown = seen_by_rules(entry, details, self.stage.now_ms());
        let hit = tenant.rules.judge_hit(&caller(wanted.job, wanted.scopes), &shown);
        Ok(matches!(hit, Ok(Hit::Accept)))
    }
}

/// In the guest's order (`guest/src/matching.rs`): for each scope, for each key, first the key itself, then
/// the newest that begins with it.
fn probes(wanted: Wanted<'_>) -> Vec<Probe> {
    let mut keys = vec![wanted.key];
    for key in wanted.restore_keys {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let mut probes = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for scope in wanted.scopes.iter().filter(|scope| scope.read) {
        if seen.contains(&scope.name.as_str()) {
            continue;
        }
        seen.push(&scope.name);
        for key in &keys {
            for kind in [MatchKind::Exact, MatchKind::Prefix] {
                probes.push(Probe { scope: scope.name.clone(), key: (*key).to_owned(), kind });
            }
        }
    }
    probes
}

fn is_too_old(tenant: &Tenant, entry: &Entry, now_ms: u64) -> bool {
    tenant.settings.max_age_ms.is_some_and(|limit_ms| now_ms.saturating_sub(entry.created_ms) > limit_ms)
}

/// Why nothing was found, by what is near the key itself.
async fn cause(tenant: &Tenant, wanted: Wanted<'_>) -> Result<String, LabError> {
    let (index, repository) = (&tenant.index, &wanted.job.repository);
    let is_here = |scope: &str| wanted.scopes.iter().any(|other| other.read && other.name == scope);
    let departed = index.find_departed(repository, wanted.key, MatchKind::Exact, NEAR).await?;
    let of_here =
        departed.iter().find(|gone| is_here(&gone.slot.scope) && gone.slot.version == wanted.version);
    if let Some(gone) = of_here {
        return Ok(match &gone.departure.cause {
            Cause::Size | Cause::Quota => "evicted".to_owned(),
            cause => cause.to_string(),
        });
    }
    let near = index.list_near(repository, wanted.key, MatchKind::Exact, NEAR).await?;
    let slots = || near.iter().map(|near| &near.entry.slot);
    if slots().any(|slot| is_here(&slot.scope) && slot.version != wanted.version) {
        return Ok("other-version".to_owned());
    }
    let is_elsewhere = slots().any(|slot| slot.version == wanted.version);
    Ok(if is_elsewhere { "other-scope" } else { "never-saved" }.to_owned())
}

/// Who asks, as rules see it.
pub(super) fn caller(job: &Job, scopes: &[Scope]) -> Caller {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Caller {
        repository: job.repository.clone(),
        scopes: scopes.iter().cloned().map(Into::into).collect(),
        claims: job.facts.iter().map(owned).collect(),
        client: job.client.clone(),
    }
}
