//! The uploads that this process remembers.
//!
//! Their state can be read back from the bucket, except for blocks that are in memory only, so idle
//! uploads are forgotten.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Shared, journal,
    keys::{self},
    session::Session,
};
use crate::{StorageError, UploadName, bucket::Bucket};

/// The state of an upload.
#[derive(Clone, Debug, Default)]
pub(super) enum Phase {
    /// Not read from the bucket yet.
    #[default]
    Unread,
    /// It takes blocks.
    Open(Arc<Session>),
    /// It became an object, which the plan in the bucket names.
    Committed,
    /// It was discarded; holders must look it up again.
    Discarded,
}

/// An upload.
#[derive(Debug, Default)]
pub(super) struct Upload {
    phase: Mutex<Phase>,
    /// Read-locked while a block is added, write-locked while the phase changes.
    pub(super) gate: tokio::sync::RwLock<()>,
}

#[derive(Debug, Default)]
pub(super) struct Uploads {
    remembered: Mutex<HashMap<UploadName, Arc<Upload>>>,
    /// Notified of each new one, and of the end.
    added: Arc<Notify>,
}

impl Drop for Uploads {
    /// Wakes the janitor, so that it ends.
    fn drop(&mut self) {
        self.added.notify_one();
    }
}

impl Uploads {
    pub(super) fn get(&self, name: &UploadName) -> Arc<Upload> {
        let added = || {
            self.added.notify_one();
            Arc::default()
        };
        Arc::clone(self.remembered.lock().entry(name.clone()).or_insert_with(added))
    }

    /// If there is no upload, returns what is notified of the next one.
    pub(super) fn next_if_empty(&self) -> Option<Arc<Notify>> {
        self.remembered.lock().is_empty().then(|| Arc::clone(&self.added))
    }

    /// Forgets an upload, unless it has been replaced by a new one.
    pub(super) fn forget(&self, name: &UploadName, upload: &Arc<Upload>) {
        let mut uploads = self.remembered.lock();
        if uploads.get(name).is_some_and(|known| Arc::ptr_eq(known, upload)) {
            uploads.remove(name);
        }
    }

    /// Returns the sessions of all uploads that take blocks.
    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        self.remembered.lock().values().filter_map(|upload| upload.session()).collect()
    }

    /// Forgets uploads that are not in use and whose session `is_old`.
    pub(super) fn forget_idle(&self, is_old: impl Fn(&Session) -> bool) {
        // Clones are made under this lock: with one reference it is not in use.
        self.remembered.lock().retain(|_, upload| {
            Arc::strong_count(upload) > 1
                || match &*upload.phase.lock() {
                    Phase::Open(session) => !is_old(session),
                    Phase::Unread | Phase::Committed | Phase::Discarded => false,
                }
        });
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.remembered.lock().len()
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

    /// Returns whether `session` is still the session of the upload.
    pub(super) fn is_current(&self, session: &Arc<Session>) -> bool {
        self.session().is_some_and(|current| Arc::ptr_eq(&current, session))
    }
}

/// Returns an upload and its session, which is begun if there is none.
pub(super) async fn open(
    shared: &Shared,
    name: &UploadName,
) -> Result<(Arc<Upload>, Arc<Session>), StorageError> {
    // Each round waits for a discard of the same upload; a client cannot cause many of them.
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

/// Begins a session, unless the upload is committed.
async fn begin(shared: &Shared, name: &UploadName) -> Result<Phase, StorageError> {
    let listing = journal::list(shared, name).await?;
    if listing.is_planned {
        return Ok(Phase::Committed);
    }
    let session = Session::new(name.clone(), keys::random()?, listing.last_time);
    shared.bucket.put(&keys::open_key(name, &session.name), Vec::new()).await?;
    Ok(Phase::Open(Arc::new(session)))
}

/// Maps a missing multipart upload: another process completed or aborted it.
pub(super) fn gone_as_closed(error: StorageError) -> StorageError {
    match error {
        StorageError::NotFound => closed(),
        error => error,
    }
}

/// The error for an upload that was committed or discarded.
pub(super) fn closed() -> StorageError {
    StorageError::Invalid("the upload takes no more blocks".to_owned())
}
