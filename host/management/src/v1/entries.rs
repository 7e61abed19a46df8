//! Entries: lists, one of them, deletion, quarantine, and why a lookup misses.

use std::collections::BTreeMap;

use axum::{Json, http::StatusCode};
use larder_index::{
    Entry, EntryDetails, EntryId, EntryOrder, Trust,
    catalogue::{Browsed, EntryFilter, browse, count},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{TenantParam, failures};
use crate::{
    access::{Deleter, Reader, Session},
    audit::to_the_end,
    params::{Id, Query, parse_id},
    problem::Problem,
    server::ExplainQuery,
};

const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1_000;

/// An entry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryView {
    /// Its number.
    id: u64,
    /// The repository's id, as in tokens.
    repository: String,
    /// Its name, where a token has said it.
    repository_name: Option<String>,
    /// The scope: a git ref, usually.
    scope: String,
    /// The version that the client computes of paths and compression.
    version: String,
    /// The key.
    key: String,
    /// Length of the content in bytes.
    size_bytes: u64,
    /// When it was made, in milliseconds since 1970.
    created_ms: u64,
    /// When it was last used; `created_ms` if never.
    last_used_ms: u64,
    /// How often it was used; absent where that was not counted.
    uses: Option<u64>,
    /// How far its saver is trusted: `low` or `full`.
    trust: String,
    /// When it was put into quarantine; absent: it is not there.
    quarantined_ms: Option<u64>,
    /// What the token of its saver said; absent for entries of releases that did not store it.
    facts: Option<BTreeMap<String, String>>,
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryPage {
    /// The entries. May be empty also if more follows.
    entries: Vec<EntryView>,
    /// The cursor of the next page; absent: this is the last one.
    next: Option<String>,
    /// How many there are on all pages, if that was asked for.
    total: Option<u64>,
}

/// An order of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sort {
    /// By creation.
    #[default]
    CreatedAt,
    /// By last use.
    LastAccessedAt,
    /// By size.
    SizeInBytes,
}

/// A direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The smallest first.
    Asc,
    /// The largest first.
    #[default]
    Desc,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// The repository, by its id or as `owner/name`.
    repository: Option<String>,
    /// The scope, such as `refs/heads/main`.
    scope: Option<String>,
    /// The version.
    version: Option<String>,
    /// The key.
    key: Option<String>,
    /// How the key begins.
    key_prefix: Option<String>,
    /// Only those that were never used since they were made.
    #[serde(default)]
    #[param(required = false)]
    never_used: bool,
    /// What the entries are sorted by.
    #[serde(default)]
    #[param(inline, required = false)]
    sort: Sort,
    /// In which direction.
    #[serde(default)]
    #[param(inline, required = false)]
    order: Order,
    /// Where the page starts: `next` of the page before, with the same filter. Its order counts.
    #[param(pattern = "^(ca|cd|la|ld|sa|sd)-[0-9]{1,19}-[0-9]{1,19}$")]
    cursor: Option<String>,
    /// Most entries of the page, from 1 to 1,000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Whether to count how many there are on all pages.
    #[serde(default)]
    #[param(required = false)]
    total: bool,
    /// The tenant, for a key of all.
    #[serde(rename = "tenant")]
    #[param(rename = "tenant")]
    _tenant: Option<String>,
}

/// Which entries are deleted. Unknown parameters are refused: a misspelt one would delete more.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteParams {
    /// The repository, by its id or as `owner/name`.
    repository: Option<String>,
    /// The scope.
    scope: Option<String>,
    /// The version.
    version: Option<String>,
    /// The key.
    key: Option<String>,
    /// How the key begins.
    key_prefix: Option<String>,
    /// Needed to delete every entry of the tenant: without a filter the request is refused.
    #[serde(default)]
    #[param(required = false)]
    all: bool,
    /// Change nothing, and say what would be deleted.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
    /// The tenant, for a key of all.
    #[serde(rename = "tenant")]
    #[param(rename = "tenant")]
    _tenant: Option<String>,
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    /// Whether nothing was changed.
    dry_run: bool,
    /// How many entries.
    count: u64,
    /// Their bytes.
    bytes: u64,
    /// The first thousand of them.
    entries: Vec<EntryView>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainParams {
    /// The repository, by its id or as `owner/name`.
    repository: String,
    /// A ref that the job may restore from; its own first. Repeated for the others.
    #[serde(rename = "ref")]
    #[param(rename = "ref")]
    refs: Vec<String>,
    /// The key, then the restore keys in order.
    key: Vec<String>,
    /// The version; without it that of the newest entry with the key, or of one that comes near.
    version: Option<String>,
    /// The tenant, for a key of all.
    #[serde(rename = "tenant")]
    #[param(rename = "tenant")]
    _tenant: Option<String>,
}

