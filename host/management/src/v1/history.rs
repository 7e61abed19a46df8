//! What jobs found, restored and saved, and what a larger cache would have found.

use std::collections::HashMap;

use axum::{Json, response::IntoResponse};
use http::header;
use larder_index::catalogue::{GHOST_BYTES, HOUR_MS, HistoryBy, HistoryCounts, HistoryKind, HistoryQuery};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{failures, summary};
use crate::{
    access::{Reader, Session},
    params::Query,
    problem::Problem,
};

const DEFAULT_HOURS: u32 = 24;
/// Most hours that are asked for at once: three months.
const MAX_HOURS: u32 = 2_208;
const DEFAULT_ROWS: u32 = 1_000;
const MAX_ROWS: u32 = 10_000;
/// The windows of savings, in hours: a day, a week and thirty days.
const WINDOWS: [u32; 3] = [24, 7 * 24, 30 * 24];
/// Most rows of each list of savings.
const TOP: usize = 10;

/// What rows are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RowsOf {
    /// Hours, the latest first.
    #[default]
    Hour,
    /// Repositories, those with most hits first.
    Repository,
    /// Tools of repositories, those with most hits first.
    Tool,
    /// Workflows of repositories, those with most hits first.
    Workflow,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// What rows are of.
    #[serde(default)]
    #[param(inline, required = false)]
    by: RowsOf,
    /// How many hours, the present one included, from 1 to 2,208; 24 by default.
    #[param(minimum = 1, maximum = 2208)]
    hours: Option<u32>,
    /// Of one repository, by its id or as `owner/name`.
    repository: Option<String>,
    /// Most rows, from 1 to 10,000; 1,000 by default.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u32>,
    /// The tenant, for a key of all.
    #[serde(rename = "tenant")]
    #[param(rename = "tenant")]
    _tenant: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SavingsParams {
    /// Of one repository, by its id or as `owner/name`.
    repository: Option<String>,
    /// The tenant, for a key of all.
    #[serde(rename = "tenant")]
    #[param(rename = "tenant")]
    _tenant: Option<String>,
}

/// What was counted.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// Look-ups.
    pub(super) lookups: u64,
    /// Look-ups that found an entry.
    pub(super) hits: u64,
    /// Look-ups that found none.
    pub(super) misses: u64,
    /// Look-ups whose entry had lost its content.
    pub(super) stale: u64,
    /// Hits of all look-ups, from 0 to 1; absent: there were none.
    pub(super) hit_ratio: Option<f64>,
    /// Bytes that were restored from here, and not over the network.
    pub(super) served_bytes: u64,
    /// Bytes of entries that were saved.
    pub(super) saved_bytes: u64,
    /// Bytes of entries that were deleted to make room.
    pub(super) evicted_bytes: u64,
}

impl From<&HistoryCounts> for Counts {
    fn from(counts: &HistoryCounts) -> Self {
        let lookups = counts.lookups();
        Self {
            lookups,
            hits: counts.hits,
            misses: counts.misses,
            stale: counts.stale,
            hit_ratio: ratio(counts.hits, lookups),
            served_bytes: counts.served_bytes,
            saved_bytes: counts.saved_bytes,
            evicted_bytes: counts.evicted_bytes,
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A row of history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryRow {
    /// When its hour began, where rows are hours.
    start_ms: Option<u64>,
    /// The repository's id, as in tokens.
    repository: Option<String>,
    /// The repository's name, where a token has said it.
    pub(super) repository_name: Option<String>,
    /// The tool or the workflow.
    pub(super) name: Option<String>,
    #[serde(flatten)]
    pub(super) counts: Counts,
}

impl HistoryRow {
    /// The repository for people.
    pub(super) fn repository(&self) -> &str {
        self.repository_name.as_deref().or(self.repository.as_deref()).unwrap_or_default()
    }
}

/// What jobs found, restored and saved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// When the first hour began.
    from_ms: u64,
    /// The server's time. What happened within the last minute may be missing.
    time_ms: u64,
    /// The rows. An hour in which nothing happened has none.
    rows: Vec<HistoryRow>,
}

/// What jobs found, restored and saved, by hour, repository, tool or workflow.
#[utoipa::path(get, path = "/history", params(HistoryParams), tag = "history",
    responses((status = 200, body = History), failures::Tenant))]
