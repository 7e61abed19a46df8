//! GitHub's REST routes for caches, so that its tools work unchanged. Repositories have the names that
//! tokens gave them.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::{FromRequestParts, OriginalUri},
    http::{HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use larder_index::{
    Area, Entry, EntryOrder, Within,
    catalogue::{EntryFilter, count},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    access::{Deleter, Reader, Session},
    app::{App, Origin},
    params::{Id, Names, Query},
    problem::Problem,
};

const DEFAULT_PAGE: usize = 30;
const MAX_PAGE: usize = 100;
/// What GitHub counts as a GB.
const GIB: u64 = 1 << 30;
/// Most repositories of an owner that are listed.
const MAX_REPOSITORIES: usize = 10_000;

/// An entry.
#[derive(Debug, Serialize)]
struct ActionsCache {
    id: u64,
    #[serde(rename = "ref")]
    git_ref: String,
    key: String,
    version: String,
    last_accessed_at: String,
    created_at: String,
    size_in_bytes: u64,
}

impl From<Entry> for ActionsCache {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id.0,
            git_ref: entry.slot.scope,
            key: entry.slot.key,
            version: entry.slot.version,
            last_accessed_at: time(entry.last_used_ms),
            created_at: time(entry.created_ms),
            size_in_bytes: entry.size_bytes,
        }
    }
}

fn time(ms: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    CreatedAt,
    #[default]
    LastAccessedAt,
    SizeInBytes,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Asc,
    #[default]
    Desc,
}

#[derive(Debug, Deserialize)]
struct ListParams {
    per_page: Option<usize>,
    page: Option<usize>,
    #[serde(default)]
    sort: Sort,
    #[serde(default)]
    direction: Direction,
    key: Option<String>,
    #[serde(rename = "ref")]
    git_ref: Option<String>,
}

impl ListParams {
    /// Returns the number of the page, from 1 on, and how many it has.
    fn page(&self) -> Result<(usize, usize), Problem> {
        let (page, size) = (self.page.unwrap_or(1), self.per_page.unwrap_or(DEFAULT_PAGE).min(MAX_PAGE));
        if size == 0 || page == 0 {
            return Err(Problem::bad_request("per_page is from 1 to 100, and page from 1"));
        }
        Ok((page, size))
    }
}

/// What is deleted. Unknown parameters are refused: a misspelt one would delete more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteParams {
    key: String,
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    #[serde(rename = "tenant")]
    _tenant: Option<String>,
}

/// Below `/repos` and `/api/v3/repos`.
pub(crate) fn repos() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{repo}/actions/caches", get(list).delete(delete_by_key))
        .route("/{owner}/{repo}/actions/caches/{id}", delete(delete_by_id))
        .route("/{owner}/{repo}/actions/cache/usage", get(usage))
        .route("/{owner}/{repo}/actions/cache/storage-limit", get(storage_limit).put(set_limit))
        .route("/{owner}/{repo}/actions/cache/retention-limit", get(retention_limit).put(set_limit))
}

/// Below `/orgs` and `/api/v3/orgs`.
pub(crate) fn orgs() -> Router<Arc<App>> {
    Router::new()
        .route("/{org}/actions/cache/usage", get(usage_of_owner))
        .route("/{org}/actions/cache/usage-by-repository", get(usage_by_repository))
}

impl Session {
    /// Returns the id of the repository in the path.
    async fn repository_in(&self, names: &Names) -> Result<String, Problem> {
        let id = self.repository_id(&full_name(names)).await?;
        id.ok_or_else(|| Problem::not_found("no such repository has saved anything here"))
    }
}

fn full_name(names: &Names) -> String {
    format!("{}/{}", names.get("owner"), names.get("repo"))
}

async fn list(
    Reader(session): Reader,
    names: Names,
    Query(params): Query<ListParams>,
    reached: Reached,
) -> Result<Response, Problem> {
    let (page, size) = params.page()?;
    let filter = EntryFilter {
        repository: Some(session.repository_in(&names).await?),
        scope: params.git_ref,
        key_prefix: params.key,
        ..EntryFilter::default()
    };
    let order = match params.sort {
        Sort::CreatedAt => EntryOrder::Created,
        Sort::LastAccessedAt => EntryOrder::LastUsed,
        Sort::SizeInBytes => EntryOrder::Size,
    };
    let descending = matches!(params.direction, Direction::Desc);
    let total = count(session.tenant.index(), &filter).await?;
    let caches = session.numbered_page(&filter, (order, descending), page - 1, size).await?;
    let caches: Vec<_> = caches.into_iter().map(ActionsCache::from).collect();
    let body = Json(json!({ "total_count": total, "actions_caches": caches }));
    Ok(reached.linked(body.into_response(), (page, size), total))
}

/// How a page was asked for, so that it leads to others.
struct Reached {
    origin: Option<Origin>,
    uri: Uri,
}

impl<S: Send + Sync> FromRequestParts<S> for Reached {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Origin>().cloned();
        let whole = parts.extensions.get::<OriginalUri>().map(|OriginalUri(uri)| uri.clone());
        let is_tls = parts.headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        // Else what the request says, which misleads only its sender.
        let origin = known.or_else(|| Origin::in_host(&parts.headers, is_tls));
        Ok(Self { origin, uri: whole.unwrap_or_else(|| parts.uri.clone()) })
    }
}

impl Reached {
    /// Adds the links to other pages, where there are any.
    fn linked(&self, mut response: Response, (page, size): (usize, usize), total: u64) -> Response {
        let last = usize::try_from(total).unwrap_or(usize::MAX).div_ceil(size).max(1);
        let links = self.origin.as_ref().and_then(|Origin(origin)| links(origin, &self.uri, page, last));
        if let Some(links) = links {
            response.headers_mut().insert(header::LINK, links);
        }
        response
    }
}

