//! All surfaces in one router.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, header::HOST},
    middleware::{from_fn_with_state, map_response},
};
use tokio::sync::{Semaphore, watch};

use crate::{
    access::{MasterKey, authenticate},
    falcon, github, page,
    places::Places,
    problem,
    server::Server,
    v1,
};

/// Where the API was reached: scheme and authority, and a path if it is below one. In the extensions of a request, where
/// its listener knows.
#[derive(Clone, Debug)]
pub struct Origin(pub String);

impl Origin {
    /// What the `Host` of a request names.
    pub(crate) fn in_host(headers: &HeaderMap, is_tls: bool) -> Option<Self> {
        let host = headers.get(HOST)?.to_str().ok()?;
        let scheme = if is_tls { "https" } else { "http" };
        Some(Self(format!("{scheme}://{host}")))
    }
}

/// What every handler needs.
pub(crate) struct App {
    pub(crate) server: Arc<dyn Server>,
    pub(crate) master: Option<MasterKey>,
    /// Of streams of events.
    pub(crate) live: Places,
    /// Held by a request that brings a policy or rules: one body of that length in memory.
    pub(crate) uploads: Arc<Semaphore>,
    /// Changes when a key is revoked here.
    pub(crate) revoked: watch::Sender<()>,
}

/// Where the surfaces are.
const ROOTS: [&str; 5] = ["/management-api", "/api/v1", "/api/v3", "/repos", "/orgs"];

/// Returns whether a path is one of the management API's.
#[must_use]
pub fn is_management_path(path: &str) -> bool {
    ROOTS
        .iter()
        .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Returns all surfaces. `master`: the configured key; keys of the index count besides.
pub fn router(server: Arc<dyn Server>, master: Option<MasterKey>) -> Router {
    let uploads = Arc::new(Semaphore::new(1));
    let app =
        Arc::new(App { server, master, live: Places::default(), uploads, revoked: watch::Sender::default() });
    let needs_key = || from_fn_with_state(app.clone(), authenticate);
    let falcon =
        falcon::routes().fallback(nowhere).layer(needs_key()).layer(map_response(problem::render_falcon));
    let repos =
        || github::repos().fallback(nowhere).layer(needs_key()).layer(map_response(problem::render_github));
    let orgs =
        || github::orgs().fallback(nowhere).layer(needs_key()).layer(map_response(problem::render_github));
    let own = v1::routes()
        .fallback(nowhere)
        .layer(needs_key())
        .merge(v1::description())
        .layer(map_response(problem::render_own));
    Router::new()
        .nest("/management-api", falcon)
        .nest("/repos", repos())
        .nest("/api/v3/repos", repos())
        .nest("/orgs", orgs())
        .nest("/api/v3/orgs", orgs())
        .nest("/api/v1", own)
        .merge(page::routes())
        .fallback(nowhere)
        .layer(map_response(problem::render_own))
        .with_state(app)
}

async fn nowhere() -> problem::Problem {
    problem::Problem::not_found("there is no such route")
}
