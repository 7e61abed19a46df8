//! The management API of the known server: its routes, its fields, its errors. Two things are
//! different on purpose: `repoId` is honoured by the deletion of many, which without any filter is refused
//! unless `all=true`.

use std::sync::Arc;

use axum::{
    Json, Router,
    http::StatusCode,
    response::Redirect,
    routing::{get, post},
};
use larder_index::{
    Entry, EntryOrder, MatchKind,
    catalogue::{EntryFilter, count},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    access::{Deleter, Reader, Session},
    app::App,
    falcon_rpc,
    params::{Names, Query, parse_id},
    problem::Problem,
};

const DEFAULT_PAGE: usize = 20;
const MAX_PAGE: usize = 100;

/// An entry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheEntry {
    id: String,
    key: String,
    version: String,
    scope: String,
    repo_id: String,
    updated_at: u64,
    location_id: String,
}

impl From<Entry> for CacheEntry {
    fn from(entry: Entry) -> Self {
        let slot = entry.slot;
        Self {
            id: entry.id.0.to_string(),
            key: slot.key,
            version: slot.version,
            scope: slot.scope,
            repo_id: slot.repository,
            updated_at: entry.created_ms,
            // One object for each entry: the location has the entry's number.
            location_id: entry.id.0.to_string(),
        }
    }
}

/// What may be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Filter {
    pub(crate) key: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) repo_id: Option<String>,
    items_per_page: Option<usize>,
    page: Option<usize>,
    /// Only for deletion.
    #[serde(default)]
    all: bool,
    /// Read by [`Session`].
    #[serde(rename = "tenant")]
    _tenant: Option<String>,
}

impl Filter {
    fn selection(&self) -> EntryFilter {
        EntryFilter {
            repository: self.repo_id.clone(),
            scope: self.scope.clone(),
            version: self.version.clone(),
            key: self.key.clone(),
            key_prefix: None,
            never_used: false,
        }
    }
}

/// A lookup to be tried.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Match {
    primary_key: String,
    #[serde(default)]
    restore_keys: Vec<String>,
    scopes: Vec<String>,
    repo_id: String,
    version: String,
}

pub(crate) fn routes() -> Router<Arc<App>> {
    let many = || get(list).delete(delete_many);
    Router::new()
        .route("/cache-entries", many())
        .route("/cache-entries/", many())
        .route("/cache-entries/match", get(matching))
        .route("/cache-entries/{id}", get(entry).delete(delete))
        .route("/storage-locations/{id}", get(location).delete(delete_location))
        .route("/_docs", get(documentation))
        .route("/_docs/spec.json", get(documentation))
        .route("/_rpc/{router}/{procedure}", post(falcon_rpc::call))
}

/// This server's own description.
async fn documentation() -> Redirect {
    Redirect::temporary("/api/v1/openapi.json")
}

async fn list(Reader(session): Reader, Query(filter): Query<Filter>) -> Result<Json<Value>, Problem> {
    find_many(&session, &filter).await.map(Json)
}

pub(crate) async fn find_many(session: &Session, filter: &Filter) -> Result<Value, Problem> {
    let (size, page) = (filter.items_per_page.unwrap_or(DEFAULT_PAGE), filter.page.unwrap_or(1));
    if !(1..=MAX_PAGE).contains(&size) || page == 0 {
        return Err(Problem::bad_request("itemsPerPage is from 1 to 100, and page from 1"));
    }
    let selection = filter.selection();
    let total = count(session.tenant.index(), &selection).await?;
    let newest_first = (EntryOrder::Created, true);
    let items: Vec<CacheEntry> = session
        .numbered_page(&selection, newest_first, page - 1, size)
        .await?
        .into_iter()
        .map(CacheEntry::from)
        .collect();
    Ok(json!({ "total": total, "items": items }))
}

async fn entry(Reader(session): Reader, names: Names) -> Result<Json<Value>, Problem> {
    find(&session, names.get("id")).await.map(Json)
}

pub(crate) async fn find(session: &Session, id: &str) -> Result<Value, Problem> {
    let id = parse_id(id).ok_or_else(|| Problem::not_found("Cache entry not found"))?;
    Ok(json!(CacheEntry::from(session.entry(id).await?)))
}

async fn matching(Reader(session): Reader, Query(asked): Query<Match>) -> Result<Json<Value>, Problem> {
    find_match(&session, asked).await.map(Json)
}

pub(crate) async fn find_match(session: &Session, asked: Match) -> Result<Value, Problem> {
    let Match { primary_key, restore_keys, scopes, repo_id, version } = asked;
    let keys: Vec<String> = std::iter::once(primary_key).chain(restore_keys).collect();
    let found = session.match_keys((&repo_id, &version), &scopes, &keys).await?;
    Ok(found.map_or(Value::Null, |(entry, kind, number)| {
        let how = match (kind, number) {
            (MatchKind::Exact, 0) => "exact-primary",
            (MatchKind::Prefix, 0) => "prefixed-primary",
            (MatchKind::Exact, _) => "exact-restore",
            (MatchKind::Prefix, _) => "prefixed-restore",
        };
        json!({ "match": CacheEntry::from(entry), "type": how })
    }))
}

async fn delete(Deleter(session): Deleter, names: Names) -> Result<StatusCode, Problem> {
    delete_one(&session, names.get("id")).await?;
    Ok(StatusCode::OK)
}

/// An unknown entry is deleted already.
pub(crate) async fn delete_one(session: &Session, id: &str) -> Result<(), Problem> {
    let Some(id) = parse_id(id) else { return Ok(()) };
    match session.entry(id).await {
        Ok(entry) => session.delete(entry).await.map(drop),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => Ok(()),
        Err(problem) => Err(problem),
    }
}

async fn delete_many(Deleter(session): Deleter, Query(filter): Query<Filter>) -> Result<StatusCode, Problem> {
    delete_selected(&session, &filter).await?;
    Ok(StatusCode::OK)
}

pub(crate) async fn delete_selected(session: &Session, filter: &Filter) -> Result<(), Problem> {
    let selection = filter.selection();
    if selection.is_empty() && !filter.all {
        let message = "name key, version, scope or repoId; all=true deletes every entry";
        return Err(Problem::bad_request(message));
    }
    if filter.page.is_some() || filter.items_per_page.is_some() {
        return Err(Problem::bad_request("what is deleted has no pages"));
    }
    session.delete_all(selection).await.map(drop)
}

async fn location(Reader(session): Reader, names: Names) -> Result<Json<Value>, Problem> {
    find_location(&session, names.get("id")).await.map(Json)
}

pub(crate) async fn find_location(session: &Session, id: &str) -> Result<Value, Problem> {
    let missing = || Problem::not_found("Storage location not found");
    let id = parse_id(id).ok_or_else(missing)?;
    let entry = match session.entry(id).await {
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => return Err(missing()),
        found => found?,
    };
    let used = (entry.last_used_ms > entry.created_ms).then_some(entry.last_used_ms);
    Ok(json!({
        "id": entry.id.0.to_string(),
        "folderName": entry.object.to_string(),
        "partCount": 1,
        "mergeStartedAt": entry.created_ms,
        "mergedAt": entry.created_ms,
        "partsDeletedAt": entry.created_ms,
        "lastDownloadedAt": used,
        "sizeBytes": entry.size_bytes,
    }))
}

/// The entry goes with its content.
async fn delete_location(Deleter(session): Deleter, names: Names) -> Result<StatusCode, Problem> {
    delete_one(&session, names.get("id")).await?;
    Ok(StatusCode::OK)
}
