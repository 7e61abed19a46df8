//! Requests and decisions as they happen: lines of JSON that come until the listener stops, the key is revoked,
//! or the time is over.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::unfold;
use http::{header, request::Parts};
use larder_common::event::{Event, EventKind};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    select,
    sync::{
        broadcast::{
            Receiver,
            error::{RecvError, TryRecvError},
        },
        watch,
    },
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};
use utoipa::{IntoParams, ToSchema};

use super::{TenantParam, failures};
use crate::{
    access::{Caller, Reader, Session},
    app::App,
    listener::LongConnection,
    params::Query,
    places::Place,
    problem::Problem,
};

/// How often a line says that the stream is alive, and the key is looked up again: another process may have revoked it.
const ALIVE: Duration = Duration::from_secs(15);
/// Longest stream, and how long one is that does not say.
const MAX_SECONDS: u32 = 600;
/// Most events that are sent as one piece.
const BATCH: usize = 64;
/// The media type of lines of JSON.
const LINES: &str = "application/x-ndjson";

/// What an event of a stream is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RequestKind {
    /// An entry was looked up.
    Lookup,
    /// A slot was reserved.
    Reserve,
    /// Bytes were sent, or committed.
    Upload,
    /// An entry was made of an upload.
    Finalize,
    /// An entry was read.
    Download,
    /// Any other request.
    Other,
}

/// What the server decided by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DecisionKind {
    /// The rules refused a token.
    Deny,
    /// The rules passed over an entry.
    Skip,
    /// The rules refused a save.
    Refuse,
    /// An entry was deleted to make room.
    Evict,
    /// A sweep deleted an entry.
    Delete,
}

impl From<RequestKind> for EventKind {
    fn from(kind: RequestKind) -> Self {
        match kind {
            RequestKind::Lookup => Self::Lookup,
            RequestKind::Reserve => Self::Reserve,
            RequestKind::Upload => Self::Upload,
            RequestKind::Finalize => Self::Finalize,
            RequestKind::Download => Self::Download,
            RequestKind::Other => Self::Other,
        }
    }
}

impl From<DecisionKind> for EventKind {
    fn from(kind: DecisionKind) -> Self {
        match kind {
            DecisionKind::Deny => Self::Deny,
            DecisionKind::Skip => Self::Skip,
            DecisionKind::Refuse => Self::Refuse,
            DecisionKind::Evict => Self::Evict,
            DecisionKind::Delete => Self::Delete,
        }
    }
}

/// Which requests are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestsParams {
    /// Only these kinds; all, if none is given.
    #[serde(default)]
    kind: Vec<RequestKind>,
    /// Only this repository: `owner/name`, or its id.
    repository: Option<String>,
    /// How long, from 1 to 600 seconds; 600 if it is not given.
    #[param(minimum = 1, maximum = 600)]
    seconds: Option<u32>,
}

/// Which decisions are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DecisionsParams {
    /// Only these kinds; all, if none is given.
    #[serde(default)]
    kind: Vec<DecisionKind>,
    /// Only this repository: `owner/name`, or its id.
    repository: Option<String>,
    /// How long, from 1 to 600 seconds; 600 if it is not given.
    #[param(minimum = 1, maximum = 600)]
    seconds: Option<u32>,
}

/// Requests of jobs as they end: a line of JSON for each. A line with `alive_ms`, the server's time, comes at the
/// beginning and every 15 seconds; one with `lagged` says how many events are missing, because they were read too
/// slowly. Requests that begin before the first line may be missing. On the management listener alone.
#[utoipa::path(get, path = "/requests", params(RequestsParams, TenantParam), tag = "live",
    responses((status = 200, body = Object, content_type = "application/x-ndjson"), failures::Live))]
pub(crate) async fn requests(
    Reader(session): Reader,
    connection: Connection,
    Query(params): Query<RequestsParams>,
) -> Result<Response, Problem> {
    let kinds = params.kind.into_iter().map(EventKind::from).collect();
    let filter = Filter { decisions: false, kinds, repository: params.repository };
    stream(session, connection, filter, params.seconds).await
}

/// What the server decides by itself, as it does: tokens, entries and saves that the rules refuse, and entries that
/// are deleted to make room or by a sweep. The lines are as those of `requests`.
#[utoipa::path(get, path = "/decisions", params(DecisionsParams, TenantParam), tag = "live",
    responses((status = 200, body = Object, content_type = "application/x-ndjson"), failures::Live))]
pub(crate) async fn decisions(
    Reader(session): Reader,
    connection: Connection,
    Query(params): Query<DecisionsParams>,
) -> Result<Response, Problem> {
    let kinds = params.kind.into_iter().map(EventKind::from).collect();
    let filter = Filter { decisions: true, kinds, repository: params.repository };
    stream(session, connection, filter, params.seconds).await
}

