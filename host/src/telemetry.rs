//! Logs: where they go, in what form, and how much.

use std::io::{self, BufWriter, Write};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged unless `RUST_LOG` says otherwise. The HTTP/2 library warns of each connection that a client misuses: a flood of
/// them would be a flood of lines.
const DEFAULT_FILTER: &str = "info,h2=error";
const DEBUG_FILTER: &str = "info,h2=error,larder=debug";

/// Lines that wait are written together: up to this many bytes.
const LOG_BUFFER_BYTES: usize = 64 * 1024;

/// Writes the remaining lines when it is dropped.
#[must_use]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Starts to log on standard error, by a thread of its own: a request never waits for a slow terminal. `filter` is what
/// `RUST_LOG` holds.
///
/// # Errors
/// When the filter cannot be understood, or a logger is there already.
pub fn start_logging(
    format: LogFormat,
    filter: Option<&str>,
    debug: bool,
) -> Result<LogGuard, anyhow::Error> {
    start_logging_to(format, filter, debug, BufWriter::with_capacity(LOG_BUFFER_BYTES, io::stderr()))
}

/// As [`start_logging`], into any writer.
///
/// # Errors
/// When the filter cannot be understood, or a logger is there already.
pub fn start_logging_to(
    format: LogFormat,
    filter: Option<&str>,
    debug: bool,
    writer: impl Write + Send + 'static,
) -> Result<LogGuard, anyhow::Error> {
    let directives = filter.unwrap_or(if debug { DEBUG_FILTER } else { DEFAULT_FILTER });
    let filter = EnvFilter::try_new(directives)?;
    let (writer, worker) = NonBlockingBuilder::default().thread_name("larder-log").finish(writer);
    let builder = fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    match format {
        LogFormat::Text => builder.try_init(),
        // The only span is the request's: in a list of spans it would stand twice.
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    }
    .map_err(|error| anyhow::anyhow!(error))?;
    Ok(LogGuard { _worker: worker })
}
