//! The fields are those of `tracing-subscriber`, byte by byte.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::subscriber::with_default;
use tracing_subscriber::{fmt, layer::SubscriberExt};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn log_all() {
    let nothing: Option<&str> = None;
    let failure = io::Error::other("no \u{1b}[31m room");
    tracing::info!("a message alone, \u{1b}[31m with an escape");
    tracing::info!(key = "plain text ~ !", "a field and a message");
    tracing::info!(
        quote = "a \"quoted\" \\ text",
        control = "a\nb\tc\u{7f}\u{1b}[31m",
        unicode = "naïve 鍵 \u{202e} e\u{301}",
        empty = "",
    );
    tracing::info!(some = Some("value"), none = nothing, owned = "owned".to_owned());
    tracing::info!(
        small = 0_u16,
        large = u64::MAX,
        negative = i64::MIN,
        wide = u128::MAX,
        yes = true,
        no = false
    );
    tracing::info!(float = 1.0, tiny = 0.000_001, huge = 1e300, nan = f64::NAN);
    tracing::info!(display = %"a display", debug = ?Some("thing"), r#type = "raw", r#match = 1);
    tracing::info!(error = &failure as &dyn std::error::Error, "after an error");
    tracing::info!(first = 1, message = "said", second = 2);
    tracing::info!(parent: None, id = "an id", status = 200_u16, duration_ms = 0.25);
}

#[test]
fn fields_are_those_of_tracing_subscriber() {
    let (ours, theirs) = (Lines::default(), Lines::default());
    let layer = |lines: &Lines| {
        let lines = lines.clone();
        fmt::layer().with_writer(move || lines.clone()).with_ansi(false).without_time()
    };
    with_default(tracing_subscriber::registry().with(layer(&ours).fmt_fields(PlainFields)), log_all);
    with_default(tracing_subscriber::registry().with(layer(&theirs)), log_all);
    assert_eq!(ours.text(), theirs.text());
    assert!(ours.text().contains(r#"quote="a \"quoted\" \\ text""#), "{}", ours.text());
    assert!(ours.text().contains("id=\"an id\" status=200 duration_ms=0.25"), "{}", ours.text());
}
