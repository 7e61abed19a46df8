//! The request log: one line for each request, when the last of its bytes is gone.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use http::{HeaderMap, Method, header::USER_AGENT};

/// What there is to say of a request. Shared by all that handle it; written to the log when the last of them lets go.
pub struct RequestRecord {
    /// The request's id: a UUID in lower case.
    pub id: String,
    client: IpAddr,
    method: Method,
    path: String,
    agent: String,
    started: Instant,
    status: AtomicU16,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    complete: AtomicBool,
}

/// Longest path and user agent in the log, in bytes.
const MAX_TEXT_BYTES: usize = 256;

impl RequestRecord {
    /// Starts the record of a request of this client. The query is left out: it holds signatures.
    #[must_use]
    pub fn new(id: String, client: IpAddr, method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self {
            id,
            client,
            method: method.clone(),
            path: cut(path),
            agent: cut(agent),
            started: Instant::now(),
            status: AtomicU16::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            complete: AtomicBool::new(false),
        }
    }

    /// Notes the status of the answer, and whether it is complete without a body.
    pub fn answered(&self, status: u16, bodiless: bool) {
        self.status.store(status, Relaxed);
        self.complete.fetch_or(bodiless, Relaxed);
    }

    /// Notes bytes of the request's body.
    pub fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    /// Notes bytes of the answer's body.
    pub fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    /// Notes that the answer's body was handed over whole.
    pub fn completed(&self) {
        self.complete.store(true, Relaxed);
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        tracing::info!(
            target: "larder::request",
            id = self.id,
            client = %self.client,
            method = self.method.as_str(),
            path = self.path,
            status = *self.status.get_mut(),
            bytes_in = *self.bytes_in.get_mut(),
            bytes_out = *self.bytes_out.get_mut(),
            us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            cut_off = !*self.complete.get_mut(),
            agent = self.agent,
        );
    }
}
