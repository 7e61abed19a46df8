//! A guest: the component as one thread sees it. Its instance is replaced when it breaks; calls come in through a channel.

use std::{sync::Arc, time::Duration};

use http::{StatusCode, request::Parts};
use tokio::sync::{mpsc, oneshot};

use super::{
    Policy,
    instance::{self, Ended},
};
use crate::{
    causes::chain,
    index::{Entry, EntryId, Upload, UploadId},
    interfaces::{
        handler::Attempt,
        retention::{selected_entries, selected_uploads},
        types::ReplayBody,
    },
    message::{ClientGone, Request, RequestBody, RequestRecord, Response, error_response, unavailable},
    retention::{Candidate, Roots},
    services::Services,
    throttle::Throttle,
};

/// How long a component that does not even start is left alone before the next attempt: at first, and after many failures.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a client is told when the component broke over its request.
const FAILED: &str = "the server's policy failed on this request";

/// The component broke (trapped, ran too long, answered nonsense) while it had this call.
#[derive(Debug, thiserror::Error)]
#[error("the policy component broke")]
pub struct GuestFailed;

/// A handle on this thread's instance. Dropping it lets the calls under way finish, then ends the instance.
pub struct Guest {
    calls: mpsc::UnboundedSender<Call>,
}

/// What can be asked of an instance. A call whose `reply` is dropped was inside a component that broke.
pub(super) enum Call {
    Handle {
        attempt: Attempt,
        reply: oneshot::Sender<Response>,
    },
    IsRepeatable {
        method: String,
        path: String,
        reply: oneshot::Sender<bool>,
    },
    SelectRoots {
        now_ms: u64,
        entries: Arc<[Entry]>,
        reply: oneshot::Sender<Vec<u64>>,
    },
    ReviewEntries {
        now_ms: u64,
        candidates: Arc<[Candidate]>,
        roots: Roots,
        reply: oneshot::Sender<Vec<u64>>,
    },
    ReviewUploads {
        now_ms: u64,
        uploads: Arc<[Upload]>,
        reply: oneshot::Sender<Vec<u64>>,
    },
}

impl Guest {
    /// Starts an instance on this thread. Must be called inside a `LocalSet`.
    pub(super) fn start(policy: Policy, services: Arc<Services>) -> Self {
        let (calls, inbox) = mpsc::unbounded_channel();
        tokio::task::spawn_local(supervise(policy, services, inbox));
        Self { calls }
    }

    /// Answers a request. What the component breaks over, but calls repeatable, is tried once more on a fresh instance; when
    /// that fails, too, the client gets a 404, which every client takes for a miss. All else gets a 503: clients repeat it.
    pub async fn handle(&self, request: Request) -> Response {
        let attempt = first(request);
        let again = Replay::of(&attempt);
        match self.attempt(attempt).await {
            Ok(response) => response,
            Err(GuestFailed) => self.repeat(again).await,
        }
    }

    async fn attempt(&self, attempt: Attempt) -> Result<Response, GuestFailed> {
        self.ask(|reply| Call::Handle { attempt, reply }).await
    }

    async fn repeat(&self, again: Replay) -> Response {
        let id = again.record.id.clone();
        let (method, path) = (again.head.method.to_string(), again.head.uri.path().to_owned());
        match self.ask(|reply| Call::IsRepeatable { method, path, reply }).await {
            Ok(true) => {}
            Ok(false) | Err(GuestFailed) => return unavailable(FAILED, &id),
        }
        let repeated = match again.attempt() {
            Some(attempt) => self.attempt(attempt).await,
            None => Err(GuestFailed),
        };
        repeated.unwrap_or_else(|GuestFailed| error_response(StatusCode::NOT_FOUND, "not_found", FAILED, &id))
    }

    /// Returns the entries that the component selects as roots (`retention.select-roots`).
    ///
    /// # Errors
    /// When the component breaks over it.
    pub async fn select_roots(
        &self,
        now_ms: u64,
        entries: Arc<[Entry]>,
    ) -> Result<Vec<EntryId>, GuestFailed> {
        let given = entries.clone();
        let selected = self.ask(|reply| Call::SelectRoots { now_ms, entries, reply }).await?;
        Ok(selected_entries(given.iter(), &selected))
    }

