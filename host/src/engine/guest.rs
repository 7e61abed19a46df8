//! A guest: the component on one thread. Calls reach its instance through a channel; an instance
//! that fails is replaced.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use larder_common::causes::chain;
use larder_index::{Entry, EntryId, Upload, UploadId};
use larder_metrics::{Metrics, PolicyFault, PolicyResult};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Policy,
    deadline::RanTooLong,
    faults::Faults,
    instance::{self, Ended, InstanceFault, Shared, Work},
    instance_pool::InstancePool,
};
use crate::{
    explain::{Explanation, Query},
    interfaces::{
        bindings::exports::larder::cache::retention as wit,
        explain::Explained,
        retention::{chosen, selected_uploads, selection, tiers, verdicts},
    },
    log_throttle::Throttle,
    message::{Request, RequestBody, RequestContext, Response, error_response, unavailable},
    retention::{Candidate, RoomNeeded, Roots, Selection, Tier, Verdict},
    tenant::Tenant,
};

/// The pause before a component that does not start is tried again: after the first failure, and at
/// most. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest time for a decision about a request, or about a page of a sweep. A component that never
/// makes it must not hold up the sweeps of others.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// What the client reads when the component failed on its request.
const FAILED: &str = "the server's policy failed on this request";
/// What the client reads when there are too many instances.
const BUSY: &str = "the server is busy; try again";

/// The component failed during this call: it trapped, ran too long, or returned an invalid
/// response.
#[derive(Debug, thiserror::Error)]
#[error("the policy component failed")]
pub(crate) struct GuestFailed;

/// Why a lookup cannot be explained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExplainFault {
    #[error(transparent)]
    Guest(#[from] GuestFailed),
    /// The index failed. The text is for the operator.
    #[error("{0}")]
    Index(String),
}

/// A handle on this thread's instance. When it is dropped, the calls in flight finish, and the
/// instance ends.
pub(crate) struct Guest {
    calls: mpsc::UnboundedSender<Call>,
    metrics: Arc<Metrics>,
}

/// A call of an instance. Its `reply` is dropped when the component fails during the call.
pub(super) enum Call {
    Handle {
        request: Request,
        reply: oneshot::Sender<Response>,
    },
    /// Boxed: these are rare, and would make the call of every request larger.
    Question(Box<Question>),
}

/// A call that waits for no client.
pub(super) enum Question {
    IsRepeatable {
        method: String,
        path: String,
        reply: oneshot::Sender<bool>,
    },
    SelectEntries {
        now_ms: u64,
        entries: Arc<[Entry]>,
        reply: oneshot::Sender<wit::Selection>,
    },
    ReviewEntries {
        now_ms: u64,
        candidates: Arc<[Candidate]>,
        roots: Roots,
        reply: oneshot::Sender<Vec<wit::Verdict>>,
    },
    ReviewUploads {
        now_ms: u64,
        uploads: Arc<[Upload]>,
        reply: oneshot::Sender<Vec<u64>>,
    },
    RoomTiers {
        needed: RoomNeeded,
        reply: oneshot::Sender<Vec<wit::Tier>>,
    },
    MakeRoom {
        now_ms: u64,
        needed: RoomNeeded,
        candidates: Arc<[Candidate]>,
        reply: oneshot::Sender<Vec<u64>>,
    },
    Explain {
        now_ms: u64,
        query: Query,
        reply: oneshot::Sender<Explained>,
    },
}

impl Guest {
    /// Makes a guest, and the task that has to run on the thread of its instance, inside a
    /// `LocalSet`.
    pub(super) fn new(
        policy: Policy,
        tenant: Arc<Tenant>,
        pool: Option<Arc<InstancePool>>,
    ) -> (Self, GuestTask) {
        let (sender, calls) = mpsc::unbounded_channel();
        let metrics = tenant.metrics.clone();
        (Self { calls: sender, metrics }, GuestTask { policy, tenant, calls, pool })
    }

    /// Handles a request. When the component fails on it, and says that the request is repeatable,
    /// a second attempt is made on a fresh instance. When that fails, too, the response is a 404,
    /// which every client takes for a miss. Any other failure is a 503, which clients retry.
    pub(crate) async fn handle(&self, request: Request) -> Response {
        let replay = Replay::of(&request);
        match self.attempt(request).await {
            Ok(response) => response,
            // Boxed: it is rare, and would make every call's future larger.
            Err(GuestFailed) => Box::pin(self.replay(replay)).await,
        }
    }

    async fn attempt(&self, request: Request) -> Result<Response, GuestFailed> {
        self.call("handle", |reply| Call::Handle { request, reply }).await
    }

