//! `larder:cache/rules`: the operator's rules about what is restored and saved.
//!
//! The caller is made of the token that was verified, and the provenance of an entry is the index's: the
//! component has no part in either. What holds where the rules fail is the operator's choice
//! (`rules.on_failure`).

use std::pin::pin;

use ::http::header::USER_AGENT;
use larder_common::facts::{LABEL, LIFETIME};
use larder_index::{Entry, EntryDetails, EntryId, IndexError, Slot};
use larder_rules::{Caller, Hit, Interface, Save, SaveVerdict, Terms, number};
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::{
    bindings::larder::cache::{
        auth, index,
        rules::{self as wit, Host, HostWithStore},
        types::{AskedRules, Facts},
    },
    errors::IndexCallError,
    for_request::ForRequest,
    state::{State, tenant},
    storage::object_name,
    types::IncomingRequest,
};
use crate::{
    auth::rules_caller,
    config::FailureChoice,
    message::RequestContext,
    retention::{is_past_lifetime, seen_by_rules},
    tenant::Tenant,
    trace::{Asked, refused, skipped},
};

/// What the log, and the client of a save, are told where rules fail. Another line of the log says why.
const RULES_FAILED: &str = "the rules of this server failed";

/// Which rules a request is to ask. A lookup asks where rules give entries a lifetime, too.
pub(super) fn asked(tenant: &Tenant) -> AskedRules {
    let save = tenant.rules.is_asked(Interface::Save);
    let has_lifetimes = tenant.rules.answers(Interface::Save);
    AskedRules { restore: has_lifetimes || tenant.rules.is_asked(Interface::Restore), save }
}

/// Returns whether rules may have entries deleted at any age.
pub(super) fn may_delete_early(tenant: &Tenant) -> bool {
    tenant.rules.answers(Interface::Retention) || tenant.rules.answers(Interface::Save)
}

impl Host for State {
    fn judge_save(
        &mut self,
        request: Resource<IncomingRequest>,
        key: String,
        version: String,
        size_bytes: Option<u64>,
    ) -> wasmtime::Result<wit::Verdict> {
        if !self.tenant.rules.is_asked(Interface::Save) {
            return Ok(wit::Verdict::Accept(Vec::new()));
        }
        let context = self.table.get(&request)?.context.clone();
        let _in_request = context.record.scope.enter();
        let save = Save { key, version, size_kib: size_bytes.map(kib) };
        let caller = caller(&context)?;
        let verdict = judge_save(&self.tenant, &caller, &save);
        if let wit::Verdict::Refuse(reason) | wit::Verdict::RefuseQuietly(reason) = &verdict {
            self.tenant.trace.record(|| refused(&asked_of(&context, &caller), &save, reason));
        }
        Ok(verdict)
    }
}

fn judge_save(tenant: &Tenant, caller: &Caller, save: &Save) -> wit::Verdict {
    let refused = |reason: &str| tracing::info!(key = save.key, reason, "the rules refuse a save");
    match tenant.rules.judge_save(caller, save) {
        Ok(SaveVerdict::Default) => wit::Verdict::Accept(Vec::new()),
        Ok(SaveVerdict::Accept(terms)) => wit::Verdict::Accept(facts(terms)),
        Ok(SaveVerdict::Refuse(reason)) => {
            refused(&reason);
            wit::Verdict::Refuse(reason)
        }
        Ok(SaveVerdict::RefuseQuietly(reason)) => {
            refused(&reason);
            wit::Verdict::RefuseQuietly(reason)
        }
        Err(failure) => match tenant.rules_failures.save(&failure) {
            FailureChoice::Builtin => wit::Verdict::Accept(Vec::new()),
            FailureChoice::Refuse => wit::Verdict::Refuse(RULES_FAILED.to_owned()),
        },
    }
}

/// The terms of a save, as they are stored.
fn facts(Terms { lifetime_s, labels }: Terms) -> Facts {
    let lifetime = lifetime_s.map(|seconds| (LIFETIME.to_owned(), seconds.to_string()));
    let labels = labels.into_iter().map(|(name, value)| (format!("{LABEL}{name}"), value));
    labels.chain(lifetime).collect()
}

