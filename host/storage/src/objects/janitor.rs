//! Writes tails down that wait for too long, or whose memory somebody waits for; and what could not be sent before.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::{Shared, journal, session::Session, uploads::Phase};
use crate::StorageError;
use larder_common::causes::chain;

/// Tails written down at once.
const WRITES: usize = 8;

/// How often idle tails are looked for, as a part of the time after which they are written down.
const LOOKS_PER_SPILL: u32 = 4;

/// Uploads that nobody used for so long are forgotten. They can be read back from the bucket.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Most blocks remembered in all uploads together: some 100 MB in the worst case.
const MAX_BLOCKS_REMEMBERED: usize = 500_000;

/// Works until the storage is dropped.
pub(super) async fn work(shared: Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        tidy(&strong).await;
        let pause = strong.spill_after / LOOKS_PER_SPILL;
        let memory = Arc::clone(&strong.memory);
        drop(strong);
        tokio::select! {
            () = sleep(pause) => {}
            () = memory.waiter_arrived() => {}
        }
    }
}

async fn tidy(shared: &Arc<Shared>) {
    let mut sessions = shared.uploads.sessions();
    let is_idle = |session: &Arc<Session>| session.idle() >= shared.spill_after;
    if shared.memory.has_waiters() {
        // Those that waited longest are the least likely to be filled soon.
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

/// Forgets uploads that can be read back: those that were not used for long, or, where many blocks are remembered, for a while.
fn forget(shared: &Shared) {
    let remembered: usize =
        shared.uploads.sessions().iter().map(|session| session.staging.lock().blocks.len()).sum();
    let idle = if remembered > MAX_BLOCKS_REMEMBERED { shared.spill_after * 5 } else { FORGET_AFTER };
    shared.uploads.forget_idle(|session| {
        let is_unwritten = session.staging.lock().has_unwritten();
        !is_unwritten && session.idle() >= idle
    });
}

/// Writes down what a session has in memory only. `give_up_memory`: its bytes are not kept either.
async fn settle(shared: &Arc<Shared>, session: &Arc<Session>, give_up_memory: bool) {
    let Ok(_settling) = session.settling.try_lock() else { return };
    if session.is_discarded() {
        return;
    }
    if let Err(error) = write_down_or_end(shared, session, give_up_memory).await {
        tracing::warn!(error = %chain(&error), "staged blocks could not be written down yet");
        return;
    }
    if give_up_memory {
        session.release_spilled();
    }
}

/// Writes down what a session has, or ends it where its upload was committed or discarded by another process: then what it
/// has in memory can never be sent, and nobody wants it.
async fn write_down_or_end(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    give_up_memory: bool,
) -> Result<(), StorageError> {
    match write_down(shared, session, give_up_memory).await {
        Err(StorageError::NotFound) if is_over(shared, session).await? => {
            session.end();
            let upload = shared.uploads.get(&session.upload);
            // Who holds the gate is about to find out for himself.
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

async fn write_down(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    give_up_memory: bool,
) -> Result<(), StorageError> {
    for sealed in session.sealed() {
        session.send(shared, &sealed).await?;
    }
    if give_up_memory && let Some(sealed) = session.seal_if_enough(shared)? {
        session.send(shared, &sealed).await?;
    }
    session.spill(shared).await
}

/// Writes down what all sessions have in memory only. One that fails does not keep the others from it.
pub(super) async fn settle_all(shared: &Arc<Shared>) -> Result<(), StorageError> {
    let mut settled = Ok(());
    for session in shared.uploads.sessions() {
        let _settling = session.settling.lock().await;
        settled = settled.and(write_down_or_end(shared, &session, false).await);
    }
    settled
}