    async fn replay(&self, replay: Replay) -> Response {
        let context = replay.context.clone();
        let (method, path) = (context.head.method.to_string(), context.head.uri.path().to_owned());
        match self.question("is_repeatable", |reply| Question::IsRepeatable { method, path, reply }).await {
            Ok(true) => {}
            Ok(false) | Err(GuestFailed) => return unavailable(FAILED, context.record.id()),
        }
        let second = match replay.request() {
            Some(request) => self.attempt(request).await,
            None => Err(GuestFailed),
        };
        second.unwrap_or_else(|GuestFailed| {
            error_response(StatusCode::NOT_FOUND, "not_found", FAILED, context.record.id())
        })
    }

    /// Returns the roots and groups that the component selects (`retention.select-entries`).
    ///
    /// # Errors
    /// [`GuestFailed`] when the component fails.
    pub(crate) async fn select_entries(
        &self,
        now_ms: u64,
        entries: Arc<[Entry]>,
    ) -> Result<Selection, GuestFailed> {
        let given = entries.clone();
        let selected = self
            .question("select_entries", |reply| Question::SelectEntries { now_ms, entries, reply })
            .await?;
        Ok(selection(&given, selected))
    }

    /// Returns the entries that the component selects for deletion (`retention.review-entries`).
    ///
    /// # Errors
    /// [`GuestFailed`] when the component fails.
    pub(crate) async fn review_entries(
        &self,
        now_ms: u64,
        candidates: Arc<[Candidate]>,
        roots: Roots,
    ) -> Result<Vec<Verdict>, GuestFailed> {
        let given = candidates.clone();
        let doomed = self
            .question("review_entries", |reply| Question::ReviewEntries { now_ms, candidates, roots, reply })
            .await?;
        Ok(verdicts(&given, doomed))
    }

    /// Returns where the component looks for entries to make room (`retention.room-tiers`).
    ///
    /// # Errors
    /// [`GuestFailed`] when the component fails.
    pub(crate) async fn room_tiers(&self, needed: &RoomNeeded) -> Result<Vec<Tier>, GuestFailed> {
        let needed = needed.clone();
        Ok(tiers(self.question("room_tiers", |reply| Question::RoomTiers { needed, reply }).await?))
    }

    /// Returns which candidates the component lets go to make room, in the order of their deletion
    /// (`retention.make-room`).
    ///
    /// # Errors
    /// [`GuestFailed`] when the component fails.
    pub(crate) async fn make_room(
        &self,
        now_ms: u64,
        needed: &RoomNeeded,
        candidates: Arc<[Candidate]>,
    ) -> Result<Vec<EntryId>, GuestFailed> {
        let (given, needed) = (candidates.clone(), needed.clone());
        let ids = self
            .question("make_room", |reply| Question::MakeRoom { now_ms, needed, candidates, reply })
            .await?;
        Ok(chosen(&given, ids))
    }

    /// Has the component explain a lookup (`explain.explain`).
    ///
    /// # Errors
    /// [`ExplainFault`] when the component or the index fails.
    pub(crate) async fn explain(&self, now_ms: u64, query: Query) -> Result<Explanation, ExplainFault> {
        let explained = self.question("explain", |reply| Question::Explain { now_ms, query, reply }).await?;
        explained.map_err(ExplainFault::Index)
    }

    /// Returns the uploads that the component selects for abandonment (`retention.review-uploads`).
    ///
    /// # Errors
    /// [`GuestFailed`] when the component fails.
    pub(crate) async fn review_uploads(
        &self,
        now_ms: u64,
        uploads: Arc<[Upload]>,
    ) -> Result<Vec<UploadId>, GuestFailed> {
        let given = uploads.clone();
        let selected = self
            .question("review_uploads", |reply| Question::ReviewUploads { now_ms, uploads, reply })
            .await?;
        Ok(selected_uploads(&given, &selected))
    }

    /// Makes a first call, so that later ones find an instance.
    ///
    /// # Errors
    /// [`GuestFailed`] when the component does not start, or fails.
    pub(crate) async fn warm_up(&self) -> Result<(), GuestFailed> {
        let (method, path) = ("GET".to_owned(), "/".to_owned());
        self.question("is_repeatable", |reply| Question::IsRepeatable { method, path, reply }).await.map(drop)
    }

    /// Makes a call that waits for no client, so that it has to be answered in time.
    async fn question<T>(
        &self,
        name: &'static str,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, GuestFailed> {
        let call = |reply| Call::Question(Box::new(question(reply)));
        timeout(ANSWERED_WITHIN, self.call(name, call)).await.unwrap_or(Err(GuestFailed))
    }

