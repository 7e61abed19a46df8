//! The uploads that this process remembers.
//!
//! What is remembered can be read back from the bucket, except for blocks that are in memory only, so the uploads that
//! nobody used for long are forgotten.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    Shared, journal,
    keys::{self},
    session::Session,
};
use crate::{StorageError, UploadName, bucket::Bucket};

/// What is known of an upload.
#[derive(Clone, Debug, Default)]
pub(super) enum Phase {
    /// Nothing yet.
    #[default]
    Unread,
    /// It takes blocks.
    Open(Arc<Session>),
    /// It became an object; the bucket says which.
    Committed,
    /// It was discarded: who still has it must look it up again.
    Discarded,
}

/// An upload.
#[derive(Debug, Default)]
pub(super) struct Upload {
    phase: Mutex<Phase>,
    /// Held for reading while a block is made to count, for writing while the phase is about to change.
    pub(super) gate: tokio::sync::RwLock<()>,
}

#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<HashMap<UploadName, Arc<Upload>>>);

impl Uploads {
    pub(super) fn get(&self, name: &UploadName) -> Arc<Upload> {
        Arc::clone(self.0.lock().entry(name.clone()).or_default())
    }

    /// Forgets an upload, if it is still this one.
    pub(super) fn forget(&self, name: &UploadName, upload: &Arc<Upload>) {
        let mut uploads = self.0.lock();
        if uploads.get(name).is_some_and(|known| Arc::ptr_eq(known, upload)) {
            uploads.remove(name);
        }
    }

    /// Returns the sessions of all uploads that take blocks.
    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        self.0.lock().values().filter_map(|upload| upload.session()).collect()
    }

    /// Forgets what nobody works on and `is_old` says of its session.
    pub(super) fn forget_idle(&self, is_old: impl Fn(&Session) -> bool) {
        // Clones are made under this lock: one reference means that nobody works on it.
        self.0.lock().retain(|_, upload| {
            Arc::strong_count(upload) > 1
                || match &*upload.phase.lock() {
                    Phase::Open(session) => !is_old(session),
                    Phase::Unread | Phase::Committed | Phase::Discarded => false,
                }
        });
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().len()
    }
}

impl Upload {
    pub(super) fn phase(&self) -> Phase {
        self.phase.lock().clone()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        *self.phase.lock() = phase;
    }

    pub(super) fn session(&self) -> Option<Arc<Session>> {
        match &*self.phase.lock() {
            Phase::Open(session) => Some(Arc::clone(session)),
            Phase::Unread | Phase::Committed | Phase::Discarded => None,
        }
    }

    /// Returns whether a session is still the one that takes blocks.
    pub(super) fn is_current(&self, session: &Arc<Session>) -> bool {
        self.session().is_some_and(|current| Arc::ptr_eq(&current, session))
    }
}

/// Returns an upload and the session in which it takes blocks; begins one where there is none.
pub(super) async fn open(
    shared: &Shared,
    name: &UploadName,
) -> Result<(Arc<Upload>, Arc<Session>), StorageError> {
    // Each turn waits for somebody who discards it; a client cannot keep that up.
    for _ in 0..8 {
        let upload = shared.uploads.get(name);
        if let Some(session) = upload.session() {
            return Ok((upload, session));
        }
        let gate = upload.gate.write().await;
        match upload.phase() {
            Phase::Open(session) => {
                drop(gate);
                return Ok((upload, session));
            }
            Phase::Committed => return Err(closed()),
            Phase::Discarded => shared.uploads.forget(name, &upload),
            Phase::Unread => {
                let phase = begin(shared, name).await?;
                upload.set_phase(phase);
            }
        }
    }
    Err(StorageError::NotFound)
}

/// Finds out whether an upload takes blocks, and begins a session if so.
async fn begin(shared: &Shared, name: &UploadName) -> Result<Phase, StorageError> {
    let listing = journal::list(shared, name).await?;
    if listing.is_planned {
        return Ok(Phase::Committed);
    }
    let session = Session::new(name.clone(), keys::random()?, listing.last_time);
    shared.bucket.put(&keys::open_key(name, &session.name), Vec::new()).await?;
    Ok(Phase::Open(Arc::new(session)))
}

/// A multipart that is gone was completed or given up by another process.
pub(super) fn gone_as_closed(error: StorageError) -> StorageError {
    match error {
        StorageError::NotFound => closed(),
        error => error,
    }
}

/// What is said of an upload that was committed or discarded.
pub(super) fn closed() -> StorageError {
    StorageError::Invalid("the upload takes no more blocks".to_owned())
}
