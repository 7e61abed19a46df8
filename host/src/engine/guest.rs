//! A guest: the component as one thread sees it. Its instance is replaced when it breaks; calls come in through a channel.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{Policy, instance};
use crate::{
    index::{Entry, EntryId, Upload, UploadId},
    interfaces::{
        retention::{self, Candidate, Witnesses},
        types::Kept,
    },
    message::{Answer, Presence, Request, refusal},
    services::Services,
};

/// How long a component that does not even start is left alone before the next attempt.
const RESTART_PAUSE: Duration = Duration::from_millis(250);

/// The component broke (trapped, ran too long, answered nonsense) while it had this call.
#[derive(Debug, thiserror::Error)]
#[error("the policy component broke")]
pub struct Broken;

/// A handle on this thread's instance. Dropping it lets the calls under way finish, then ends the instance.
pub struct Guest {
    calls: mpsc::UnboundedSender<Call>,
}

/// What can be asked of an instance. A call whose `reply` is dropped was inside a component that broke.
pub(super) enum Call {
    Handle {
        request: Request,
        kept: Kept,
        reply: oneshot::Sender<Answer>,
    },
    IsRepeatable {
        method: String,
        path: String,
        reply: oneshot::Sender<bool>,
    },
    SurveyEntries {
        now_ms: u64,
        entries: Arc<[Entry]>,
        reply: oneshot::Sender<Vec<u64>>,
    },
    ReviewEntries {
        now_ms: u64,
        candidates: Arc<[Candidate]>,
        witnesses: Witnesses,
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

    /// Answers a request. A component that breaks over it costs the client a 404, which every client takes for a miss; what
    /// the component calls repeatable is tried once more on a fresh instance.
    pub async fn handle(&self, request: Request) -> Answer {
        let kept = Kept::default();
        let (again, record) = (Again::of(&request), request.record.clone());
        match self.attempt(request, kept.clone()).await {
            Ok(answer) => answer,
            Err(Broken) => self.repeat(again, kept).await.unwrap_or_else(|Broken| broken_answer(&record.id)),
        }
    }

    async fn attempt(&self, request: Request, kept: Kept) -> Result<Answer, Broken> {
        self.ask(|reply| Call::Handle { request, kept, reply }).await
    }

    async fn repeat(&self, again: Again, kept: Kept) -> Result<Answer, Broken> {
        let body = kept.lock().take();
        let request = again.with_body(body).ok_or(Broken)?;
        let (method, path) = (request.head.method.to_string(), request.head.uri.path().to_owned());
        if self.ask(|reply| Call::IsRepeatable { method, path, reply }).await? {
            self.attempt(request, kept).await
        } else {
            Err(Broken)
        }
    }

    /// Returns which of the entries the component wants to see again when others are reviewed.
    ///
    /// # Errors
    /// When the component breaks over it.
    pub async fn survey_entries(&self, now_ms: u64, entries: Arc<[Entry]>) -> Result<Vec<EntryId>, Broken> {
        let given = entries.clone();
        let named = self.ask(|reply| Call::SurveyEntries { now_ms, entries, reply }).await?;
        Ok(retention::chosen_entries(given.iter(), &named))
    }

    /// Returns which of the entries the component wants deleted.
    ///
    /// # Errors
    /// When the component breaks over it.
    pub async fn review_entries(
        &self,
        now_ms: u64,
        candidates: Arc<[Candidate]>,
        witnesses: Witnesses,
    ) -> Result<Vec<EntryId>, Broken> {
        let given = candidates.clone();
        let named = self.ask(|reply| Call::ReviewEntries { now_ms, candidates, witnesses, reply }).await?;
        Ok(retention::chosen_entries(given.iter().map(|candidate| &candidate.entry), &named))
    }

    /// Returns which of the uploads the component wants abandoned.
    ///
    /// # Errors
    /// When the component breaks over it.
    pub async fn review_uploads(&self, now_ms: u64, uploads: Arc<[Upload]>) -> Result<Vec<UploadId>, Broken> {
        let given = uploads.clone();
        let named = self.ask(|reply| Call::ReviewUploads { now_ms, uploads, reply }).await?;
        Ok(retention::chosen_uploads(&given, &named))
    }

    async fn ask<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, Broken> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).map_err(|_| Broken)?;
        answer.await.map_err(|_| Broken)
    }
}

/// What is needed to make a request a second time.
struct Again {
    origin: String,
    received_ms: u64,
    head: Arc<http::request::Parts>,
    record: Arc<crate::message::RequestRecord>,
    client: Presence,
    had_body: bool,
}

impl Again {
    fn of(request: &Request) -> Self {
        Self {
            origin: request.origin.clone(),
            received_ms: request.received_ms,
            head: request.head.clone(),
            record: request.record.clone(),
            client: request.client.clone(),
            had_body: !http_body::Body::is_end_stream(&request.body),
        }
    }

    /// The request again, if its body was kept or it had none.
    fn with_body(self, kept: Option<bytes::Bytes>) -> Option<Request> {
        if self.had_body && kept.is_none() {
            return None;
        }
        let body = crate::message::RequestBody::full(kept.unwrap_or_default());
        let Self { origin, received_ms, head, record, client, had_body: _ } = self;
        Some(Request { origin, received_ms, head, body, record, client })
    }
}

/// What a client gets when the component broke over its request.
fn broken_answer(request_id: &str) -> Answer {
    refusal(
        http::StatusCode::NOT_FOUND,
        "not_found",
        "the server's policy failed on this request",
        request_id,
    )
}

/// Keeps an instance running until no handle is left.
async fn supervise(policy: Policy, services: Arc<Services>, mut calls: mpsc::UnboundedReceiver<Call>) {
    loop {
        match instance::run(&policy, &services, &mut calls).await {
            Ok(()) => return,
            Err(instance::Fault::Broke(error)) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the policy component broke; a fresh instance takes over"
                );
            }
            Err(instance::Fault::NoStart(error)) => {
                tracing::error!(error = format!("{error:#}"), "the policy component does not start");
                tokio::time::sleep(RESTART_PAUSE).await;
                while calls.try_recv().is_ok() {}
            }
        }
    }
}
