//! Looks at the files of certificates.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::ServerTls;

/// How often the files are looked at.
const PAUSE: Duration = Duration::from_secs(2);

/// A thread that looks at the files of certificates every 2 s, until this is dropped.
pub struct Watch {
    /// Dropped to end it. Nothing is sent.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look at the files of all of these.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(all: Vec<Arc<ServerTls>>) -> io::Result<Self> {
        let (end, ended) = channel();
        let look = move || {
            while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                all.iter().for_each(|tls| tls.look());
            }
        };
        let thread = std::thread::Builder::new().name("larder-tls".to_owned()).spawn(look)?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