/// The last failures.
#[derive(Serialize, ToSchema)]
pub(crate) struct Errors {
    /// Requests that failed, or were refused or denied, the latest first: as the lines of `requests`, and at most 50.
    #[schema(value_type = Vec<Object>)]
    errors: Vec<Event>,
}

/// The last requests of jobs that failed, or were refused or denied, since the server started.
#[utoipa::path(get, path = "/errors", params(TenantParam), tag = "live",
    responses((status = 200, body = Errors), failures::Tenant))]
pub(crate) async fn errors(Reader(session): Reader) -> Json<Errors> {
    Json(Errors { errors: session.tenant.failures() })
}

/// The connection of a request, where it may have a response without an end.
pub(crate) struct Connection(Option<LongConnection>);

impl FromRequestParts<Arc<App>> for Connection {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, Problem> {
        Ok(Self(parts.extensions.get::<LongConnection>().cloned()))
    }
}

/// Which events are shown.
struct Filter {
    decisions: bool,
    /// None: all.
    kinds: Vec<EventKind>,
    repository: Option<String>,
}

impl Filter {
    fn has(&self, event: &Event) -> bool {
        event.kind.is_decision() == self.decisions
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.repository.as_ref().is_none_or(|repository| *repository == event.repository)
    }
}

async fn stream(
    session: Session,
    Connection(connection): Connection,
    mut filter: Filter,
    seconds: Option<u32>,
) -> Result<Response, Problem> {
    let seconds = seconds.unwrap_or(MAX_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        return Err(Problem::bad_request("seconds is from 1 to 600"));
    }
    filter.repository = session.optional_repository(filter.repository.as_deref()).await?;
    let Some(connection) = connection else {
        return Err(Problem::unsupported("live events are on the management listener (management.listen)"));
    };
    let place = session.app.live.take(&session.caller.name).ok_or_else(|| {
        Problem::too_many("there are too many live streams, of this key or in all; close one")
    })?;
    let events = session.tenant.events()?;
    let mut beats = interval(ALIVE);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Session { app, caller, .. } = session;
    let until = Instant::now() + Duration::from_secs(u64::from(seconds));
    let stopping = connection.begin();
    let revoked = app.revoked.subscribe();
    let live = Live { app, caller, revoked, events, filter, beats, until, stopping, _place: place };
    let body = unfold(live, |mut live| async move {
        let piece = live.next().await?;
        Some((Ok::<_, Infallible>(piece), live))
    });
    Ok(([(header::CONTENT_TYPE, LINES)], Body::from_stream(body)).into_response())
}

/// A stream of events.
struct Live {
    app: Arc<App>,
    caller: Caller,
    revoked: watch::Receiver<()>,
    events: Receiver<Arc<Event>>,
    filter: Filter,
    beats: Interval,
    until: Instant,
    stopping: watch::Receiver<bool>,
    _place: Place,
}

impl Live {
    /// Returns the next lines; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let stopped = async { drop(self.stopping.wait_for(|stopped| *stopped).await) };
            let received = select! {
                biased;
                () = stopped => return None,
                () = sleep_until(self.until) => return None,
                _ = self.revoked.changed() => {
                    if self.app.still_has(&self.caller).await {
                        continue;
                    }
                    return None;
                }
                _ = self.beats.tick() => None,
                received = self.events.recv() => Some(received),
            };
            let mut lines = BytesMut::new();
            match received {
                None if self.app.still_has(&self.caller).await => {
                    put(&mut lines, &json!({ "alive_ms": self.app.server.now_ms() }));
                }
                // The key is revoked, or the tenant gone.
                None | Some(Err(RecvError::Closed)) => return None,
                Some(Err(RecvError::Lagged(missed))) => put(&mut lines, &json!({ "lagged": missed })),
                Some(Ok(event)) => self.put_all(&mut lines, &event),
            }
            if !lines.is_empty() {
                return Some(lines.freeze());
            }
        }
    }

    /// Adds an event, and those that wait behind it.
    fn put_all(&mut self, lines: &mut BytesMut, first: &Event) {
        self.put_event(lines, first);
        for _ in 1..BATCH {
            match self.events.try_recv() {
                Ok(event) => self.put_event(lines, &event),
                Err(TryRecvError::Lagged(missed)) => put(lines, &json!({ "lagged": missed })),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn put_event(&self, lines: &mut BytesMut, event: &Event) {
        if self.filter.has(event) {
            put(lines, event);
        }
    }
}

fn put(lines: &mut BytesMut, line: &impl Serialize) {
    // Into memory, of names and numbers: it cannot fail.
    if let Ok(line) = serde_json::to_vec(line) {
        lines.put_slice(&line);
        lines.put_u8(b'\n');
    }
}