impl Session {
    /// Returns the id of a repository that is asked for.
    pub(super) async fn required_repository(&self, name: Option<&str>) -> Result<String, Problem> {
        let name = name.ok_or_else(|| Problem::bad_request("repository is missing"))?;
        let id = self.repository_id(name).await?;
        id.ok_or_else(|| Problem::not_found("no repository of this name has saved anything here"))
    }

    /// The same, if one is asked for.
    pub(super) async fn optional_repository(&self, name: Option<&str>) -> Result<Option<String>, Problem> {
        match name {
            None => Ok(None),
            Some(_) => self.required_repository(name).await.map(Some),
        }
    }

    pub(super) async fn views(&self, entries: Vec<Entry>) -> Result<Vec<EntryView>, Problem> {
        let index = self.tenant.index();
        let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
        let details = index.entry_details(&ids).await?;
        let details: BTreeMap<EntryId, EntryDetails> =
            details.into_iter().map(|details| (details.id, details)).collect();
        let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut views = Vec::new();
        for entry in entries {
            let repository = entry.slot.repository.clone();
            if !names.contains_key(&repository) {
                let name = index.repository_name(&repository).await?;
                names.insert(repository.clone(), name);
            }
            let name = names.get(&repository).cloned().flatten();
            let details = details.get(&entry.id);
            views.push(view(entry, details, name));
        }
        Ok(views)
    }
}

fn view(entry: Entry, details: Option<&EntryDetails>, repository_name: Option<String>) -> EntryView {
    let Entry { id, slot, size_bytes, created_ms, last_used_ms, .. } = entry;
    let trust = Trust::of(details.and_then(|details| details.trust), &slot.scope);
    let facts = details.and_then(|details| details.facts.as_ref());
    let facts = facts.map(|facts| {
        facts.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    });
    EntryView {
        id: id.0,
        repository: slot.repository,
        repository_name,
        scope: slot.scope,
        version: slot.version,
        key: slot.key,
        size_bytes,
        created_ms,
        last_used_ms,
        uses: details.and_then(|details| details.uses),
        trust: trust.word().to_owned(),
        quarantined_ms: details.and_then(|details| details.quarantined_ms),
        facts,
    }
}

/// A cursor: the order that it is of, and a place in it.
fn cursor(order: (EntryOrder, bool), (value, id): (u64, EntryId)) -> String {
    format!("{}-{value}-{}", order_name(order), id.0)
}

/// The orders, by their names in a cursor.
const ORDERS: [(&str, (EntryOrder, bool)); 6] = [
    ("ca", (EntryOrder::Created, false)),
    ("cd", (EntryOrder::Created, true)),
    ("la", (EntryOrder::LastUsed, false)),
    ("ld", (EntryOrder::LastUsed, true)),
    ("sa", (EntryOrder::Size, false)),
    ("sd", (EntryOrder::Size, true)),
];

fn order_name(order: (EntryOrder, bool)) -> &'static str {
    ORDERS.iter().find(|(_, known)| *known == order).map_or("cd", |(name, _)| name)
}

/// An order, and a place in it.
type Place = ((EntryOrder, bool), (u64, EntryId));

fn read_cursor(text: &str) -> Result<Place, Problem> {
    let mut parts = text.split('-');
    let parsed = (|| {
        let name = parts.next()?;
        let order = ORDERS.iter().find(|(known, _)| *known == name)?.1;
        let (value, id) = (parts.next()?.parse().ok()?, parse_id(parts.next()?)?);
        parts.next().is_none().then_some((order, (value, id)))
    })();
    parsed.ok_or_else(|| Problem::bad_request("the cursor is none that this server has made"))
}

/// Entries that a filter selects, in any order, in pages. The cost of a page does not depend on how many
/// entries there are; `total` counts them.
#[utoipa::path(get, path = "/entries", params(ListParams), tag = "entries", operation_id = "list_entries",
    responses((status = 200, body = EntryPage), failures::Tenant))]
pub(crate) async fn list(
    Reader(session): Reader,
    Query(params): Query<ListParams>,
) -> Result<Json<EntryPage>, Problem> {
    let limit = params.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request("limit is from 1 to 1000"));
    }
    let order = match params.sort {
        Sort::CreatedAt => EntryOrder::Created,
        Sort::LastAccessedAt => EntryOrder::LastUsed,
        Sort::SizeInBytes => EntryOrder::Size,
    };
    let order = (order, params.order == Order::Desc);
    let filter = EntryFilter {
        repository: session.optional_repository(params.repository.as_deref()).await?,
        scope: params.scope,
        version: params.version,
        key: params.key,
        key_prefix: params.key_prefix,
        never_used: params.never_used,
    };
    let cursor_given = params.cursor.as_deref().map(read_cursor).transpose()?;
    let (order, after) = cursor_given.map_or((order, None), |(order, place)| (order, Some(place)));
    let limit = usize::try_from(limit).unwrap_or_default();
    let index = session.tenant.index();
    let Browsed { entries, next } = browse(index, &filter, order, after, limit).await?;
    let total = if params.total { Some(count(index, &filter).await?) } else { None };
    let next = next.map(|place| cursor(order, place));
    Ok(Json(EntryPage { entries: session.views(entries).await?, next, total }))
}

