//! The log of a server that runs in this process.

use std::{
    io::Write,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use larder::telemetry::{LogFormat, LogGuard, start_logging_to};
use serde_json::Value;

use crate::RESPONSE_TIMEOUT;

/// All lines since the first test of this process started it.
#[derive(Clone, Default)]
pub struct ServerLog(Arc<Mutex<Vec<u8>>>);

impl Write for ServerLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl ServerLog {
    /// Returns the log: in JSON, and with the lines of `DEBUG=true` where the first caller wants them.
    #[must_use]
    pub fn start(debug: bool) -> Self {
        static LOG: OnceLock<(ServerLog, LogGuard)> = OnceLock::new();
        let start = || {
            let log = Self::default();
            (log.clone(), start_logging_to(LogFormat::Json, None, debug, log).unwrap())
        };
        LOG.get_or_init(start).0.clone()
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Its lines, but for the last one if it is incomplete.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for a line that matches.
    pub async fn line(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                if let Some(line) = self.lines().into_iter().find(&is_it) {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(RESPONSE_TIMEOUT, found)
            .await
            .unwrap_or_else(|_| panic!("no line: {what}\n{}", self.text()))
    }
}
