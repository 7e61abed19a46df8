//! The fields of a line for people: what `tracing-subscriber` writes, at a fraction of its cost. The line of a request has
//! some twenty, nearly all of them short texts and numbers.

use std::{error::Error, fmt};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::{RecordFields, VisitOutput},
    fmt::{
        FormatFields,
        format::{DefaultVisitor, Writer},
    },
};

/// `name=value`, with a space between two. Texts are in quotes, escaped.
pub(super) struct PlainFields;

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Fields { writer, is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Fields<'writer> {
    writer: Writer<'writer>,
    is_first: bool,
    result: fmt::Result,
}

impl Fields<'_> {
    /// Writes a field whose value is written as it is for debugging.
    fn number(&mut self, field: &Field, value: impl fmt::Debug) {
        if is_plain(field) {
            self.plain(field, |writer| write!(writer, "{value:?}"));
        } else {
            self.usual(|visitor| visitor.record_debug(field, &value));
        }
    }

    fn plain(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.named(field.name(), value);
        }
    }

    fn named(&mut self, name: &str, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) -> fmt::Result {
        if !self.is_first {
            self.writer.write_char(' ')?;
        }
        self.is_first = false;
        self.writer.write_str(name)?;
        self.writer.write_char('=')?;
        value(&mut self.writer)
    }

    /// Has a field written as `tracing-subscriber` does.
    fn usual(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        if self.result.is_ok() {
            let mut visitor = DefaultVisitor::new(self.writer.by_ref(), self.is_first);
            record(&mut visitor);
            self.result = visitor.finish();
            self.is_first = false;
        }
    }
}

/// Whether a field's name is written as it is: not the message, and not a raw identifier.
fn is_plain(field: &Field) -> bool {
    let name = field.name();
    name != "message" && !name.starts_with("r#") && !name.starts_with("log.")
}

/// Whether a text stands between quotes as it is.
fn is_unescaped(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !is_plain(field) {
            return self.usual(|visitor| visitor.record_str(field, value));
        }
        self.plain(field, |writer| {
            if !is_unescaped(value) {
                return write!(writer, "{value:?}");
            }
            writer.write_char('"')?;
            writer.write_str(value)?;
            writer.write_char('"')
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.usual(|visitor| visitor.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.usual(|visitor| visitor.record_debug(field, value));
    }
}

#[cfg(test)]
mod tests;
