//! The platform's jobs, each with a token of its own that means nothing to anybody else.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use axum::{Json, extract::State, http::StatusCode};
use larder::{Access, Authenticator, Scope, TokenError, facts::Facts};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// How long a job may run.
const JOB_LIFETIME_MS: u64 = 6 * 60 * 60 * 1000;
/// What every branch may restore from.
const DEFAULT_BRANCH: &str = "refs/heads/main";

/// The running jobs, by their tokens.
#[derive(Clone, Default)]
pub(crate) struct Jobs(Arc<Mutex<HashMap<String, Access>>>);

impl Jobs {
    /// Begins a job of a repository on a branch, and returns its token.
    fn begin(&self, repository: &str, branch: &str) -> String {
        let scope = |name: &str, write| Scope { name: name.to_owned(), read: true, write };
        let mut scopes = vec![scope(branch, true)];
        if branch != DEFAULT_BRANCH {
            scopes.push(scope(DEFAULT_BRANCH, false));
        }
        // Stored with what the job saves. A real platform knows more: run, workflow, actor.
        let facts = Facts::try_from(&[("ref", branch)][..]).unwrap_or_default();
        let access = Access {
            repository: repository.to_owned(),
            scopes,
            expires_ms: now_ms().saturating_add(JOB_LIFETIME_MS),
            facts,
        };
        let token = format!("job-{}", uuid::Uuid::new_v4());
        self.0.lock().insert(token.clone(), access);
        token
    }
}

#[async_trait]
impl Authenticator for Jobs {
    async fn authenticate(&self, token: &str) -> Result<Access, TokenError> {
        self.0.lock().get(token).cloned().ok_or(TokenError::BadSignature)
    }
}

/// `POST /jobs` with `{"repository": "…", "branch": "…"}` begins a job. A real platform would do
/// this in its scheduler.
pub(crate) async fn begin(State(jobs): State<Jobs>, Json(job): Json<Value>) -> (StatusCode, Json<Value>) {
    let (Some(repository), Some(branch)) = (job["repository"].as_str(), job["branch"].as_str()) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "a job has a repository and a branch" })));
    };
    (StatusCode::CREATED, Json(json!({ "token": jobs.begin(repository, branch) })))
}

/// `POST /jobs/end` with `{"token": "…"}` ends a job: its token is good for nothing from then on.
pub(crate) async fn end(State(jobs): State<Jobs>, Json(job): Json<Value>) -> StatusCode {
    let ended = job["token"].as_str().and_then(|token| jobs.0.lock().remove(token));
    if ended.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