/// The links to other pages, as GitHub writes them.
fn links(origin: &str, uri: &Uri, page: usize, last: usize) -> Option<HeaderValue> {
    let others: Vec<(String, String)> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter(|(name, _)| name != "page")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let link = |number: usize, relation: &str| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&others).append_pair("page", &number.to_string());
        format!("<{origin}{}?{}>; rel=\"{relation}\"", uri.path(), query.finish())
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(link(page - 1, "prev"));
        links.push(link(1, "first"));
    }
    if page < last {
        links.push(link(page + 1, "next"));
        links.push(link(last, "last"));
    }
    if links.is_empty() { None } else { HeaderValue::from_str(&links.join(", ")).ok() }
}

async fn delete_by_key(
    Deleter(session): Deleter,
    names: Names,
    Query(params): Query<DeleteParams>,
) -> Result<Response, Problem> {
    let filter = EntryFilter {
        repository: Some(session.repository_in(&names).await?),
        scope: params.git_ref,
        key: Some(params.key),
        ..EntryFilter::default()
    };
    let deleted = session.delete_all(filter).await?;
    if deleted.is_empty() {
        return Err(Problem::not_found("no entry has this key"));
    }
    let (total, caches) = (deleted.len(), deleted.into_iter().map(ActionsCache::from));
    let caches: Vec<_> = caches.collect();
    Ok(Json(json!({ "total_count": total, "actions_caches": caches })).into_response())
}

async fn delete_by_id(Deleter(session): Deleter, names: Names, Id(id): Id) -> Result<StatusCode, Problem> {
    let repository = session.repository_in(&names).await?;
    let entry = session.entry(id).await?;
    let is_its = entry.slot.repository == repository;
    if is_its && session.delete(entry).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found("there is no such entry"))
}

/// What a repository has.
#[derive(Debug, Serialize)]
struct Usage {
    full_name: String,
    active_caches_size_in_bytes: u64,
    active_caches_count: u64,
}

impl Session {
    async fn usage_of(&self, full_name: String, repository: &str) -> Result<Usage, Problem> {
        let index = self.tenant.index();
        let (area, within) =
            (Area::Repository(repository.to_owned()), Within::Repository(repository.to_owned()));
        Ok(Usage {
            full_name,
            active_caches_size_in_bytes: index.usage_of(&area).await?,
            active_caches_count: index.count_entries(&within).await?,
        })
    }

    /// The repositories of an owner that have something, those with most first.
    async fn usage_of_all(&self, owner: &str) -> Result<Vec<Usage>, Problem> {
        let index = self.tenant.index();
        let mut found = Vec::new();
        for (area, _) in index.list_usage(&Area::Tenant, MAX_REPOSITORIES).await? {
            let Area::Repository(repository) = area else { continue };
            let Some(name) = index.repository_name(&repository).await? else { continue };
            let is_owners = name.split('/').next().is_some_and(|of| of.eq_ignore_ascii_case(owner));
            if is_owners {
                found.push(self.usage_of(name, &repository).await?);
            }
        }
        Ok(found)
    }
}

/// The most that a repository may have, in whole GB as GitHub counts them; without a member where nothing limits
/// it.
async fn storage_limit(Reader(session): Reader, names: Names) -> Result<Response, Problem> {
    let repository = session.repository_in(&names).await?;
    let bytes = session.tenant.repository_limit_bytes(&repository, &full_name(&names));
    let mut limit = serde_json::Map::new();
    if let Some(bytes) = bytes {
        limit.insert("max_cache_size_gb".to_owned(), (bytes / GIB).into());
    }
    Ok(Json(limit).into_response())
}

/// After how many days without use an entry is deleted, in the same way.
async fn retention_limit(Reader(session): Reader, names: Names) -> Result<Response, Problem> {
    session.repository_in(&names).await?;
    let mut limit = serde_json::Map::new();
    if let Some(days) = session.tenant.unused_days() {
        limit.insert("max_cache_retention_days".to_owned(), days.into());
    }
    Ok(Json(limit).into_response())
}

async fn set_limit(Deleter(_): Deleter) -> Problem {
    Problem::forbidden("limits are set in this server's configuration: capacity, and retention.unused_days")
}

async fn usage(Reader(session): Reader, names: Names) -> Result<Json<Usage>, Problem> {
    let repository = session.repository_in(&names).await?;
    session.usage_of(full_name(&names), &repository).await.map(Json)
}

async fn usage_of_owner(Reader(session): Reader, names: Names) -> Result<Response, Problem> {
    let all = session.usage_of_all(names.get("org")).await?;
    let bytes: u64 = all.iter().map(|usage| usage.active_caches_size_in_bytes).sum();
    let entries: u64 = all.iter().map(|usage| usage.active_caches_count).sum();
    let body = json!({ "total_active_caches_size_in_bytes": bytes, "total_active_caches_count": entries });
    Ok(Json(body).into_response())
}

async fn usage_by_repository(
    Reader(session): Reader,
    names: Names,
    Query(params): Query<ListParams>,
    reached: Reached,
) -> Result<Response, Problem> {
    let (page, size) = params.page()?;
    let all = session.usage_of_all(names.get("org")).await?;
    let shown: Vec<_> = all.iter().skip((page - 1).saturating_mul(size)).take(size).collect();
    let body = Json(json!({ "total_count": all.len(), "repository_cache_usages": shown }));
    Ok(reached.linked(body.into_response(), (page, size), all.len() as u64))
}