impl HostWithStore<State> for HasSelf<State> {
    async fn judge_hit(
        accessor: &Accessor<State, Self>,
        request: Resource<IncomingRequest>,
        entry: index::Entry,
    ) -> Result<wit::Hit, IndexCallError> {
        let context = accessor
            .with(|mut access| Ok::<_, wasmtime::Error>(access.get().table.get(&request)?.context.clone()))?;
        let (caller, entry) = (caller(&context)?, convert(entry)?);
        let tenant = tenant(accessor);
        let judged = async {
            let hit = judge(&tenant, &caller, &entry, context.received_ms).await?;
            if let wit::Hit::Skip(reason) = &hit {
                tenant.trace.record(|| skipped(&asked_of(&context, &caller), &entry, reason));
            }
            Ok::<_, IndexError>(hit)
        };
        pin!(judged).for_request(accessor, "rules.judge_hit").await
    }

    async fn explain_hit(
        accessor: &Accessor<State, Self>,
        scopes: Vec<auth::Scope>,
        entry: index::Entry,
    ) -> Result<wit::Hit, IndexCallError> {
        let scope = |auth::Scope { name, read, write }| larder_rules::Scope { name, read, write };
        let entry = convert(entry)?;
        let caller = Caller {
            repository: entry.slot.repository.clone(),
            scopes: scopes.into_iter().map(scope).collect(),
            ..Caller::default()
        };
        let tenant = tenant(accessor);
        let judged = judge(&tenant, &caller, &entry, tenant.clock.now_ms());
        pin!(judged).for_request(accessor, "rules.explain_hit").await
    }
}

/// Asks about an entry, once it is known what is stored about its save. An entry that was deleted
/// meanwhile is accepted: it is not served anyway.
async fn judge(tenant: &Tenant, caller: &Caller, entry: &Entry, now_ms: u64) -> Result<wit::Hit, IndexError> {
    let details = tenant.index.entry_details(&[entry.id]).await?.pop();
    Ok(details.map_or(wit::Hit::Accept, |details| judge_hit(tenant, caller, entry, &details, now_ms)))
}

fn judge_hit(
    tenant: &Tenant,
    caller: &Caller,
    entry: &Entry,
    details: &EntryDetails,
    now_ms: u64,
) -> wit::Hit {
    if is_past_lifetime(entry, details, now_ms) {
        return wit::Hit::Expired;
    }
    if !tenant.rules.is_asked(Interface::Restore) {
        return wit::Hit::Accept;
    }
    match tenant.rules.judge_hit(caller, &seen_by_rules(entry, details, now_ms)) {
        Ok(Hit::Accept) => wit::Hit::Accept,
        Ok(Hit::Skip(reason)) => wit::Hit::Skip(reason),
        Err(failure) => match tenant.rules_failures.restore(&failure) {
            FailureChoice::Builtin => wit::Hit::Accept,
            FailureChoice::Refuse => wit::Hit::Skip(RULES_FAILED.to_owned()),
        },
    }
}

/// Who makes a request, as rules see it.
fn caller(context: &RequestContext) -> wasmtime::Result<Caller> {
    let claims = context.record.claims();
    let claims = claims.ok_or_else(|| wasmtime::format_err!("the rules are asked before the token"))?;
    let agent = context.head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    let product = agent.and_then(|agent| agent.split_whitespace().next()).unwrap_or_default();
    Ok(Caller { client: product.to_owned(), ..rules_caller(claims) })
}

/// The same for the trace.
fn asked_of<'a>(context: &'a RequestContext, caller: &'a Caller) -> Asked<'a> {
    Asked { request: context.record.id(), at_ms: context.received_ms, caller }
}

fn convert(entry: index::Entry) -> wasmtime::Result<Entry> {
    let index::Entry { id, slot, object, size_bytes, created_ms, last_used_ms, owner } = entry;
    let index::Slot { repository, scope, version, key } = slot;
    let slot = Slot { repository, scope, version, key };
    let (id, object) = (EntryId(id), object_name(object)?);
    Ok(Entry { id, slot, object, size_bytes, created_ms, last_used_ms, owner })
}

fn kib(bytes: u64) -> u32 {
    number(bytes.div_ceil(1024))
}