pub(crate) async fn history(
    Reader(session): Reader,
    Query(params): Query<HistoryParams>,
) -> Result<Json<History>, Problem> {
    let hours = within(params.hours.unwrap_or(DEFAULT_HOURS), MAX_HOURS, "hours is from 1 to 2208")?;
    let limit = within(params.limit.unwrap_or(DEFAULT_ROWS), MAX_ROWS, "limit is from 1 to 10000")?;
    let (by, kind) = match params.by {
        RowsOf::Hour => (HistoryBy::Hour, HistoryKind::Tool),
        RowsOf::Repository => (HistoryBy::Repository, HistoryKind::Tool),
        RowsOf::Tool => (HistoryBy::Name, HistoryKind::Tool),
        RowsOf::Workflow => (HistoryBy::Name, HistoryKind::Workflow),
    };
    let time_ms = session.server().now_ms();
    let from_hour = first_hour(time_ms, hours);
    let repository = session.optional_repository(params.repository.as_deref()).await?;
    let limit = usize::try_from(limit).unwrap_or_default();
    let query = HistoryQuery { kind, from_hour, repository, by, limit };
    let mut names = Names::default();
    let mut rows = Vec::new();
    for sum in session.tenant.index().sum_history(&query).await? {
        let has_repository = by != HistoryBy::Hour;
        rows.push(HistoryRow {
            start_ms: (by == HistoryBy::Hour).then(|| sum.hour * HOUR_MS),
            repository_name: names.of(&session, &sum.repository).await?,
            repository: has_repository.then_some(sum.repository),
            name: (by == HistoryBy::Name).then_some(sum.name),
            counts: Counts::from(&sum.counts),
        });
    }
    Ok(Json(History { from_ms: from_hour * HOUR_MS, time_ms, rows }))
}

fn within(number: u32, most: u32, why: &'static str) -> Result<u32, Problem> {
    if (1..=most).contains(&number) { Ok(number) } else { Err(Problem::bad_request(why)) }
}

fn first_hour(now_ms: u64, hours: u32) -> u64 {
    (now_ms / HOUR_MS + 1).saturating_sub(u64::from(hours))
}

/// Names of repositories, each read once.
#[derive(Default)]
struct Names(HashMap<String, Option<String>>);

impl Names {
    async fn of(&mut self, session: &Session, repository: &str) -> Result<Option<String>, Problem> {
        if repository.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.0.get(repository) {
            return Ok(known.clone());
        }
        let name = session.tenant.index().repository_name(repository).await?;
        self.0.insert(repository.to_owned(), name.clone());
        Ok(name)
    }
}

/// What more room would have found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WithMore {
    /// More room, in bytes.
    pub(super) more_bytes: u64,
    /// More hits: look-ups of what was evicted, and would still be there.
    pub(super) more_hits: u64,
    /// The hit ratio that it would have been.
    pub(super) hit_ratio: Option<f64>,
}

/// What was served from here in a window of time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Window {
    /// How long, in hours.
    pub(super) hours: u32,
    /// All of it.
    pub(super) total: Counts,
    /// What more room would have found, if entries had gone in the same order.
    pub(super) with_more: Vec<WithMore>,
    /// The ten repositories with most hits.
    pub(super) repositories: Vec<HistoryRow>,
    /// The ten tools of repositories with most hits.
    pub(super) tools: Vec<HistoryRow>,
    /// The ten workflows with most hits. A download counts for the workflow that last found its entry.
    pub(super) workflows: Vec<HistoryRow>,
}

