//! How much there is, and whose it is.

use axum::Json;
use larder_index::Area;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::failures;
use crate::{access::Reader, params::Query, problem::Problem};

const DEFAULT_PARTS: u32 = 100;
const MAX_PARTS: u32 = 1_000;

/// What sums are of.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    /// Repositories of the tenant.
    #[default]
    Repository,
    /// Scopes of a repository.
    Scope,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsParams {
    /// What sums are of.
    #[serde(default)]
    #[param(inline, required = false)]
    by: By,
    /// For scopes: the repository, by its id or as `owner/name`.
    repository: Option<String>,
    /// Most parts that are listed, from 1 to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The tenant, for a key of all.
    #[serde(rename = "tenant")]
    #[param(rename = "tenant")]
    _tenant: Option<String>,
}

/// How much there is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// Bytes of the whole.
    bytes: u64,
    /// Most bytes that may be stored; absent: any number.
    limit_bytes: Option<u64>,
    /// The parts with most bytes, most first.
    parts: Vec<Part>,
}

/// A part.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Part {
    /// The repository's id, as in tokens.
    repository: String,
    /// Its name, where a token has said it.
    name: Option<String>,
    /// The scope, where the parts are scopes.
    scope: Option<String>,
    /// Bytes that are counted in it.
    bytes: u64,
}

/// How much is stored, by repository or by scope.
#[utoipa::path(get, path = "/stats", params(StatsParams), tag = "entries",
    responses((status = 200, body = Stats), failures::Tenant))]
pub(crate) async fn stats(
    Reader(session): Reader,
    Query(params): Query<StatsParams>,
) -> Result<Json<Stats>, Problem> {
    let limit = params.limit.unwrap_or(DEFAULT_PARTS);
    if !(1..=MAX_PARTS).contains(&limit) {
        return Err(Problem::bad_request("limit is from 1 to 1000"));
    }
    let index = session.tenant.index();
    let whole = match params.by {
        By::Repository => Area::Tenant,
        By::Scope => Area::Repository(session.required_repository(params.repository.as_deref()).await?),
    };
    let mut parts = Vec::new();
    for (area, bytes) in index.list_usage(&whole, usize::try_from(limit).unwrap_or_default()).await? {
        let (repository, scope) = match area {
            Area::Repository(repository) => (repository, None),
            Area::Scope { repository, scope } => (repository, Some(scope)),
            Area::Tenant | Area::Server => continue,
        };
        let name = index.repository_name(&repository).await?;
        parts.push(Part { repository, name, scope, bytes });
    }
    let limit_bytes = session.tenant.limit_bytes();
    Ok(Json(Stats { bytes: index.usage_of(&whole).await?, limit_bytes, parts }))
}
