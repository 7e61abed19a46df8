//! The form of a line: that of `tracing-subscriber`, with the id of the request where a span would
//! stand.

use std::{fmt, sync::Arc};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{self, Format, Writer},
        time::{self, FormatTime},
    },
    registry::LookupSpan,
};

use super::request::current_id;

/// For people: `<time> <level> request{id="…"}: <target>: <message> <fields>`.
pub(super) struct TextLines {
    plain: Format,
    /// What stands behind the request.
    rest: Format<format::Full, ()>,
}

/// One JSON object a line, with `"span":{"id":"…","name":"request"}` at its end.
pub(super) struct JsonLines {
    plain: Format<format::Json>,
    spanless: Format<format::Json>,
}

impl TextLines {
    pub(super) fn new() -> Self {
        let plain = format::format();
        let rest = plain.clone().without_time().with_level(false);
        Self { plain, rest }
    }
}

impl JsonLines {
    pub(super) fn new(plain: Format<format::Json>) -> Self {
        let spanless = plain.clone().with_current_span(false);
        Self { plain, spanless }
    }
}

/// Returns the id of the request that an event is about. The request's own line has the id as a
/// field; it has `parent: None`, and so no request here.
fn request_of(event: &Event<'_>) -> Option<Arc<str>> {
    current_id().filter(|_| !event.is_root())
}

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(id) = request_of(event) else { return self.plain.format_event(ctx, writer, event) };
        time::SystemTime.format_time(&mut writer)?;
        write!(writer, " {:>5} request{{id={id:?}}}: ", event.metadata().level())?;
        self.rest.format_event(ctx, writer, event)
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(id) = request_of(event) else { return self.plain.format_event(ctx, writer, event) };
        let mut line = String::new();
        self.spanless.format_event(ctx, Writer::new(&mut line), event)?;
        let line = line.strip_suffix("}\n").ok_or(fmt::Error)?;
        let span = serde_json::json!({ "id": &*id, "name": "request" });
        writeln!(writer, "{line},\"span\":{span}}}")
    }
}

#[cfg(test)]
mod tests;
