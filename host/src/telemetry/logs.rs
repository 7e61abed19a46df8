//! The logger: where lines go, in which form, and which ones.

use std::{
    io::{self, BufWriter, Write},
    thread,
    time::Duration,
};

use serde::Serialize;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::{
    fields::PlainFields,
    format::{JsonLines, TextLines},
    request::add_ids,
};

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The filter if `RUST_LOG` is unset. The HTTP/2 library warns about each connection that a client
/// misuses: a flood of those would be a flood of lines.
const DEFAULT_FILTER: &str = "info,h2=error";
const DEBUG_FILTER: &str = "info,h2=error,larder=debug";

/// Most bytes of lines that are written together.
const LOG_BUFFER_BYTES: usize = 64 * 1024;

/// How long the log's thread rests when it has written all lines. Meanwhile lines gather, and a
/// request does not pay for waking it.
const LOG_REST: Duration = Duration::from_millis(5);

/// Rests after each flush, which is when no line is left.
struct Resting<W>(W);

impl<W: Write> Write for Resting<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        thread::sleep(LOG_REST);
        Ok(())
    }
}

/// Writes the remaining lines when it is dropped.
#[must_use]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Starts to log on standard error, in a thread of its own: a request never waits for a slow
/// terminal. `filter` is the value of `RUST_LOG`.
///
/// # Errors
/// When the filter cannot be parsed, or a logger exists already.
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
/// When the filter cannot be parsed, or a logger exists already.
pub fn start_logging_to(
    format: LogFormat,
    filter: Option<&str>,
    debug: bool,
    writer: impl Write + Send + 'static,
) -> Result<LogGuard, anyhow::Error> {
    let directives = filter.unwrap_or(if debug { DEBUG_FILTER } else { DEFAULT_FILTER });
    let (filter, names_spans) = parse(directives)?;
    let (writer, worker) = NonBlockingBuilder::default().thread_name("larder-log").finish(Resting(writer));
    let text = || fmt::layer().with_writer(writer.clone()).with_ansi(false);
    // The only span is the request's: in a list of spans it would stand twice.
    let json = || text().json().flatten_event(true).with_span_list(false);
    let lines = match (format, names_spans) {
        (LogFormat::Text, false) => text().fmt_fields(PlainFields).event_format(TextLines::new()).boxed(),
        (LogFormat::Text, true) => text().boxed(),
        (LogFormat::Json, false) => json().map_event_format(JsonLines::new).boxed(),
        (LogFormat::Json, true) => json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    if !names_spans {
        add_ids();
    }
    Ok(LogGuard { _worker: worker })
}

type Filter = Box<dyn Layer<Registry> + Send + Sync>;

/// Makes a filter by target and level, which is decided once for each place in the code. Only
/// directives that name spans or fields take the filter that looks at each span that is entered;
/// returns whether these do.
fn parse(directives: &str) -> Result<(Filter, bool), anyhow::Error> {
    match directives.parse::<Targets>() {
        Ok(targets) => Ok((targets.boxed(), false)),
        Err(_) => Ok((EnvFilter::try_new(directives)?.boxed(), true)),
    }
}

#[cfg(test)]
mod tests;
