//! The thread that writes traces.

use std::{
    collections::HashMap,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use larder_common::event::Event;

use super::file::TraceFile;

/// Events that wait for the disk.
const WAITING: usize = 1024;
/// Events that are written together.
const BATCH: usize = 256;
/// Files that are open at once: a tenant has one.
const MAX_OPEN: usize = 64;
/// How often what was dropped is logged.
const REPORT: Duration = Duration::from_secs(60);
/// How long a stop waits until what is there is written.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Where traces are written. Cloned, it is the same.
#[derive(Clone)]
pub(crate) struct TraceFiles {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Event(Arc<Event>),
    /// Answer once all that came before is written.
    Flush(SyncSender<()>),
}

impl TraceFiles {
    /// Makes the directory, and starts the thread that writes `NAME.jsonl` for each tenant in it.
    /// `max_bytes`: of each file. `files`: how many full ones are kept of each tenant.
    ///
    /// # Errors
    /// When the directory cannot be made, or the thread cannot be started.
    pub(crate) fn start(dir: &Path, max_bytes: u64, files: u32) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let (this, messages) = Self::queue();
        let writer = Writer {
            dir: dir.to_owned(),
            limits: (max_bytes, files),
            files: HashMap::new(),
            dropped: this.dropped.clone(),
            reported: 0,
            next_report: Instant::now(),
        };
        thread::Builder::new().name("trace".to_owned()).spawn(move || writer.run(&messages))?;
        Ok(this)
    }

    fn queue() -> (Self, Receiver<Message>) {
        let (queue, messages) = sync_channel(WAITING);
        (Self { queue, dropped: Arc::default() }, messages)
    }

    /// Has an event written. Never waits: without room in the queue it is dropped.
    pub(crate) fn write(&self, event: &Arc<Event>) {
        if self.queue.try_send(Message::Event(event.clone())).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Events that were dropped because the disk was slow, or could not be written.
    #[cfg(test)]
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Waits until what came before is written, for two seconds at most.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        let until = Instant::now() + LAST_WRITES;
        let mut message = Message::Flush(done);
        while let Err(std::sync::mpsc::TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= until {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
        let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

struct Writer {
    dir: PathBuf,
    limits: (u64, u32),
    files: HashMap<String, TraceFile>,
    dropped: Arc<AtomicU64>,
    reported: u64,
    next_report: Instant,
}

impl Writer {
    /// Writes until nobody sends any more.
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(REPORT) {
                Ok(message) => {
                    let more = messages.try_iter().take(BATCH - 1);
                    self.write(std::iter::once(message).chain(more).collect());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.report();
        }
    }

    fn write(&mut self, messages: Vec<Message>) {
        let mut lines: HashMap<String, (Vec<u8>, u64)> = HashMap::new();
        let mut waiting = Vec::new();
        for message in messages {
            match message {
                Message::Event(event) => {
                    let (text, count) = lines.entry(event.tenant.clone()).or_default();
                    if serde_json::to_writer(&mut *text, &*event).is_ok() {
                        text.push(b'\n');
                        *count += 1;
                    }
                }
                Message::Flush(done) => waiting.push(done),
            }
        }
        for (tenant, (text, count)) in lines {
            if let Err(error) = self.append(&tenant, &text) {
                self.files.remove(&tenant);
                self.dropped.fetch_add(count, Relaxed);
                tracing::debug!(%error, "cannot write the trace");
            }
        }
        for done in waiting {
            // Who waits no more, does not listen.
            let _ = done.try_send(());
        }
    }

    fn append(&mut self, tenant: &str, text: &[u8]) -> io::Result<()> {
        if self.files.len() >= MAX_OPEN && !self.files.contains_key(tenant) {
            self.files.clear();
        }
        if !self.files.contains_key(tenant) {
            let path = self.dir.join(format!("{tenant}.jsonl"));
            self.files.insert(tenant.to_owned(), TraceFile::open(path, self.limits.0, self.limits.1)?);
        }
        match self.files.get_mut(tenant) {
            Some(file) => file.append(text),
            None => Ok(()),
        }
    }

    fn report(&mut self) {
        let dropped = self.dropped.load(Relaxed);
        if dropped > self.reported && Instant::now() >= self.next_report {
            tracing::warn!(
                dropped = dropped - self.reported,
                "events are missing in the trace: the disk was too slow, or cannot be written"
            );
            (self.reported, self.next_report) = (dropped, Instant::now() + REPORT);
        }
    }
}

#[cfg(test)]
mod tests;