    /// Returns the entries that the component selects for deletion (`retention.review-entries`).
    ///
    /// # Errors
    /// When the component breaks over it.
    pub async fn review_entries(
        &self,
        now_ms: u64,
        candidates: Arc<[Candidate]>,
        roots: Roots,
    ) -> Result<Vec<EntryId>, GuestFailed> {
        let given = candidates.clone();
        let selected = self.ask(|reply| Call::ReviewEntries { now_ms, candidates, roots, reply }).await?;
        Ok(selected_entries(given.iter().map(|candidate| &candidate.entry), &selected))
    }

    /// Returns the uploads that the component selects for abandonment (`retention.review-uploads`).
    ///
    /// # Errors
    /// When the component breaks over it.
    pub async fn review_uploads(
        &self,
        now_ms: u64,
        uploads: Arc<[Upload]>,
    ) -> Result<Vec<UploadId>, GuestFailed> {
        let given = uploads.clone();
        let selected = self.ask(|reply| Call::ReviewUploads { now_ms, uploads, reply }).await?;
        Ok(selected_uploads(&given, &selected))
    }

    async fn ask<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, GuestFailed> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).map_err(|_| GuestFailed)?;
        answer.await.map_err(|_| GuestFailed)
    }
}

/// What is needed to make a request a second time.
struct Replay {
    origin: String,
    received_ms: u64,
    head: Arc<Parts>,
    record: Arc<RequestRecord>,
    client: ClientGone,
    kept: Arc<ReplayBody>,
    had_body: bool,
}

impl Replay {
    fn of(attempt: &Attempt) -> Self {
        Self {
            origin: attempt.origin.clone(),
            received_ms: attempt.received_ms,
            head: attempt.head.clone(),
            record: attempt.record.clone(),
            client: attempt.client.clone(),
            kept: attempt.kept.clone(),
            had_body: !http_body::Body::is_end_stream(&attempt.body),
        }
    }

    /// The request again, if its body was kept or it had none.
    fn attempt(self) -> Option<Attempt> {
        let Self { origin, received_ms, head, record, client, kept, had_body } = self;
        let body = kept.body.lock().take();
        if had_body && body.is_none() {
            return None;
        }
        let body = RequestBody::full(body.unwrap_or_default());
        Some(Attempt { origin, received_ms, head, body, record, client, kept })
    }
}

/// The first attempt at a request.
fn first(request: Request) -> Attempt {
    let Request { origin, received_ms, head, body, record, client, ticket } = request;
    Attempt { origin, received_ms, head, body, record, client, kept: ReplayBody::new(ticket) }
}

/// Keeps an instance running until no handle is left.
async fn supervise(policy: Policy, services: Arc<Services>, mut calls: mpsc::UnboundedReceiver<Call>) {
    let mut pause = FIRST_PAUSE;
    let warnings = Throttle::default();
    loop {
        match instance::run(&policy, &services, &mut calls).await {
            Ok(Ended::Closed) => return,
            Ok(Ended::Grown) => pause = FIRST_PAUSE,
            Err(instance::Fault::Broke(error)) => {
                pause = FIRST_PAUSE;
                tracing::error!(
                    error = chain(error.as_ref()),
                    "the policy component broke; a fresh instance takes over"
                );
            }
            Err(instance::Fault::NoStart(error)) => {
                if let Some(times) = warnings.due() {
                    let error = chain(error.as_ref());
                    tracing::error!(error, times, "the policy component does not start; requests get a 503");
                }
                if !refuse_for(pause, &mut calls).await {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Drops all calls that come in this time; returns whether more may come.
async fn refuse_for(pause: Duration, calls: &mut mpsc::UnboundedReceiver<Call>) -> bool {
    tokio::time::timeout(pause, async { while calls.recv().await.is_some() {} }).await.is_err()
}
