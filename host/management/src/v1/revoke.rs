//! Revocation: what a run, an actor or a ref has saved.

use axum::Json;
use larder_index::SavedBy;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{TenantParam, failures};
use crate::{
    access::{Deleter, Session},
    audit::to_the_end,
    params::{Json as Body, Names, Query},
    problem::Problem,
    server::{Action, Revocation},
};

/// What is revoked: what meets all conditions. At least one is needed besides the repository.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    /// The repository, by its id or as `owner/name`; absent: all.
    #[serde(default)]
    repository: Option<String>,
    /// The number of the run that saved it.
    #[serde(default)]
    run: Option<String>,
    /// Who started the run that saved it.
    #[serde(default)]
    actor: Option<String>,
    /// The whole ref of the job that saved it.
    #[serde(default, rename = "ref")]
    git_ref: Option<String>,
    /// The scope that it is in.
    #[serde(default)]
    scope: Option<String>,
    /// Made at this time or later, in milliseconds since 1970.
    #[serde(default)]
    from_ms: Option<u64>,
    /// Made at this time or earlier.
    #[serde(default)]
    to_ms: Option<u64>,
    /// What is done.
    action: Action,
    /// Change nothing, and say what would be changed.
    #[serde(default)]
    #[schema(required = false)]
    dry_run: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RevokeParams {
    /// The repository, by its id or as `owner/name`; absent: all.
    repository: Option<String>,
    /// Change nothing, and say what would be changed.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
    /// The tenant, for a key of all.
    #[serde(rename = "tenant")]
    #[param(rename = "tenant")]
    _tenant: Option<String>,
}

/// Delete what somebody saved, hold it back, or release it: entries and uploads in progress. Cancel the
/// run first: who still runs may save again.
#[utoipa::path(post, path = "/revocations", params(TenantParam), request_body = Revoke, tag = "revocation",
    responses((status = 200, body = Revocation), failures::Body))]
pub(crate) async fn revoke(
    Deleter(session): Deleter,
    Body(asked): Body<Revoke>,
) -> Result<Json<Revocation>, Problem> {
    let Revoke { repository, run, actor, git_ref, scope, from_ms, to_ms, action, dry_run } = asked;
    let fact = |name: &str, value: Option<String>| Some((name.to_owned(), value?));
    let by = SavedBy {
        repositories: session.repositories(repository.as_deref()).await?,
        scope,
        git_ref,
        facts: [fact("run_id", run), fact("actor", actor)].into_iter().flatten().collect(),
        from_ms,
        to_ms,
    };
    let has_condition = by != SavedBy { repositories: by.repositories.clone(), ..SavedBy::default() };
    if !has_condition {
        return Err(Problem::bad_request("run, actor, ref, scope, from_ms or to_ms is needed"));
    }
    session.revoke(by, action, dry_run).await
}

/// Delete what a run saved.
#[utoipa::path(delete, path = "/runs/{id}", tag = "revocation", operation_id = "revoke_run",
    params(("id" = String, Path, description = "The number of the run"), RevokeParams),
    responses((status = 200, body = Revocation), failures::Tenant))]
pub(crate) async fn run(
    Deleter(session): Deleter,
    names: Names,
    Query(params): Query<RevokeParams>,
) -> Result<Json<Revocation>, Problem> {
    session.revoke_fact(("run_id", names.get("id")), &params).await
}

/// Delete what the runs of an actor saved.
#[utoipa::path(delete, path = "/actors/{id}", tag = "revocation", operation_id = "revoke_actor",
    params(("id" = String, Path, description = "The actor's name"), RevokeParams),
    responses((status = 200, body = Revocation), failures::Tenant))]
pub(crate) async fn actor(
    Deleter(session): Deleter,
    names: Names,
    Query(params): Query<RevokeParams>,
) -> Result<Json<Revocation>, Problem> {
    session.revoke_fact(("actor", names.get("id")), &params).await
}

impl Session {
    /// Returns all ids that a repository has here: what is revoked is not to stay under another one.
    pub(super) async fn repositories(&self, name: Option<&str>) -> Result<Vec<String>, Problem> {
        let Some(name) = name else { return Ok(Vec::new()) };
        if !name.contains('/') {
            return Ok(vec![name.to_owned()]);
        }
        let known = self.tenant.index().find_repositories(name).await?;
        if known.is_empty() {
            return Err(Problem::not_found("no repository of this name has saved anything here"));
        }
        Ok(known)
    }

    async fn revoke_fact(
        &self,
        (name, value): (&str, &str),
        params: &RevokeParams,
    ) -> Result<Json<Revocation>, Problem> {
        let by = SavedBy {
            repositories: self.repositories(params.repository.as_deref()).await?,
            facts: vec![(name.to_owned(), value.to_owned())],
            ..SavedBy::default()
        };
        self.revoke(by, Action::Delete, params.dry_run).await
    }

    async fn revoke(&self, by: SavedBy, action: Action, dry_run: bool) -> Result<Json<Revocation>, Problem> {
        if dry_run {
            return Ok(Json(self.tenant.revoke(&by, action, true).await?));
        }
        let session = self.clone();
        to_the_end(async move {
            let word = match action {
                Action::Delete => "revoke",
                Action::Quarantine => "quarantine",
                Action::Release => "release",
            };
            let revoked = session.tenant.revoke(&by, action, false).await;
            // Nobody knows how much of one that broke off was done.
            let (count, broke_off) = match &revoked {
                Ok(done) => (done.entries.len() as u64 + done.uploads, ""),
                Err(_) => (0, ", broken off"),
            };
            if revoked.is_err() || count > 0 {
                session.log(word, &format!("{}{broke_off}", described(&by)), count);
            }
            Ok(Json(revoked?))
        })
        .await
    }
}

/// What was asked for, for the audit log.
fn described(by: &SavedBy) -> String {
    let facts = by.facts.iter().map(|(name, value)| format!("{name}={value}"));
    let places = [("ref", &by.git_ref), ("scope", &by.scope)];
    let places = places.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_deref()?)));
    let repositories = by.repositories.iter().map(|id| format!("repository={id}"));
    let times = [("from_ms", by.from_ms), ("to_ms", by.to_ms)];
    let times = times.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
    facts.chain(places).chain(repositories).chain(times).collect::<Vec<_>>().join(" ")
}