/// What was served from here instead of the network.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Savings {
    /// The windows: a day, a week and thirty days.
    pub(super) windows: Vec<Window>,
}

/// What was served from here instead of the network, and what a larger cache would have found.
#[utoipa::path(get, path = "/savings", params(SavingsParams), tag = "history",
    responses((status = 200, body = Savings), failures::Tenant))]
pub(crate) async fn savings(
    Reader(session): Reader,
    Query(params): Query<SavingsParams>,
) -> Result<Json<Savings>, Problem> {
    saved(&session, params.repository.as_deref()).await.map(Json)
}

/// The same in Markdown: for the summary of a job.
#[utoipa::path(get, path = "/savings/summary", params(SavingsParams), tag = "history",
    responses((status = 200, body = String, content_type = "text/markdown"), failures::Tenant))]
pub(crate) async fn markdown(
    Reader(session): Reader,
    Query(params): Query<SavingsParams>,
) -> Result<impl IntoResponse, Problem> {
    let text = summary::of(&saved(&session, params.repository.as_deref()).await?);
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text))
}

async fn saved(session: &Session, repository: Option<&str>) -> Result<Savings, Problem> {
    let repository = session.optional_repository(repository).await?;
    let (now_ms, mut names, mut windows) = (session.server().now_ms(), Names::default(), Vec::new());
    for hours in WINDOWS {
        let repository = repository.clone();
        let (from_hour, limit) = (first_hour(now_ms, hours), MAX_ROWS as usize);
        let mut query =
            HistoryQuery { from_hour, repository, by: HistoryBy::Name, limit, ..HistoryQuery::default() };
        let index = session.tenant.index();
        let tools = index.sum_history(&query).await?;
        query.limit = TOP;
        query.kind = HistoryKind::Workflow;
        let workflows = index.sum_history(&query).await?;
        let mut total = HistoryCounts::default();
        let mut by_repository: HashMap<&str, HistoryCounts> = HashMap::new();
        for sum in &tools {
            total.add(&sum.counts);
            by_repository.entry(&sum.repository).or_default().add(&sum.counts);
        }
        let mut repositories: Vec<_> = by_repository.into_iter().collect();
        repositories.sort_by_key(|(id, counts)| (std::cmp::Reverse(counts.hits), *id));
        let repositories = repositories.into_iter().map(|(id, counts)| (id, None, counts));
        let named = |sum: &'_ larder_index::catalogue::HistorySum| {
            (sum.repository.clone(), Some(sum.name.clone()), sum.counts)
        };
        let tools: Vec<_> = tools.iter().take(TOP).map(named).collect();
        let workflows: Vec<_> = workflows.iter().map(named).collect();
        let repositories: Vec<_> =
            repositories.take(TOP).map(|(id, name, counts)| (id.to_owned(), name, counts)).collect();
        windows.push(Window {
            hours,
            with_more: with_more(&total),
            total: Counts::from(&total),
            repositories: rows(session, &mut names, repositories).await?,
            tools: rows(session, &mut names, tools).await?,
            workflows: rows(session, &mut names, workflows).await?,
        });
    }
    Ok(Savings { windows })
}

fn with_more(total: &HistoryCounts) -> Vec<WithMore> {
    let with = |(more_bytes, more_hits): (u64, u64)| WithMore {
        more_bytes,
        more_hits,
        hit_ratio: ratio(total.hits + more_hits, total.lookups()),
    };
    GHOST_BYTES.into_iter().zip(total.ghosts).map(with).collect()
}

async fn rows(
    session: &Session,
    names: &mut Names,
    sums: Vec<(String, Option<String>, HistoryCounts)>,
) -> Result<Vec<HistoryRow>, Problem> {
    let mut rows = Vec::new();
    for (repository, name, counts) in sums {
        let repository_name = names.of(session, &repository).await?;
        let (repository, counts) = (Some(repository), Counts::from(&counts));
        rows.push(HistoryRow { start_ms: None, repository, repository_name, name, counts });
    }
    Ok(rows)
}
