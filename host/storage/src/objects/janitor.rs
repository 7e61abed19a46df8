//! Spills tails that are idle, or whose memory has waiters, and sends sealed tails that failed
//! before.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use larder_common::causes::chain;
use tokio::time::sleep;

use super::{Shared, journal, session::Session, uploads::Phase};
use crate::StorageError;

/// Tails spilled at the same time.
const WRITES: usize = 8;

/// Checks for idle tails per `spill_after`.
const CHECKS_PER_SPILL: u32 = 4;

/// Uploads that are idle for this long are forgotten. They can be read back from the bucket.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Most blocks remembered in all uploads together: some 100 MB in the worst case.
const MAX_BLOCKS_REMEMBERED: usize = 500_000;

/// Runs until the storage is dropped. Sleeps while there is no upload, so that idle tenants cost
/// nothing.
pub(super) async fn run(shared: Weak<Shared>) {
    let Some(mut waiters) = shared.upgrade().map(|shared| shared.memory.waiters()) else { return };
    loop {
        let Some(strong) = shared.upgrade() else { return };
        // In memory of its own, which an idle tenant does not have.
        Box::pin(tidy(&strong)).await;
        let pause = strong.spill_after / CHECKS_PER_SPILL;
        let next_upload = strong.uploads.next_if_empty();
        drop(strong);
        if let Some(next_upload) = next_upload {
            next_upload.notified().await;
            continue;
        }
        tokio::select! {
            () = sleep(pause) => {}
            // An error: the memory of the storage is gone, and so is the storage.
            _ = waiters.changed() => {}
        }
    }
}

async fn tidy(shared: &Arc<Shared>) {
    let mut sessions = shared.uploads.sessions();
    let is_idle = |session: &Arc<Session>| session.idle() >= shared.spill_after;
    if shared.memory.has_waiters() {
        // The longest idle are the least likely to fill soon.
        sessions.sort_by_cached_key(|session| std::cmp::Reverse(session.idle()));
    } else {
        sessions.retain(is_idle);
    }
    let settle = |session: Arc<Session>| async move {
        let is_wanted = shared.memory.has_waiters();
        if is_wanted || session.idle() >= shared.spill_after {
            settle(shared, &session, is_wanted).await;
        }
    };
    stream::iter(sessions).for_each_concurrent(WRITES, settle).await;
    forget(shared);
}

/// Forgets idle uploads; sooner while more than [`MAX_BLOCKS_REMEMBERED`] blocks are remembered.
fn forget(shared: &Shared) {
    let remembered: usize =
        shared.uploads.sessions().iter().map(|session| session.staging.lock().blocks.len()).sum();
    let idle = if remembered > MAX_BLOCKS_REMEMBERED { shared.spill_after * 5 } else { FORGET_AFTER };
    shared.uploads.forget_idle(|session| {
        let is_unwritten = session.staging.lock().has_unwritten();
        !is_unwritten && session.idle() >= idle
    });
}

/// Writes the blocks of a session that are in memory only. `free_memory`: also drops their bytes.
async fn settle(shared: &Arc<Shared>, session: &Arc<Session>, free_memory: bool) {
    let Ok(_settling) = session.settling.try_lock() else { return };
    if session.is_discarded() {
        return;
    }
    if let Err(error) = write_or_end(shared, session, free_memory).await {
        tracing::warn!(error = %chain(&error), "cannot write staged blocks to the bucket yet, retrying");
        return;
    }
    if free_memory {
        session.release_spilled();
    }
}

/// Writes the blocks of a session, or ends the session if another process committed or discarded
/// the upload: then its blocks can never be committed.
async fn write_or_end(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    free_memory: bool,
) -> Result<(), StorageError> {
    match write(shared, session, free_memory).await {
        Err(StorageError::NotFound) if is_over(shared, session).await? => {
            session.end();
            let upload = shared.uploads.get(&session.upload);
            // A holder of the gate finds out on its own.
            if let Ok(_gate) = upload.gate.try_write()
                && upload.is_current(session)
            {
                upload.set_phase(Phase::Discarded);
                shared.uploads.forget(&session.upload, &upload);
            }
            Ok(())
        }
        result => result,
    }
}

async fn is_over(shared: &Shared, session: &Session) -> Result<bool, StorageError> {
    let listing = journal::list(shared, &session.upload).await?;
    Ok(listing.is_planned || !listing.sessions.contains(&session.name))
}

async fn write(shared: &Arc<Shared>, session: &Arc<Session>, free_memory: bool) -> Result<(), StorageError> {
    for sealed in session.sealed() {
        session.send(shared, &sealed).await?;
    }
    if free_memory && let Some(sealed) = session.seal_if_large_enough(shared)? {
        session.send(shared, &sealed).await?;
    }
    session.spill(shared).await
}

/// Writes the blocks of all sessions that are in memory only. A failure of one does not stop the
/// others.
pub(super) async fn settle_all(shared: &Arc<Shared>) -> Result<(), StorageError> {
    let mut settled = Ok(());
    for session in shared.uploads.sessions() {
        let _settling = session.settling.lock().await;
        settled = settled.and(write_or_end(shared, &session, false).await);
    }
    settled
}
