//! What the tests of both drivers share: databases of their own in the servers of the test run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use super::Bounds;
use crate::{
    config::{DatabaseServer, Secret},
    index::{Index, conformance::Case},
};

/// Few connections, so that callers wait for each other, and long enough for a busy machine.
pub(super) const BOUNDS: Bounds = Bounds { connections: 6, call: Duration::from_secs(60) };

pub(super) fn server(url: &str) -> DatabaseServer {
    DatabaseServer { url: Some(Secret::new(url.to_owned())), ..DatabaseServer::default() }
}

/// The URL with another database in place of its own.
pub(super) fn with_database(url: &str, database: &str) -> String {
    let (before, _) = url.rsplit_once('/').unwrap();
    format!("{before}/{database}")
}

/// Runs what needs timers and sockets.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A case on an index.
pub(super) fn case(index: impl Index) -> Case {
    Case::new(Arc::new(index))
}

/// All the messages of an error, from the outermost to its cause.
pub(super) fn messages(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", messages(source)),
        None => error.to_string(),
    }
}