    /// Makes a call, and counts it under this name.
    async fn call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce(oneshot::Sender<T>) -> Call,
    ) -> Result<T, GuestFailed> {
        let (reply, result) = oneshot::channel();
        let began = Instant::now();
        self.calls.send(call(reply)).map_err(|_| GuestFailed)?;
        let result = result.await.map_err(|_| GuestFailed);
        let counted = if result.is_ok() { PolicyResult::Ok } else { PolicyResult::Failed };
        self.metrics.count_policy_call(name, counted, began.elapsed());
        result
    }
}

/// How an instance failed, for the count.
fn fault_of(error: &wasmtime::Error) -> PolicyFault {
    if error.is::<RanTooLong>() {
        PolicyFault::Timeout
    } else if error.is::<wasmtime::Trap>() {
        PolicyFault::Trap
    } else {
        PolicyFault::Other
    }
}

/// What a second attempt at a request needs.
struct Replay {
    context: Arc<RequestContext>,
    had_body: bool,
}

impl Replay {
    fn of(request: &Request) -> Self {
        let had_body = !http_body::Body::is_end_stream(&request.body);
        Self { context: request.context.clone(), had_body }
    }

    /// Returns the request again; `None` if it had a body that was not kept.
    fn request(self) -> Option<Request> {
        let Self { context, had_body } = self;
        let body = context.replay_body.take();
        if had_body && body.is_none() {
            return None;
        }
        Some(Request { context, body: RequestBody::full(body.unwrap_or_default()) })
    }
}

/// What of a guest runs on its thread: its end of the channel.
pub(crate) struct GuestTask {
    policy: Policy,
    tenant: Arc<Tenant>,
    calls: mpsc::UnboundedReceiver<Call>,
    /// `None`: the instance is made at once, and stays.
    pool: Option<Arc<InstancePool>>,
}

impl GuestTask {
    /// Keeps an instance running until no handle is left. In a pool only while there are calls.
    pub(crate) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let warnings = Throttle::default();
        let mut faults = Faults::default();
        loop {
            match self.run_instance(&mut faults).await {
                Ok(Ended::Closed) => return,
                Ok(Ended::Grown | Ended::Idle) => pause = FIRST_PAUSE,
                Ok(Ended::Rests(rest)) => {
                    pause = FIRST_PAUSE;
                    if !refuse_for(rest, &mut self.calls).await {
                        return;
                    }
                }
                Err(InstanceFault::Failed(error)) => {
                    self.tenant.metrics.count_policy_fault(fault_of(&error));
                    pause = FIRST_PAUSE;
                    self.policy.faults.add();
                    tracing::error!(
                        error = chain(error.as_ref()),
                        "the policy component failed; starting a fresh instance"
                    );
                    let rest = if self.pool.is_some() { faults.count(Instant::now()) } else { None };
                    if let Some(rest) = rest
                        && !refuse_for(rest, &mut self.calls).await
                    {
                        return;
                    }
                }
                Err(InstanceFault::NoStart(error)) => {
                    self.policy.faults.add();
                    if let Some(times) = warnings.due() {
                        let error = chain(error.as_ref());
                        tracing::error!(
                            error,
                            times,
                            "the policy component does not start; requests get a 503"
                        );
                    }
                    if !refuse_for(pause, &mut self.calls).await {
                        return;
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn run_instance(&mut self, faults: &mut Faults) -> Result<Ended, InstanceFault> {
        let Self { policy, tenant, calls, pool } = self;
        let Some(pool) = pool else {
            return instance::run(policy, tenant, Work { first: None, calls, shared: None }).await;
        };
        let Some(first) = calls.recv().await else { return Ok(Ended::Closed) };
        let Some(mut place) = pool.take().await else {
            first.refuse_busy();
            // They waited as long.
            while let Ok(call) = calls.try_recv() {
                call.refuse_busy();
            }
            return Ok(Ended::Idle);
        };
        let shared = Some(Shared { place: &mut place, faults });
        let work = Work { first: Some(first), calls, shared };
        instance::run(policy, tenant, work).await
    }
}

impl Call {
    /// Responds that the server is busy, if it is a request.
    fn refuse_busy(self) {
        if let Self::Handle { request, reply } = self {
            let _ = reply.send(unavailable(BUSY, request.context.record.id()));
        }
    }
}

/// Drops all calls that arrive within `pause`; returns `false` when the channel is closed.
async fn refuse_for(pause: Duration, calls: &mut mpsc::UnboundedReceiver<Call>) -> bool {
    timeout(pause, async { while calls.recv().await.is_some() {} }).await.is_err()
}