/// Delete the entries that a filter selects.
#[utoipa::path(delete, path = "/entries", params(DeleteParams), tag = "entries", operation_id = "delete_entries",
    responses((status = 200, body = Deleted), failures::Tenant))]
pub(crate) async fn delete_many(
    Deleter(session): Deleter,
    Query(params): Query<DeleteParams>,
) -> Result<Json<Deleted>, Problem> {
    let filter = EntryFilter {
        repository: session.optional_repository(params.repository.as_deref()).await?,
        scope: params.scope,
        version: params.version,
        key: params.key,
        key_prefix: params.key_prefix,
        never_used: false,
    };
    if filter.is_empty() && !params.all {
        return Err(Problem::bad_request("a filter is needed; all=true deletes every entry"));
    }
    let mut entries =
        if params.dry_run { session.all(&filter).await? } else { session.delete_all(filter).await? };
    let (count, bytes) = (entries.len() as u64, entries.iter().map(|entry| entry.size_bytes).sum());
    entries.truncate(usize::try_from(MAX_PAGE).unwrap_or_default());
    let entries = session.views(entries).await?;
    Ok(Json(Deleted { dry_run: params.dry_run, count, bytes, entries }))
}

/// An entry.
#[utoipa::path(get, path = "/entries/{id}", params(("id" = u64, Path, description = "The entry"), TenantParam),
    tag = "entries", operation_id = "get_entry", responses((status = 200, body = EntryView), failures::Tenant))]
pub(crate) async fn get(Reader(session): Reader, Id(id): Id) -> Result<Json<EntryView>, Problem> {
    let entry = session.entry(id).await?;
    let view = session.views(vec![entry]).await?.pop();
    view.map(Json).ok_or_else(|| Problem::not_found("Cache entry not found"))
}

/// Delete an entry with its content.
#[utoipa::path(delete, path = "/entries/{id}", params(("id" = u64, Path, description = "The entry"), TenantParam),
    tag = "entries", operation_id = "delete_entry",
    responses((status = 204, description = "Deleted"), failures::Tenant))]
pub(crate) async fn delete(Deleter(session): Deleter, Id(id): Id) -> Result<StatusCode, Problem> {
    let entry = session.entry(id).await?;
    if session.delete(entry).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found("Cache entry not found"))
}

/// Hold an entry back: it is not restored, and keeps its key.
#[utoipa::path(post, path = "/entries/{id}/quarantine", tag = "entries", operation_id = "quarantine_entry",
    params(("id" = u64, Path, description = "The entry"), TenantParam),
    responses((status = 204, description = "It is in quarantine"), failures::Tenant))]
pub(crate) async fn quarantine(Deleter(session): Deleter, Id(id): Id) -> Result<StatusCode, Problem> {
    let now_ms = session.server().now_ms();
    set_quarantined(session, id, Some(now_ms), "quarantine").await
}

/// Restore an entry in quarantine again.
#[utoipa::path(delete, path = "/entries/{id}/quarantine", tag = "entries", operation_id = "release_entry",
    params(("id" = u64, Path, description = "The entry"), TenantParam),
    responses((status = 204, description = "It is not in quarantine"), failures::Tenant))]
pub(crate) async fn release(Deleter(session): Deleter, Id(id): Id) -> Result<StatusCode, Problem> {
    set_quarantined(session, id, None, "release").await
}

async fn set_quarantined(
    session: Session,
    id: EntryId,
    at_ms: Option<u64>,
    action: &'static str,
) -> Result<StatusCode, Problem> {
    session.entry(id).await?;
    to_the_end(async move {
        let changed = session.tenant.index().set_quarantined(&[id], at_ms).await?;
        if changed > 0 {
            session.log(action, &format!("entry {}", id.0), 1);
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Why a lookup finds what it finds: each attempt at a match, what came near, and the cause of a miss.
#[utoipa::path(get, path = "/explain", params(ExplainParams), tag = "entries",
    responses((status = 200, body = Object), failures::Tenant))]
pub(crate) async fn explain(
    Reader(session): Reader,
    Query(params): Query<ExplainParams>,
) -> Result<Json<Value>, Problem> {
    if params.key.is_empty() || params.refs.is_empty() {
        return Err(Problem::bad_request("key and ref are needed"));
    }
    let repository = session.required_repository(Some(&params.repository)).await?;
    let query = ExplainQuery {
        repository: repository.clone(),
        scopes: params.refs,
        version: params.version,
        keys: params.key,
    };
    let mut explained = session.tenant.explain(query).await?;
    if let Some(members) = explained.as_object_mut() {
        members.insert("repository".to_owned(), Value::String(repository));
    }
    Ok(Json(explained))
}
